/** A server under check, of whatever make. */
export interface CheckedServer {
  readonly description: string;
  /** host:port */
  readonly bootstrap: string;
  /** Absent when it is not ours to stop. */
  readonly control?: ServerControl;
  /** Without, a transactional producer must be told so. */
  readonly hasTransactions: boolean;
  /**
   * A restart makes no group rebalance. Apache Kafka's takes long enough that the Java consumer was seen
   * to join again, and to start from what it had committed.
   */
  readonly restartsQuietly: boolean;
  /** The end of its log, for the report of a failure. */
  logTail(): string;
  /** Stops it, and deletes its data. */
  dispose(): Promise<void>;
}

export interface ServerControl {
  /** SIGTERM, then started again on the same data and port. Throws unless it exits with 0. */
  restartCleanly(): Promise<void>;
  /** `kill -9` of its process, then started again. */
  restartAfterKill(): Promise<void>;
}

/** A server that somebody else runs. */
export function runningServer(bootstrap: string): CheckedServer {
  return {
    description: `the server at ${bootstrap}`,
    bootstrap,
    // Whose server it is cannot be known: nothing is expected of it.
    hasTransactions: true,
    restartsQuietly: false,
    logTail: () => '',
    dispose: () => Promise.resolve(),
  };
}
