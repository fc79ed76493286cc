import { OperatingError } from '@kafscale/core';
import type { Outcome } from '@kafscale/core';

export interface CallOptions {
  /**
   * Aborting tells the callee; the call then settles with what the callee answers. A call that has
   * not been sent yet fails at once with CANCELLED, outcome `failed`.
   */
  readonly signal?: AbortSignal;
  /** From now on. Passing it fails the call with DEADLINE_EXCEEDED and tells the callee. */
  readonly deadlineMs?: number;
}

/** What a pending call asks of its link when its caller loses interest. */
export interface PendingCallOwner {
  sendCancel(call: PendingCall): void;
}

/** One call from the moment it is made until its promise settles. */
export class PendingCall {
  readonly method: number;
  readonly bytes: number;
  readonly enqueuedAtMs: number;
  readonly promise: Promise<Buffer>;
  /** 0 until sent. */
  id = 0;
  #chunks: readonly Uint8Array[];
  readonly #resolve: (payload: Buffer) => void;
  readonly #reject: (error: OperatingError) => void;
  #settled = false;
  #timer: NodeJS.Timeout | undefined;
  #stopListening: (() => void) | undefined;

  constructor(
    what: { readonly method: number; readonly chunks: readonly Uint8Array[] },
    bytes: number,
    enqueuedAtMs: number,
  ) {
    this.method = what.method;
    this.#chunks = what.chunks;
    this.bytes = bytes;
    this.enqueuedAtMs = enqueuedAtMs;
    let resolvePromise: (payload: Buffer) => void = () => {};
    let rejectPromise: (error: OperatingError) => void = () => {};
    this.promise = new Promise((resolve, reject) => {
      resolvePromise = resolve;
      rejectPromise = reject;
    });
    this.#resolve = resolvePromise;
    this.#reject = rejectPromise;
  }

  get isSettled(): boolean {
    return this.#settled;
  }

  /** The payload, once: a sent call keeps no bytes. */
  takeChunks(): readonly Uint8Array[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }

  watch(options: CallOptions, owner: PendingCallOwner): void {
    const { signal, deadlineMs } = options;
    if (signal !== undefined) {
      const onAbort = (): void => {
        if (this.id === 0) this.fail(cancelled('failed'));
        else owner.sendCancel(this);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#stopListening = () => signal.removeEventListener('abort', onAbort);
    }
    if (deadlineMs !== undefined) {
      this.#timer = setTimeout(() => {
        const outcome = this.id === 0 ? 'failed' : 'unknown';
        if (this.id !== 0) owner.sendCancel(this);
        this.fail(
          new OperatingError('DEADLINE_EXCEEDED', `no answer within ${deadlineMs} ms`, {
            retriable: true,
            outcome,
          }),
        );
      }, deadlineMs);
    }
  }

  succeed(payload: Buffer): void {
    if (this.#finish()) this.#resolve(payload);
  }

  fail(error: OperatingError): void {
    if (this.#finish()) this.#reject(error);
  }

  #finish(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#chunks = [];
    clearTimeout(this.#timer);
    this.#stopListening?.();
    return true;
  }
}

export function cancelled(outcome: Outcome): OperatingError {
  return new OperatingError('CANCELLED', 'the caller cancelled the call', { outcome });
}
