import { invariant } from '@kafscale/core';

/** What a client knows of a batch that it has sent. */
export const entryStates = { unknown: 0, acknowledged: 1, refused: 2 } as const;
export type EntryState = (typeof entryStates)[keyof typeof entryStates];

export interface LedgerEntry {
  readonly state: EntryState;
  readonly partition: number;
  /** −1 unless it was acknowledged. */
  readonly baseOffset: number;
  /** CRC-32C of its contents. */
  readonly crc: number;
}

const fieldsPerEntry = 4;
const firstEntries = 64 * 1024;

/** Every batch that was sent, by number, in one flat array: a file is its bytes. */
export class Ledger {
  #fields: Float64Array;
  #length: number;

  constructor(bytes?: Uint8Array) {
    this.#fields =
      bytes === undefined
        ? new Float64Array(firstEntries * fieldsPerEntry)
        : new Float64Array(Uint8Array.from(bytes).buffer);
    this.#length = bytes === undefined ? 0 : this.#fields.length / fieldsPerEntry;
  }

  get length(): number {
    return this.#length;
  }

  /** Its outcome is unknown until it is settled. */
  add(partition: number): number {
    const entry = this.#length;
    this.#length += 1;
    if (this.#length * fieldsPerEntry > this.#fields.length) {
      const larger = new Float64Array(this.#fields.length * 2);
      larger.set(this.#fields);
      this.#fields = larger;
    }
    this.#fields.set([entryStates.unknown, partition, -1, 0], entry * fieldsPerEntry);
    return entry;
  }

  setCrc(entry: number, crc: number): void {
    this.#fields[entry * fieldsPerEntry + 3] = crc;
  }

  settle(entry: number, state: EntryState, baseOffset: number): void {
    this.#fields[entry * fieldsPerEntry] = state;
    this.#fields[entry * fieldsPerEntry + 2] = baseOffset;
  }

  at(entry: number): LedgerEntry | undefined {
    if (!Number.isInteger(entry) || entry < 0 || entry >= this.#length) return undefined;
    const from = entry * fieldsPerEntry;
    const [state = 0, partition = 0, baseOffset = 0, crc = 0] = this.#fields.subarray(
      from,
      from + fieldsPerEntry,
    );
    return { state: stateOf(state), partition, baseOffset, crc };
  }

  counts(): Readonly<Record<keyof typeof entryStates, number>> {
    const counts = { unknown: 0, acknowledged: 0, refused: 0 };
    for (let entry = 0; entry < this.#length; entry += 1) {
      const { state } = this.at(entry) ?? { state: entryStates.unknown };
      if (state === entryStates.acknowledged) counts.acknowledged += 1;
      else if (state === entryStates.refused) counts.refused += 1;
      else counts.unknown += 1;
    }
    return counts;
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.#fields.buffer, 0, this.#length * fieldsPerEntry * 8);
  }
}

function stateOf(value: number): EntryState {
  const state = Object.values(entryStates).find((each) => each === value);
  invariant(state !== undefined, 'a ledger has states');
  return state;
}
