import {
  Agent,
  createServer,
  request as sendRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import { invariant, sleep } from '@kafscale/core';
import type { S3ProxyCounts, S3ProxyMessage, S3ProxyReply, S3ProxySettings } from './s3-proxy.js';

/**
 * The proxy itself, forked by s3-proxy.ts, with an argument: the endpoint of the store. Bytes are
 * piped, so a slow side slows down the other; an answer that waits holds its headers and nothing else.
 */
const endpoint = new URL(process.argv[2] ?? '');
const agent = new Agent({ keepAlive: true });
let settings: S3ProxySettings = { putDelayMs: 0, getDelayMs: 0, failureShare: 0 };
const counts = { puts: 0, putBytes: 0, gets: 0, getBytes: 0, failures: 0 } satisfies S3ProxyCounts;

const server = createServer((request, response) => {
  // Taken when the request comes: what is under way keeps what it came with.
  const { failureShare } = settings;
  count(request);
  if (isObjectPut(request) && Math.random() < failureShare) refuse(request, response);
  else forward(request, response);
});
// A connection that its client believes to be alive must not be closed meanwhile.
server.keepAliveTimeout = 600_000;
server.requestTimeout = 0;

server.listen(0, '127.0.0.1', () => {
  reply({ kind: 'listening', port: (server.address() as AddressInfo).port });
});
process.on('message', (message: S3ProxyMessage) => {
  if (message.kind === 'set') settings = message.settings;
  reply({ kind: 'done', counts });
});
process.on('disconnect', () => process.exit(0));

function reply(message: S3ProxyReply): void {
  invariant(process.send !== undefined, 'the proxy is forked');
  process.send(message);
}

function count({ headers, method }: IncomingMessage): void {
  if (method === 'PUT') {
    counts.puts += 1;
    counts.putBytes += Number(headers['content-length'] ?? 0);
  } else if (method === 'GET') counts.gets += 1;
}

/** Buckets are not put through a proxy. */
function isObjectPut({ method }: IncomingMessage): boolean {
  return method === 'PUT';
}

/** The two ways in which S3 says that it can't now, each half of the time, with all of the body read. */
function refuse(request: IncomingMessage, response: ServerResponse): void {
  counts.failures += 1;
  const isSlowDown = counts.failures % 2 === 0;
  const [status, code] = isSlowDown ? [503, 'SlowDown'] : [500, 'InternalError'];
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>injected</Message></Error>`;
  request.on('end', () => {
    response.writeHead(status, {
      'content-type': 'application/xml',
      'content-length': Buffer.byteLength(body),
    });
    response.end(body);
  });
  request.resume();
}

function forward(request: IncomingMessage, response: ServerResponse): void {
  const upstream = sendRequest({
    agent,
    host: endpoint.hostname,
    port: endpoint.port,
    method: request.method,
    path: request.url,
    // As they came, Host too: it is signed. Only the expectation has been met here.
    headers: withoutExpectation(request.rawHeaders),
  });
  upstream.on('response', (answer) => void sendBack(request, response, answer));
  upstream.on('error', () => response.destroy());
  // Whichever ends early ends the other.
  pipeline(request, upstream, () => {});
  response.on('close', () => upstream.destroy());
}

async function sendBack(
  { method }: IncomingMessage,
  response: ServerResponse,
  answer: IncomingMessage,
): Promise<void> {
  const { getDelayMs, putDelayMs } = settings;
  const delayMs = method === 'PUT' ? putDelayMs : method === 'GET' ? getDelayMs : 0;
  if (delayMs > 0) await sleep(delayMs);
  if (method === 'GET') counts.getBytes += Number(answer.headers['content-length'] ?? 0);
  response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
  pipeline(answer, response, () => {});
}

function withoutExpectation(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter(
    (_, index) => rawHeaders[index - (index % 2)]?.toLowerCase() !== 'expect',
  );
}
