/**
 * One step of the schema. Never changed after it has been released: a database remembers the
 * checksum of every step that it has taken.
 */
export interface Migration {
  /** 1, 2, 3 … without gaps. */
  readonly version: number;
  readonly name: string;
  /** Runs in a transaction, together with the other pending steps. */
  readonly sql: string;
}
