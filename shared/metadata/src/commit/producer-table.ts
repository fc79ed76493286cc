import type { ProducerState } from './types.js';

/** Producer states by partition and producer, and which of them changed. */
export class ProducerTable {
  readonly #byPartition = new Map<number, Map<number, ProducerState>>();
  readonly #loaded: ReadonlySet<ProducerState>;

  constructor(loaded: readonly ProducerState[]) {
    this.#loaded = new Set(loaded);
    for (const producer of loaded) this.set(producer);
  }

  get(key: {
    readonly partitionId: number;
    readonly producerId: number;
  }): ProducerState | undefined {
    return this.#byPartition.get(key.partitionId)?.get(key.producerId);
  }

  set(producer: ProducerState): void {
    let producers = this.#byPartition.get(producer.partitionId);
    if (producers === undefined) {
      producers = new Map();
      this.#byPartition.set(producer.partitionId, producers);
    }
    producers.set(producer.producerId, producer);
  }

  changed(): readonly ProducerState[] {
    const changed: ProducerState[] = [];
    for (const producers of this.#byPartition.values()) {
      for (const producer of producers.values()) {
        if (!this.#loaded.has(producer)) changed.push(producer);
      }
    }
    return changed;
  }
}
