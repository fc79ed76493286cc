import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { limits } from '@kafscale/core';

/** Plain data: a worker thread opens its own store from it. */
export interface S3Options {
  /** For anything but AWS: `https://minio.internal:9000`. */
  readonly endpoint?: string;
  readonly region?: string;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. */
  readonly pathStyle?: boolean;
  /**
   * Sign a SHA-256 of every payload, 2 CPU seconds per GB. Default: only over plain HTTP to another
   * machine; over TLS, and on this machine, nobody can change the bytes, and our CRC-32C is checked
   * by the store in any case.
   */
  readonly signPayload?: boolean;
  /**
   * A put that the store throttles fails at once with STORE_THROTTLED, for a caller that slows down and
   * repeats it. Such a caller never puts other bytes under the same key: an object of the same size and
   * checksum is its own, from an attempt whose answer was lost.
   */
  readonly callerRepeatsPuts?: boolean;
  /** Default: the usual chain (environment, shared files, instance role). */
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
}

const nothing = (): void => undefined;
/** The SDK writes to the console otherwise; what matters reaches the caller as an error. */
const silent = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };

/** A client that leaves retries, deadlines and checksums to us. */
export function createS3Client(options: S3Options): S3Client {
  // It announces on stderr that some later release of the SDK will need a later Node; ours is pinned.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const agentOptions = { keepAlive: true, maxSockets: limits.storeConnectionsMax };
  const region = options.region ?? (options.endpoint === undefined ? undefined : 'us-east-1');
  const config: S3ClientConfig = {
    maxAttempts: 1,
    logger: silent,
    // Checksums of ours stand on every put, and of the batches on every read.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Saves a round trip per put; a store that refuses says so after the upload instead.
    expectContinueHeader: false,
    forcePathStyle: options.pathStyle ?? false,
    requestHandler: {
      connectionTimeout: limits.storeConnectTimeoutMs,
      httpAgent: new HttpAgent(agentOptions),
      httpsAgent: new HttpsAgent(agentOptions),
    },
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
  };
  const client = new S3Client(config);
  if (!(options.signPayload ?? crossesPlainNetwork(options.endpoint))) leavePayloadUnsigned(client);
  return client;
}

function crossesPlainNetwork(endpoint: string | undefined): boolean {
  if (endpoint === undefined) return false;
  const { hostname, protocol } = new URL(endpoint);
  const isHere = hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
  return protocol === 'http:' && !isHere;
}

/** The signer takes a payload hash that is already in the headers instead of computing one. */
function leavePayloadUnsigned(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => (step) => {
      const { request } = step;
      if (context.commandName === 'PutObjectCommand' && hasHeaders(request)) {
        request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
      }
      return next(step);
    },
    { step: 'build', name: 'leavePayloadUnsigned' },
  );
}

function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === 'object' && request !== null && 'headers' in request;
}
