import { limits } from '@kafscale/core';

/**
 * Whether to wait a moment for what answered producers send next. Those that send when they are
 * answered bring back in a millisecond what was answered. Those that send by a clock don't, and for them
 * each wait is latency for nothing: after a wait in vain the next one, then the next two, four … answers
 * are not waited behind, and one that was worth it makes up for all of them.
 */
export class GatherGuess {
  #vainInRow = 0;
  #skipsLeft = 0;

  /** To be asked once for every answer. */
  isWorthIt(): boolean {
    if (this.#skipsLeft === 0) return true;
    this.#skipsLeft -= 1;
    return false;
  }

  /** A wait has ended: whether it brought back what was answered. */
  ended(isPaid: boolean): void {
    this.#vainInRow = isPaid ? 0 : this.#vainInRow + 1;
    this.#skipsLeft = isPaid ? 0 : Math.min(2 ** (this.#vainInRow - 1), limits.flushGatherSkipsMax);
  }
}
