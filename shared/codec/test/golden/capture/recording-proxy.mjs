/**
 * Stands between Kafka clients and a broker and records what they say to each other: one line of
 * JSON per request, {request, response}, each the hex of a frame without its length.
 *
 *   node recording-proxy.mjs <listen port> <broker port> <output file> [offered]
 *
 * With `offered` it cuts the ApiVersions responses down to the versions that this server offers, so
 * that the clients and the broker speak exactly those. Stops at SIGTERM.
 */
import { appendFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import {
  apis,
  apiVersionsResponse,
  encodeResponseHeader,
  parseResponseHeader,
  peekRequestPrefix,
} from '@kafscale/codec';

const [listenPort, brokerPort, outputFile, mode] = process.argv.slice(2);
const frameBytesMax = 8 * 1024;
const recordedPerVersionMax = 4;
const lastAnswersMs = 1000;

/** Recorded requests of each (API key, version), by their hex without correlation id. */
const recorded = new Map();

function record(request, response) {
  if (request.length > frameBytesMax || response.length > frameBytesMax) return;
  const version = request.toString('hex', 0, 4);
  const sizes = `${request.length}:${response.length}`;
  const seen = recorded.get(version) ?? new Set();
  if (seen.size >= recordedPerVersionMax || seen.has(sizes)) return;
  recorded.set(version, seen.add(sizes));
  const line = { request: request.toString('hex'), response: response.toString('hex') };
  appendFileSync(outputFile, `${JSON.stringify(line)}\n`);
}

function onlyOffered(frame, apiVersion) {
  const { correlationId, bodyOffset } = parseResponseHeader(
    frame,
    apis.apiVersions.key,
    apiVersion,
  );
  const response = apiVersionsResponse.decode(frame.subarray(bodyOffset), apiVersion);
  const apiKeys = response.apiKeys.flatMap(({ apiKey, minVersion, maxVersion }) => {
    const ours = Object.values(apis).find(({ key }) => key === apiKey);
    if (!ours) return [];
    const max = Math.min(maxVersion, ours.maxVersion);
    return [{ apiKey, minVersion: Math.max(minVersion, ours.minVersion), maxVersion: max }];
  });
  return Buffer.concat([
    encodeResponseHeader(apis.apiVersions.key, apiVersion, correlationId),
    ...apiVersionsResponse.encode({ ...response, apiKeys }, apiVersion),
  ]);
}

/** Calls `onFrame` with each whole frame that arrives. */
function readFrames(socket, onFrame) {
  let pending = Buffer.alloc(0);
  socket.on('data', (data) => {
    pending = Buffer.concat([pending, data]);
    while (pending.length >= 4 && pending.length >= 4 + pending.readInt32BE(0)) {
      const end = 4 + pending.readInt32BE(0);
      onFrame(pending.subarray(4, end));
      pending = pending.subarray(end);
    }
  });
}

function send(socket, frame) {
  const length = Buffer.alloc(4);
  length.writeInt32BE(frame.length);
  socket.write(Buffer.concat([length, frame]));
}

const server = createServer((client) => {
  const broker = connect(Number(brokerPort), '127.0.0.1');
  const unanswered = new Map();
  readFrames(client, (request) => {
    unanswered.set(peekRequestPrefix(request).correlationId, request);
    send(broker, request);
  });
  readFrames(broker, (received) => {
    const correlationId = received.readInt32BE(0);
    const request = unanswered.get(correlationId);
    unanswered.delete(correlationId);
    const { apiKey, apiVersion } = peekRequestPrefix(request);
    const isApiVersions =
      apiKey === apis.apiVersions.key && apiVersion <= apis.apiVersions.maxVersion;
    const response =
      mode === 'offered' && isApiVersions ? onlyOffered(received, apiVersion) : received;
    record(request, response);
    if (!client.destroyed) send(client, response);
  });
  client.on('error', () => client.destroy());
  broker.on('error', () => client.destroy());
  broker.on('close', () => client.destroy());
  // A consumer that closes does not wait for the answer to its LeaveGroup; we do.
  client.on('close', () => setTimeout(() => broker.destroy(), lastAnswersMs));
});

server.listen(Number(listenPort), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
