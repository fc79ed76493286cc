/** Why the bytes of a connection can't be Kafka requests. Also a metric label: a closed set. */
export type FrameRefusalReason = 'negative' | 'short' | 'oversize' | 'tls' | 'http';

export interface FrameRefusal {
  readonly reason: FrameRefusalReason;
  /** One line for an operator, with what to do about it where that is known. */
  readonly message: string;
}

/** Request API key, API version and correlation id: no request header is shorter. */
export const frameBytesMin = 8;

/** The first four characters of what HTTP clients send (HTTP/2 with prior knowledge included). */
const httpStarts: ReadonlySet<string> = new Set([
  'GET ',
  'HEAD',
  'POST',
  'PUT ',
  'PATC',
  'DELE',
  'OPTI',
  'CONN',
  'TRAC',
  'PRI ',
]);

/**
 * Judges a length prefix, before anything is allocated for it. Null when it is acceptable.
 * A TLS record (16 03 xx) and HTTP's methods read as lengths far above any sensible limit, so they
 * are only looked for there.
 */
export function refuseFrameLength(frameBytes: number, frameBytesMax: number): FrameRefusal | null {
  if (frameBytes < 0) {
    return { reason: 'negative', message: `a request announced ${frameBytes} bytes` };
  }
  if (frameBytes < frameBytesMin) {
    return {
      reason: 'short',
      message: `a request announced ${frameBytes} bytes, fewer than its header needs`,
    };
  }
  if (frameBytes <= frameBytesMax) return null;
  if (frameBytes >>> 16 === 0x1603) {
    return {
      reason: 'tls',
      message: 'a TLS handshake on a plaintext listener: is the client set to SSL or SASL_SSL?',
    };
  }
  if (httpStarts.has(asciiOf(frameBytes))) {
    return { reason: 'http', message: 'an HTTP request on the Kafka port' };
  }
  return {
    reason: 'oversize',
    message: `a request announced ${frameBytes} bytes, more than the limit of ${frameBytesMax}`,
  };
}

function asciiOf(value: number): string {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}
