import { addSafe } from '@kafscale/core';

const blockSize = 1000;

/**
 * Hands out producer ids from blocks that the metadata store has set aside: one transaction per
 * thousand. What is left of a block at the end of the process is never used.
 */
export class ProducerIds {
  readonly #allocate: (count: number) => Promise<number>;
  #next = 0;
  #end = 0;
  #block: Promise<void> | null = null;

  constructor(allocate: (count: number) => Promise<number>) {
    this.#allocate = allocate;
  }

  async next(): Promise<number> {
    while (this.#next === this.#end) {
      this.#block ??= this.#takeBlock();
      await this.#block;
    }
    const producerId = this.#next;
    this.#next += 1;
    return producerId;
  }

  async #takeBlock(): Promise<void> {
    try {
      this.#next = await this.#allocate(blockSize);
      this.#end = addSafe(this.#next, blockSize);
    } finally {
      this.#block = null;
    }
  }
}
