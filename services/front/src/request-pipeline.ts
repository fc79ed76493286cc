import type { KafkaReply } from '@kafscale/cluster';
import { describeError, invariant } from '@kafscale/core';

export interface PipelinedRequest {
  /** Produce: runs together with the Produce requests before and behind it. */
  readonly concurrent: boolean;
}

export interface PipelineOptions<Request extends PipelinedRequest> {
  /** Called in request order. A rejection is treated like the reply `close`. */
  execute(request: Request): Promise<KafkaReply>;
  /** False while the client reads too slowly; call `advance` when that has changed. */
  mayExecute(): boolean;
  /** Called in request order, for replies of kind `response` only. */
  respond(request: Request, chunks: readonly Uint8Array[], release?: () => void): void;
  /** The request's bytes are not needed any more. Called once for every request added. */
  released(request: Request, answered: boolean): void;
  /** Every rejection of `execute`, also one that nobody waits for any more. */
  rejected(cause: unknown): void;
  /** A request has settled and everything that it made possible has been done. */
  progressed(): void;
  /** A reply `close` has reached the head: everything before it was responded to. Called once. */
  closed(request: Request, reason: string, cause: unknown): void;
}

interface Entry<Request> {
  readonly request: Request;
  reply: KafkaReply | null;
  cause: unknown;
  /** It runs behind a `close`: nobody waits for its reply. */
  dropped: boolean;
}

/**
 * The order of one connection (P5): requests start in order, only consecutive Produce requests run
 * at the same time, and responses leave in request order whatever order they become ready in.
 *
 * A reply `close` cuts the pipeline: what came before it is still answered, what comes behind it is
 * dropped, started or not.
 */
export class RequestPipeline<Request extends PipelinedRequest> {
  readonly #options: PipelineOptions<Request>;
  /** Added and not yet responded to, oldest first. Bounded by whoever adds. */
  readonly #entries: Entry<Request>[] = [];
  /** Index in #entries of the first entry that was not started. */
  #unstarted = 0;
  #running = 0;
  #runningAlone = false;
  #heldResponseBytes = 0;
  #stopped = false;
  /** No entry is added behind a `close`. */
  #cut = false;

  constructor(options: PipelineOptions<Request>) {
    this.#options = options;
  }

  /** Requests that were added and are not responded to. */
  get size(): number {
    return this.#entries.length;
  }

  /** A `close` is on its way to the head: whatever is added now is dropped. */
  get isCut(): boolean {
    return this.#cut;
  }

  /** Bytes of responses that wait for an earlier one. */
  get heldResponseBytes(): number {
    return this.#heldResponseBytes;
  }

  add(request: Request): void {
    if (this.#stopped || this.#cut) {
      this.#options.released(request, false);
      return;
    }
    this.#entries.push({ request, reply: null, cause: undefined, dropped: false });
    this.advance();
  }

  /** Starts whatever may start. */
  advance(): void {
    while (!this.#stopped && this.#options.mayExecute()) {
      const entry = this.#entries[this.#unstarted];
      if (entry === undefined) return;
      const joins = entry.request.concurrent && !this.#runningAlone;
      if (this.#running > 0 && !joins) return;
      this.#start(entry);
    }
  }

  /** The client is gone: nothing more is started or responded to. Running calls end by themselves. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#dropFrom(this.#unstarted);
    for (const { reply } of this.#entries.splice(0)) if (reply !== null) releaseOf(reply);
    this.#unstarted = 0;
    this.#heldResponseBytes = 0;
  }

  #start(entry: Entry<Request>): void {
    this.#unstarted += 1;
    this.#running += 1;
    this.#runningAlone = !entry.request.concurrent;
    this.#execute(entry.request).then(
      (reply) => this.#settle(entry, reply, undefined),
      (cause: unknown) => {
        this.#options.rejected(cause);
        this.#settle(entry, { kind: 'close', reason: describeError(cause) }, cause);
      },
    );
  }

  /** A service that throws instead of rejecting is a service that rejects. */
  #execute(request: Request): Promise<KafkaReply> {
    try {
      return this.#options.execute(request);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #settle(entry: Entry<Request>, reply: KafkaReply, cause: unknown): void {
    invariant(entry.reply === null && this.#running > 0, 'a running request settles once');
    this.#running -= 1;
    if (this.#running === 0) this.#runningAlone = false;
    this.#options.released(entry.request, reply.kind === 'response' || reply.kind === 'none');
    entry.reply = reply;
    entry.cause = cause;
    if (this.#stopped || entry.dropped) return releaseOf(reply);
    this.#heldResponseBytes += responseBytes(reply);
    if (reply.kind === 'close') this.#cutBehind(entry);
    this.#respondReady();
    this.advance();
    if (!this.#stopped) this.#options.progressed();
  }

  #cutBehind(entry: Entry<Request>): void {
    this.#cut = true;
    const kept = this.#entries.indexOf(entry) + 1;
    invariant(kept > 0, 'an entry that was not dropped is in the queue');
    this.#dropFrom(Math.max(kept, this.#unstarted));
    for (const dropped of this.#entries.splice(kept)) {
      dropped.dropped = true;
      if (dropped.reply === null) continue;
      this.#heldResponseBytes -= responseBytes(dropped.reply);
      releaseOf(dropped.reply);
    }
    this.#unstarted = kept;
  }

  #dropFrom(index: number): void {
    for (const entry of this.#entries.splice(index)) this.#options.released(entry.request, false);
  }

  #respondReady(): void {
    for (let head = this.#entries[0]; head?.reply && !this.#stopped; head = this.#entries[0]) {
      this.#entries.shift();
      this.#unstarted -= 1;
      this.#heldResponseBytes -= responseBytes(head.reply);
      if (head.reply.kind === 'response') {
        this.#options.respond(head.request, head.reply.chunks, head.reply.release);
      }
      if (head.reply.kind !== 'close') continue;
      this.stop();
      this.#options.closed(head.request, head.reply.reason, head.cause);
    }
  }
}

/** Nobody will write it. */
function releaseOf(reply: KafkaReply): void {
  if (reply.kind === 'response') reply.release?.();
}

export function responseBytes(reply: KafkaReply): number {
  if (reply.kind !== 'response') return 0;
  let bytes = 0;
  for (const chunk of reply.chunks) bytes += chunk.length;
  return bytes;
}
