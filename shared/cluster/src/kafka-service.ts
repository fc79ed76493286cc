/**
 * How a Kafka request travels from the front to the service that owns its API, in one process (a
 * function call) or between two (an rpc link). The body is the client's, unchanged.
 */
export interface KafkaRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly clientId: string | null;
  /** The client's address as the front saw it, without the port. */
  readonly clientHost: string;
  /** Kafka form, e.g. `User:ANONYMOUS`. Set by the front's authentication. */
  readonly principal: string;
  readonly listener: string;
  /** Unique among all fronts for as long as the connection lives. */
  readonly connectionId: string;
  /** Position of this request on its connection, from 0. */
  readonly requestNumber: number;
  /**
   * The request after its header. The callee may keep views of it until its reply settles, and must
   * copy what it keeps longer.
   */
  readonly body: Buffer;
  /**
   * The memory that `body` lies in, where that is known: the callee may hold it instead of copying
   * what it keeps longer. Other threads can read it if it is shared. Absent behind an rpc link.
   */
  readonly memory?: RequestMemory;
}

/** Held by whoever looks at it; let go once for every time it was held. */
export interface RequestMemory {
  retain(): void;
  release(): void;
}

/**
 * `response`: the response body as chunks, without the response header. The caller writes them out
 * and must not change them; when it has done so it calls `release`, once, and then does not look at
 * them again. One that never calls it costs memory that could have been used again, nothing else. `none`: the protocol has no answer here (acks=0). `close`: there is no
 * Kafka error for what happened, or the outcome is unknown (P4): the front closes the connection.
 */
export type KafkaReply =
  | {
      readonly kind: 'response';
      readonly chunks: readonly Uint8Array[];
      readonly release?: () => void;
    }
  | { readonly kind: 'none' }
  | { readonly kind: 'close'; readonly reason: string };

/**
 * A part that answers Kafka requests. Calls for one connection arrive in request order, and the
 * callee does whatever must keep that order before it first yields or in a queue per connection.
 * A rejected promise is treated like `close`. `signal` aborts when the connection has gone: waits
 * (a long poll, a JoinGroup) end then; work that may already have effects goes on.
 */
export interface KafkaService {
  handle(request: KafkaRequest, signal: AbortSignal): Promise<KafkaReply>;
}
