import { OperatingError } from '@kafscale/core';

/**
 * - `MALFORMED_MESSAGE`: the bytes are not a message of that schema and version.
 * - `UNSUPPORTED_MESSAGE_VERSION`: no schema is declared for that API key or version.
 * - `UNENCODABLE_MESSAGE`: the value has no encoding in that version (null where the version has no
 *   null, a number out of its field's range).
 */
export type ProtocolErrorCode =
  | 'MALFORMED_MESSAGE'
  | 'UNSUPPORTED_MESSAGE_VERSION'
  | 'UNENCODABLE_MESSAGE';

/** The only error that encoding or decoding a message throws. Never retriable. */
export class ProtocolError extends OperatingError {
  constructor(code: ProtocolErrorCode, message: string) {
    super(code, message);
    this.name = 'ProtocolError';
  }
}
