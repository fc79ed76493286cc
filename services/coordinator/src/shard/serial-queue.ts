import { OperatingError, limits } from '@kafscale/core';

/**
 * Runs tasks one after another in the order they came. Everything that writes a shard's topics and
 * offsets goes through one, so events are published in the order of their transactions.
 */
export class SerialQueue {
  #tail: Promise<unknown> = Promise.resolve();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#length >= limits.shardTasksQueuedMax) {
      return Promise.reject(
        new OperatingError('SHARD_BUSY', 'too many writes wait for the shard', { retriable: true }),
      );
    }
    this.#length += 1;
    const result = this.#tail.then(task).finally(() => {
      this.#length -= 1;
    });
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
