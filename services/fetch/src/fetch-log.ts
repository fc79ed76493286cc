/** The few calls that fetch makes of a logger; pino has this shape. */
export interface FetchLog {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
