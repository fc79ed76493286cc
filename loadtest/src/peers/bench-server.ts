import type { Address } from '../raw/frame-socket.js';

/** A server under measurement, of whatever make, on a fresh data directory. */
export interface BenchServer {
  readonly name: string;
  /** What it is and how it was started, for the report. */
  readonly description: string;
  readonly address: Address;
  /** Whose process trees make up the server. */
  readonly rootPids: readonly number[];
  /** Of an object store beside it, whose CPU time is reported apart. */
  readonly storePids?: readonly number[];
  /** Stops it, and deletes its data. */
  dispose(): Promise<void>;
}

export interface BenchServerOptions {
  /** Where the server's own data folder goes; the same disk for all. */
  readonly dataRoot: string;
}
