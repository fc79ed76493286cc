import { invariant } from '@kafscale/core';
import { groupError } from './group-errors.js';

/** Requests that wait for an answer of the state machine, by number. */
export class Waiters<Answer> {
  readonly #waiting = new Map<number, (answer: Answer) => void>();

  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Rejects with CLIENT_GONE when `signal` aborts. The member stays, and the machine will answer
   * the number: that answer is dropped.
   */
  wait(waiter: number, signal: AbortSignal): Promise<Answer> {
    invariant(!this.#waiting.has(waiter), 'a waiter has a number of its own');
    return new Promise((resolve, reject) => {
      const gone = (): void => {
        this.#waiting.delete(waiter);
        reject(groupError('CLIENT_GONE', 'the client closed its connection'));
      };
      if (signal.aborted) return gone();
      signal.addEventListener('abort', gone, { once: true });
      this.#waiting.set(waiter, (answer) => {
        signal.removeEventListener('abort', gone);
        resolve(answer);
      });
    });
  }

  answer(waiter: number, answer: Answer): void {
    const resolve = this.#waiting.get(waiter);
    this.#waiting.delete(waiter);
    resolve?.(answer);
  }
}
