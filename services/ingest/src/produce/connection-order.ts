/**
 * Keeps the order of one connection's Produce requests while some of them must wait (for memory, or
 * for news of a topic): a request is admitted only when the one before it has been.
 *
 * Without it: request 1 waits for its unknown topic, request 2 of the same producer does not, is
 * appended first, gets the lower offset, and request 1 is refused as out of order.
 */
export class ConnectionOrder {
  /** Only connections with a waiting request; the front bounds how many requests wait on each. */
  readonly #tails = new Map<string, Promise<void>>();

  get waitingConnections(): number {
    return this.#tails.size;
  }

  /**
   * Runs `admit` after all earlier ones of the connection. It runs at once when none waits. `admit`
   * returns a promise only if it must wait, and never rejects.
   */
  run(connectionId: string, admit: () => Promise<void> | undefined): void {
    const tail = this.#tails.get(connectionId);
    const waiting = tail === undefined ? admit() : tail.then(admit);
    if (waiting === undefined) return;
    const ended = waiting.then(() => {
      if (this.#tails.get(connectionId) === ended) this.#tails.delete(connectionId);
    });
    this.#tails.set(connectionId, ended);
  }
}
