import { createServer, request as httpRequest, type Server } from 'node:http';
import { crc32c } from '@node-rs/crc32';
import { systemClock } from '@kafscale/core';
import { type ObjectStore, openObjectStore } from '@kafscale/storage';
import { findS3Server, type S3Server, startS3Server } from '@kafscale/testing';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HedgedReads } from '../src/blocks/hedged-reads.js';
import { LatencyWindow } from '../src/blocks/latency-window.js';

describe('the window of latencies', () => {
  it('knows nothing until it has enough values', () => {
    const window = new LatencyWindow(10, 5);
    for (let value = 0; value < 4; value++) window.add(value);
    expect(window.p99).toBeUndefined();
    window.add(4);
    expect(window.p99).toBe(4);
  });

  it('says what all but a hundredth of its newest values stayed below', () => {
    const durations = fc.array(fc.nat(1_000_000), { minLength: 16, maxLength: 800 });
    fc.assert(
      fc.property(durations, (values) => {
        const window = new LatencyWindow(256, 16);
        for (const value of values) window.add(value);
        // Looked at with every 16th value.
        const seen = values.slice(0, values.length - (values.length % 16)).slice(-256);
        const sorted = seen.sort((left, right) => left - right);
        expect(window.p99).toBe(sorted[Math.ceil(sorted.length * 0.99) - 1]);
      }),
    );
  });
});

/** Lets requests through, and holds back the answers of those that it is told to. */
class DelayingProxy {
  readonly #server: Server;
  readonly #held: (() => void)[] = [];
  /** Asked for every GET, by its number from 1. */
  isHeld: (getNumber: number) => boolean = () => false;
  gets = 0;
  aborted = 0;

  constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#server = createServer((request, response) => {
      const { method, url, headers } = request;
      const isHeld = method === 'GET' && this.isHeld(++this.gets);
      const onward = httpRequest({ hostname, port, method, path: url, headers }, (answer) => {
        const pass = (): void => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        };
        if (isHeld) this.#held.push(pass);
        else pass();
      });
      response.on('close', () => {
        if (!response.writableFinished) this.aborted++;
      });
      onward.on('error', () => response.destroy());
      request.pipe(onward);
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  }

  letGo(): void {
    for (const pass of this.#held.splice(0)) pass();
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const title = 'hedged reads of a real S3 server';
const hasServer = findS3Server() !== undefined;

describe.skipIf(!hasServer)(hasServer ? title : `${title} — LEFT OUT: no versitygw`, () => {
  const content = Buffer.from('bytes of a segment').toString().repeat(100);
  const length = content.length;
  let server: S3Server;
  let proxy: DelayingProxy;
  let store: ObjectStore;

  beforeAll(async () => {
    server = await startS3Server();
    proxy = new DelayingProxy(server.endpoint);
    const { accessKeyId, secretAccessKey } = server;
    store = openObjectStore(`s3://${server.bucket}/hedged`, {
      endpoint: await proxy.start(),
      pathStyle: true,
      region: server.region,
      credentials: { accessKeyId, secretAccessKey },
    });
    const bytes = Buffer.from(content);
    await store.put('object', [bytes], crc32c(bytes));
  });

  afterAll(async () => {
    await store.close();
    await proxy.stop();
    await server.stop();
  });

  function hedging(limits: { shareMax?: number; samplesMin?: number } = {}) {
    const counts = new Map<string, number>();
    const reads = new HedgedReads({
      store,
      clock: systemClock,
      limits: { shareMax: 0.05, burstMax: 8, samplesMax: 512, samplesMin: 20, ...limits },
      metrics: {
        count: (name, by = 1) => counts.set(name, (counts.get(name) ?? 0) + by),
        observe: () => undefined,
        gauge: () => undefined,
      },
    });
    return { reads, counted: (name: string) => counts.get(name) ?? 0 };
  }

  async function readMany(reads: HedgedReads, count: number): Promise<void> {
    for (let read = 0; read < count; read++) {
      expect((await reads.read('object', 0, length)).toString()).toBe(content);
    }
  }

  it('answers from a second read when the first is late, and gives the first one up', async () => {
    const { reads, counted } = hedging({ samplesMin: 60 });
    // Known from the last of these reads on: none of them is hedged, however busy the machine.
    proxy.isHeld = () => false;
    await readMany(reads, 60);
    const before = { gets: proxy.gets, hedged: counted('fetch_reads_hedged_total') };
    const abortedBefore = proxy.aborted;
    proxy.isHeld = (number) => number === before.gets + 1;
    const into = Buffer.alloc(length);
    const bytes = await reads.read('object', 0, length, into);
    expect(bytes.toString()).toBe(content);
    // The first may still be filling its memory: the answer is not in it.
    expect(bytes).not.toBe(into);
    expect(proxy.gets).toBe(before.gets + 2);
    expect(counted('fetch_reads_hedged_total')).toBe(before.hedged + 1);
    expect(counted('fetch_hedges_won_total')).toBeGreaterThanOrEqual(1);
    await expect.poll(() => proxy.aborted).toBe(abortedBefore + 1);
    proxy.letGo();
  });

  it('sends no more second reads than its share, however slow the store is', async () => {
    const { reads, counted } = hedging({ samplesMin: 40 });
    proxy.isHeld = () => false;
    await readMany(reads, 40);
    const hedgedBefore = counted('fetch_reads_hedged_total');
    const getsBefore = proxy.gets;
    // Everything is late from here on. The first one is held until it is hedged.
    proxy.isHeld = () => true;
    const first = reads.read('object', 0, length);
    await expect.poll(() => counted('fetch_reads_hedged_total')).toBeGreaterThan(hedgedBefore);
    const letting = setInterval(() => proxy.letGo(), 50);
    await first;
    await readMany(reads, 39);
    clearInterval(letting);
    proxy.letGo();
    const hedged = counted('fetch_reads_hedged_total') - hedgedBefore;
    expect(counted('fetch_reads_hedged_total')).toBeLessThanOrEqual((40 + 40) * 0.05);
    // One that lost may have been given up before it was sent.
    expect(proxy.gets - getsBefore).toBeLessThanOrEqual(40 + hedged);
  });

  it('never hedges before it knows what late is', async () => {
    const { reads, counted } = hedging({ samplesMin: 500 });
    proxy.isHeld = () => true;
    const letting = setInterval(() => proxy.letGo(), 20);
    await readMany(reads, 5);
    clearInterval(letting);
    expect(counted('fetch_reads_hedged_total')).toBe(0);
  });

  it('fails as the first read did when both fail', async () => {
    const { reads, counted } = hedging({ samplesMin: 60 });
    proxy.isHeld = () => false;
    await readMany(reads, 60);
    proxy.isHeld = () => true;
    const before = counted('fetch_reads_hedged_total');
    const outcome = reads.read('nothing', 0, length).catch((error: unknown) => error);
    await expect.poll(() => counted('fetch_reads_hedged_total')).toBeGreaterThan(before);
    const letting = setInterval(() => proxy.letGo(), 50);
    expect(await outcome).toMatchObject({ code: 'OBJECT_NOT_FOUND' });
    clearInterval(letting);
  });
});
