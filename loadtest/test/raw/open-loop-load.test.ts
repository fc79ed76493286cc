import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { latencyFigures } from '../../src/raw/latency-figures.js';
import { runOpenLoopLoad } from '../../src/raw/open-loop-load.js';

let server: Server | undefined;

afterEach(() => {
  server?.close();
});

const topic = 'slow';

/** Answers every Produce request with success, but nothing in the `stallMs` from the first one on. */
async function startStalling(stallMs: number): Promise<number> {
  let startMs = Number.NaN;
  const answerLater = (socket: Socket, correlationId: number): void => {
    if (Number.isNaN(startMs)) startMs = performance.now();
    const answer = Buffer.alloc(4 + 4 + 4 + 2 + topic.length + 4 + 38 + 4);
    answer.writeInt32BE(answer.length - 4, 0);
    answer.writeInt32BE(correlationId, 4);
    const delayMs = Math.max(0, startMs + stallMs - performance.now());
    setTimeout(() => socket.write(answer), delayMs);
  };
  const started = createServer((socket) => {
    let pending = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 12 && pending.length >= 4 + pending.readInt32BE(0)) {
        answerLater(socket, pending.readInt32BE(8));
        pending = pending.subarray(4 + pending.readInt32BE(0));
      }
    });
    socket.on('error', () => {});
  });
  server = started;
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
  const address = started.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

it('counts the wait of requests that could not be sent while the server stood still', async () => {
  const stallMs = 400;
  const port = await startStalling(stallMs);
  const { latency, requests } = await runOpenLoopLoad({
    address: { host: '127.0.0.1', port },
    topic,
    partitions: 1,
    batchBytes: 1200,
    batchesPerRequest: 1,
    valueBytes: 1024,
    connections: 1,
    inFlightPerConnection: 1,
    bytesPerSecond: 100 * 1024,
    warmUpSeconds: 0,
    seconds: 0.4,
    overtimeSeconds: 10,
  });
  expect(requests).toBe(40);
  // One request was in flight: a closed loop would show one slow request out of 40, and a median of
  // next to nothing. The others waited 10 ms less each.
  expect(latency.p50).toBeGreaterThan(stallMs / 4);
  expect(latency.max).toBeGreaterThan(latency.p50);
});

it('gives up what a server that is far behind has not let it send', async () => {
  const port = await startStalling(600);
  const { recordsSent, requests, unsent } = await runOpenLoopLoad({
    address: { host: '127.0.0.1', port },
    topic,
    partitions: 1,
    batchBytes: 1200,
    batchesPerRequest: 1,
    valueBytes: 1024,
    connections: 1,
    inFlightPerConnection: 1,
    bytesPerSecond: 100 * 1024,
    warmUpSeconds: 0,
    seconds: 0.2,
    overtimeSeconds: 0.1,
  });
  expect({ recordsSent, requests, unsent }).toEqual({ recordsSent: 1, requests: 1, unsent: 19 });
});

it('takes latencies that were measured, by nearest rank', () => {
  const latencies = Float64Array.from({ length: 1000 }, (_, index) => 1000 - index);
  expect(latencyFigures(latencies)).toEqual({ p50: 500, p99: 990, p999: 999, max: 1000 });
  expect(latencyFigures(Float64Array.of(7))).toEqual({ p50: 7, p99: 7, p999: 7, max: 7 });
});
