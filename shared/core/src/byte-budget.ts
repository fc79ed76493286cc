import { invariant } from './errors.js';

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
}

/**
 * A bounded number of bytes that callers take and give back, first come first served: a large
 * request at the head waits, and nothing overtakes it, so nobody starves. A single request larger
 * than the whole budget is granted when the budget is otherwise unused.
 */
export class ByteBudget {
  readonly #capacityBytes: number;
  readonly #waiters: Waiter[] = [];
  #takenBytes = 0;

  constructor(capacityBytes: number) {
    invariant(capacityBytes > 0, 'a byte budget is positive');
    this.#capacityBytes = capacityBytes;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** Takes at once, or says no. Never overtakes a waiter. */
  tryTake(bytes: number): boolean {
    if (this.#waiters.length > 0 || !this.#fits(bytes)) return false;
    this.#takenBytes += bytes;
    return true;
  }

  async take(bytes: number): Promise<void> {
    if (this.tryTake(bytes)) return;
    await new Promise<void>((grant) => {
      this.#waiters.push({ bytes, grant });
    });
  }

  give(bytes: number): void {
    this.#takenBytes -= bytes;
    invariant(this.#takenBytes >= 0, 'a byte budget got back more than it gave');
    for (let head = this.#waiters[0]; head && this.#fits(head.bytes); head = this.#waiters[0]) {
      this.#waiters.shift();
      this.#takenBytes += head.bytes;
      head.grant();
    }
  }

  #fits(bytes: number): boolean {
    return this.#takenBytes === 0 || this.#takenBytes + bytes <= this.#capacityBytes;
  }
}
