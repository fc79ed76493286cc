import type { Logger } from '@kafscale/telemetry';

interface Closer {
  readonly name: string;
  readonly close: () => Promise<void> | void;
}

/** What has been started, so that it can be stopped in the opposite order. */
export class Closers {
  readonly #closers: Closer[] = [];
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  add(name: string, close: Closer['close']): void {
    this.#closers.push({ name, close });
  }

  /** Stops everything, last started first. One that fails is logged and does not hold up the rest. */
  async closeAll(): Promise<void> {
    for (let closer = this.#closers.pop(); closer !== undefined; closer = this.#closers.pop()) {
      try {
        await closer.close();
      } catch (error) {
        this.#log.error({ err: error, part: closer.name }, 'a part did not stop cleanly');
      }
    }
  }
}
