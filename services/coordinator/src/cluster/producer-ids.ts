import { addSafe, limits } from '@kafscale/core';

interface Waiter {
  readonly resolve: (producerId: number) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Hands out producer ids, one transaction for all who wait. No block is set aside for later: the
 * partitions of a re-created topic accept any first sequence from every id that was issued before
 * (producer_state_floor), and ids that nobody has yet would count as issued.
 */
export class ProducerIds {
  readonly #allocate: (count: number) => Promise<number>;
  #waiting: Waiter[] = [];
  #running = false;

  constructor(allocate: (count: number) => Promise<number>) {
    this.#allocate = allocate;
  }

  /** The queue is bounded by the requests that the fronts have in flight. */
  next(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const served = this.#waiting.splice(0, limits.producerIdsPerTransactionMax);
      try {
        const first = await this.#allocate(served.length);
        served.forEach(({ resolve }, index) => resolve(addSafe(first, index)));
      } catch (error) {
        for (const { reject } of served) reject(error);
      }
    }
    this.#running = false;
  }
}
