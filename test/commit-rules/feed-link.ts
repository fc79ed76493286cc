import type {
  CoordinatorService,
  FeedListener,
  FeedMessage,
  FeedOptions,
  FeedSubscription,
} from '@kafscale/cluster';

type Feed = Pick<CoordinatorService, 'subscribe'>;

const rememberedMax = 20;

/** The way of the feed to one reader: messages may be delayed or repeated, and the stream cut. */
export class FeedLink implements Feed {
  readonly #coordinator: Feed;
  #held: (() => void)[] | null = null;
  #cut: (() => void) | null = null;
  /** Of this stream. */
  #remembered: FeedMessage[] = [];
  #pass: ((message: FeedMessage) => void) | null = null;

  constructor(coordinator: Feed) {
    this.#coordinator = coordinator;
  }

  /** Messages stay on the way, in order, until `deliver`. */
  hold(): void {
    this.#held ??= [];
  }

  deliver(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const pass of held) pass();
  }

  get heldMessages(): number {
    return this.#held?.length ?? 0;
  }

  /** What came last comes once more, in its old order. */
  replay(): void {
    for (const message of this.#remembered) this.#pass?.(message);
  }

  /** The stream ends; what was on the way is lost. */
  cut(): void {
    if (this.#held !== null) this.#held = [];
    this.#cut?.();
  }

  subscribe(options: FeedOptions, listener: FeedListener): FeedSubscription {
    let open = true;
    const pass = (work: () => void): void => {
      const guarded = (): void => {
        if (open) work();
      };
      if (this.#held === null) guarded();
      else this.#held.push(guarded);
    };
    this.#remembered = [];
    this.#pass = (message) => pass(() => listener.onMessage(message));
    const subscription = this.#coordinator.subscribe(options, {
      onMessage: (message: FeedMessage) => {
        this.#remembered = [...this.#remembered, message].slice(-rememberedMax);
        pass(() => listener.onMessage(message));
      },
      onClosed: (reason) =>
        pass(() => {
          open = false;
          listener.onClosed(reason);
        }),
    });
    const close = (): void => {
      open = false;
      subscription.close();
    };
    this.#cut = () => {
      if (!open) return;
      close();
      listener.onClosed('cut by the test');
    };
    return { close };
  }
}
