/** A server under check, of whatever make. */
export interface CheckedServer {
  readonly description: string;
  /** host:port */
  readonly bootstrap: string;
  /** Absent when it is not ours to stop. */
  readonly control?: ServerControl;
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
    logTail: () => '',
    dispose: () => Promise.resolve(),
  };
}
