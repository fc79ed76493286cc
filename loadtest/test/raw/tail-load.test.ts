import { createServer, type Server, type Socket } from 'node:net';
import { apis, batchOffsetSpanAt, encodeResponseHeader, parseRequestHeader } from '@kafscale/codec';
import { afterEach, expect, it } from 'vitest';
import { runTailLoad } from '../../src/raw/tail-load.js';

let server: Server | undefined;

afterEach(() => {
  server?.close();
});

const topic = 'tail';

interface Behaviour {
  /** How long a batch stays unseen by fetches. */
  readonly hiddenMs: number;
  /** Offsets that are skipped before each batch. */
  readonly gap?: number;
}

interface StoredBatch {
  readonly bytes: Buffer;
  readonly nextOffset: number;
  readonly visibleAtMs: number;
}

/** A log per partition, spoken to with the versions that the load generators use. */
class FakeLog {
  readonly #behaviour: Behaviour;
  readonly #partitions = new Map<number, StoredBatch[]>();

  constructor(behaviour: Behaviour) {
    this.#behaviour = behaviour;
  }

  answer(frame: Buffer, socket: Socket): void {
    const { apiKey, apiVersion, bodyOffset, correlationId } = parseRequestHeader(frame);
    const body = frame.subarray(bodyOffset);
    const send = (chunks: readonly Uint8Array[]): void => {
      const header = encodeResponseHeader(apiKey, apiVersion, correlationId);
      const answer = Buffer.concat([header, ...chunks].flat());
      const size = Buffer.alloc(4);
      size.writeInt32BE(answer.length);
      socket.write(Buffer.concat([size, answer]));
    };
    if (apiKey === apis.produce.key) {
      const request = apis.produce.request.decode(body, apiVersion);
      const [data] = request.topicData[0]!.partitionData;
      this.#append(data!.index, data!.records!);
      send(
        apis.produce.response.encode(
          {
            responses: [
              {
                name: topic,
                partitionResponses: [{ index: data!.index, errorCode: 0, baseOffset: 0n }],
              },
            ],
          },
          apiVersion,
        ),
      );
      return;
    }
    const asked = apis.fetch.request
      .decode(body, apiVersion)
      .topics[0]!.partitions.map(({ fetchOffset, partition }) => ({
        partition,
        offset: Number(fetchOffset),
      }));
    const poll = (): void => {
      if (socket.destroyed) return;
      const found = asked.map(({ offset, partition }) => ({
        partition,
        records: this.#read(partition, offset),
      }));
      if (found.every(({ records }) => records.length === 0)) return void setTimeout(poll, 2);
      send(
        apis.fetch.response.encode(
          {
            errorCode: 0,
            sessionId: 0,
            responses: [
              {
                topic,
                partitions: found.map(({ partition, records }) => ({
                  partitionIndex: partition,
                  errorCode: 0,
                  highWatermark: 0n,
                  abortedTransactions: null,
                  records,
                })),
              },
            ],
          },
          apiVersion,
        ),
      );
    };
    poll();
  }

  #append(partition: number, batch: Buffer): void {
    const { gap = 0, hiddenMs } = this.#behaviour;
    const log = this.#partitions.get(partition) ?? [];
    const bytes = Buffer.from(batch);
    const baseOffset = (log.at(-1)?.nextOffset ?? 0) + gap;
    bytes.writeBigInt64BE(BigInt(baseOffset), 0);
    const nextOffset = baseOffset + batchOffsetSpanAt(bytes, 0);
    log.push({ bytes, nextOffset, visibleAtMs: performance.now() + hiddenMs });
    this.#partitions.set(partition, log);
  }

  #read(partition: number, offset: number): Buffer {
    const visible = (this.#partitions.get(partition) ?? []).filter(
      ({ nextOffset, visibleAtMs }) => nextOffset > offset && visibleAtMs <= performance.now(),
    );
    return Buffer.concat(visible.map(({ bytes }) => bytes));
  }
}

async function start(behaviour: Behaviour): Promise<number> {
  const log = new FakeLog(behaviour);
  const started = createServer((socket) => {
    let pending = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 4 && pending.length >= 4 + pending.readInt32BE(0)) {
        const frameBytes = pending.readInt32BE(0);
        log.answer(pending.subarray(4, 4 + frameBytes), socket);
        pending = pending.subarray(4 + frameBytes);
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

async function run(behaviour: Behaviour) {
  return await runTailLoad({
    address: { host: '127.0.0.1', port: await start(behaviour) },
    topic,
    partitions: 2,
    batchBytes: 2300,
    valueBytes: 1024,
    bytesPerSecond: 2 * 1024 * 100,
    readers: 2,
    warmUpSeconds: 0.1,
    seconds: 0.4,
  });
}

it('times batches from when they are due until every reader has them', async () => {
  const hiddenMs = 150;
  const { bytes, bytesWritten, latency, records } = await run({ hiddenMs });
  // 100 batches of 2 records per second: 10 of the warm-up, then 40, read twice.
  expect(records).toBe(2 * 40 * 2);
  expect(bytes).toBe(2 * 40 * 2 * 1024);
  expect(bytesWritten).toBe(50 * 2 * 1024);
  expect(latency.p50).toBeGreaterThanOrEqual(hiddenMs);
});

it('fails when offsets have holes', async () => {
  await expect(run({ hiddenMs: 0, gap: 1 })).rejects.toThrow('offsets have no holes');
});
