import type { OperatingError } from '@kafscale/core';

/** What this module needs of a logger; pino's fits. */
export interface EmbeddedPostgresLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface EmbeddedPostgresOptions {
  /** A folder for this database alone; created when missing. */
  readonly dataDir: string;
  readonly log: EmbeddedPostgresLog;
  /**
   * Called at most once, when the database has died or another process owns it now. Nothing can be
   * written any more: the process should end.
   */
  readonly onLost?: (error: OperatingError) => void;
  /** `false` turns fsync off. For tests only: a power failure loses data. Default `true`. */
  readonly durable?: boolean;
  /**
   * Stop the server when the thread that started it dies, where the system can (Linux with
   * `setpriv`). Default `false`: a server that lost its parent waits to be taken over.
   */
  readonly stopWithParent?: boolean;
}

export interface EmbeddedPostgres {
  /** `postgres://user:secret@127.0.0.1:port/kafscale`. Holds the secret: never log it. */
  readonly url: string;
  /** The server's process id. */
  readonly pid: number;
  /** Whether a server that a killed process had left behind was taken over. */
  readonly takenOver: boolean;
  /**
   * Stops the server and waits until it is gone. `fast` writes a checkpoint; when that takes too
   * long, or with `immediate`, the next start recovers from the log instead. Safe to call twice.
   */
  stop(mode?: StopMode): Promise<void>;
}

export type StopMode = 'fast' | 'immediate';

/**
 * Bounds of starting and stopping, in milliseconds unless named otherwise. They are here and not in
 * the program's limits because nothing outside this folder may depend on them.
 */
export const embeddedLimits = {
  pollMs: 10,
  /** From launch, or from finding a server that is starting, to ready: crash recovery included. */
  startMsMax: 120_000,
  /** For leftovers of a killed server to let go of its lock and shared memory. */
  leftoversMsMax: 20_000,
  portAttemptsMax: 5,
  /** A killed owner's session ends when its server notices the closed socket: at once, usually. */
  ownershipMsMax: 3_000,
  ownershipRetryMs: 50,
  /** For a lost ownership session to be restored after the server restarted its backends. */
  reclaimMsMax: 15_000,
  connectSecondsMax: 5,
  fastStopMsMax: 20_000,
  immediateStopMsMax: 5_000,
  logBytesMax: 8 * 1024 * 1024,
  logCheckMs: 60_000,
} as const;
