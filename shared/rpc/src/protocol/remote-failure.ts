import { OperatingError } from '@kafscale/core';
import type { Outcome } from '@kafscale/core';

/** An OperatingError on its way from the callee to the caller. */
export interface RemoteFailure {
  readonly code: string;
  readonly message: string;
  readonly retriable: boolean;
  readonly outcome: Outcome;
}

const textLengthMax = 4096;

export function encodeFailure(failure: RemoteFailure): Buffer {
  const { code, retriable, outcome } = failure;
  const message = failure.message.slice(0, textLengthMax);
  return Buffer.from(JSON.stringify({ code, message, retriable, outcome }));
}

/** What it can not read it takes for the worst: not retriable, outcome unknown. */
export function decodeFailure(payload: Buffer): OperatingError {
  const value = parseJsonObject(payload);
  const code = value?.get('code');
  const message = value?.get('message');
  if (typeof code !== 'string' || typeof message !== 'string') {
    return new OperatingError('REMOTE_ERROR_UNREADABLE', 'the callee sent an unreadable error', {
      outcome: 'unknown',
    });
  }
  return new OperatingError(code, message, {
    retriable: value?.get('retriable') === true,
    outcome: value?.get('outcome') === 'failed' ? 'failed' : 'unknown',
  });
}

/** The members of a JSON object, or null. A Map, so that no name can reach a prototype. */
export function parseJsonObject(payload: Buffer): Map<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
    return new Map(Object.entries(value));
  } catch {
    return null;
  }
}
