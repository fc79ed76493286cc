/** The few calls that the coordinator makes of a logger; pino has this shape. */
export interface CoordinatorLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What the coordinator counts. Durations in milliseconds. */
export interface CoordinatorMetrics {
  commitTransaction(segments: number, extents: number, durationMs: number): void;
  leaseHeld(held: boolean): void;
}
