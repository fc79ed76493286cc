import type { FrameRefusalReason } from './frame-refusal.js';
import type { LogLevel } from './front-log.js';

/** Why a client connection ended. Also a metric label: a closed set. */
export type CloseReason =
  | FrameRefusalReason
  | 'client' // the client closed it
  | 'truncated' // the client closed it in the middle of a request
  | 'socket_error'
  | 'idle'
  | 'frame_timeout'
  | 'slow_reader'
  | 'malformed'
  | 'unknown_api'
  | 'unsupported_version'
  | 'service_closed' // a service answered `close`
  | 'service_failed'
  | 'ingest_lost'
  | 'drain'
  | 'drain_timeout';

/** What nobody did wrong is for debugging; what the client or a service did wrong is a warning. */
const quietReasons: ReadonlyMap<CloseReason, LogLevel> = new Map([
  ['client', 'debug'],
  ['socket_error', 'debug'],
  ['idle', 'debug'],
  ['drain', 'debug'],
  ['truncated', 'info'],
  ['drain_timeout', 'info'],
]);

export function logLevelOf(reason: CloseReason): LogLevel {
  return quietReasons.get(reason) ?? 'warn';
}
