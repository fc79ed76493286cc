import { invariant } from '@kafscale/core';

/** Lets a bounded number of tasks run at once; the others wait, first come first served. */
export class Gate {
  readonly #openMax: number;
  readonly #waiting: (() => void)[] = [];
  #open = 0;

  constructor(openMax: number) {
    invariant(openMax > 0, 'a gate lets at least one through');
    this.#openMax = openMax;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#open < this.#openMax) this.#open++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      // The place goes straight to the next, so that nobody can slip in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#open--;
      else next();
    }
  }
}
