import { describe, expect, it } from 'vitest';
import { Gate } from '../src/gate.js';
import { ReaderMemory } from '../src/read/reader-memory.js';
import { Waiters } from '../src/read/waiters.js';

const { signal } = new AbortController();

describe('Waiters', () => {
  it('counts bytes over all partitions of a waiter and leaves nothing behind', async () => {
    const waiters = new Waiters(100);
    const wait = waiters.wait({ partitionIds: [1, 2, 2], bytes: 100, timeoutMs: 100_000, signal });
    waiters.addBytes(3, 1000);
    waiters.addBytes(1, 60);
    expect(waiters.count).toBe(1);
    waiters.addBytes(2, 40);
    expect(await wait).toBe('bytes');
    expect([waiters.count, waiters.entries]).toEqual([0, 0]);
  });

  it('says why it ended', async () => {
    const waiters = new Waiters(100);
    const abort = new AbortController();
    const options = { partitionIds: [1], bytes: 1, timeoutMs: 100_000, signal };
    const ended = Promise.all([
      waiters.wait({ ...options, timeoutMs: 1 }),
      waiters.wait({ ...options, signal: abort.signal }),
      waiters.wait({ ...options, partitionIds: [2] }),
    ]);
    abort.abort();
    waiters.wakePartition(2);
    expect(await ended).toEqual(['timeout', 'aborted', 'changed']);
    const aborted = waiters.wait({ ...options, signal: abort.signal });
    expect(await aborted).toBe('aborted');
    expect([waiters.count, waiters.entries]).toEqual([0, 0]);
  });

  it('beyond its bound only waits for the time to pass', async () => {
    const waiters = new Waiters(2);
    const options = { bytes: 1, timeoutMs: 20, signal };
    const first = waiters.wait({ ...options, partitionIds: [1, 2] });
    const second = waiters.wait({ ...options, partitionIds: [1] });
    expect(waiters.entries).toBe(2);
    waiters.addBytes(1, 10);
    expect(await first).toBe('bytes');
    expect(await second).toBe('timeout');
    expect(waiters.entries).toBe(0);
  });

  it('waits no more once it is closed', async () => {
    const waiters = new Waiters(2);
    const options = { partitionIds: [1], bytes: 1, timeoutMs: 100_000, signal };
    const before = waiters.wait(options);
    waiters.close();
    expect(await before).toBe('timeout');
    expect(await waiters.wait(options)).toBe('timeout');
  });
});

describe('Gate', () => {
  it('lets so many through at a time, in order, also after a failure', async () => {
    const gate = new Gate(2);
    const started: number[] = [];
    const releases: (() => void)[] = [];
    const tasks = [0, 1, 2, 3].map((index) =>
      gate.run(async () => {
        started.push(index);
        await new Promise<void>((resolve) => releases.push(resolve));
        if (index === 0) throw new Error('failed');
        return index;
      }),
    );
    const results = Promise.allSettled(tasks);
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    await turn();
    expect(started).toEqual([0, 1]);
    releases[0]!();
    await turn();
    expect(started).toEqual([0, 1, 2]);
    releases[1]!();
    await turn();
    expect(started).toEqual([0, 1, 2, 3]);
    for (const release of releases) release();
    expect((await results).map(({ status }) => status)).toEqual([
      'rejected',
      'fulfilled',
      'fulfilled',
      'fulfilled',
    ]);
  });
});

describe('ReaderMemory', () => {
  const limits = {
    readersMax: 3,
    streamsMax: 10,
    idleMsMax: 1000,
    readAheadBytesPerPartitionMax: 800,
    readAheadBytesMax: 1000,
  };

  function make() {
    const time = { nowMs: 0 };
    const clock = { monotonicMs: () => time.nowMs, wallMs: () => 0 };
    return { time, memory: new ReaderMemory(limits, clock) };
  }

  const served = (offset: number, nextOffset: number, partitionId = 1) => ({
    partitionId,
    offset,
    nextOffset,
    bytes: 100,
    isBehind: true,
  });

  it('reads further ahead the longer a partition is read in sequence', () => {
    const { memory } = make();
    const depths = [0, 1, 2, 3, 4, 5, 6].map((offset) =>
      memory.served('c', served(offset, offset + 1)),
    );
    expect(depths).toEqual([0, 100, 200, 400, 800, 800, 800]);
    expect(memory.served('c', served(50, 51))).toBe(0);
    expect(memory.served('c', served(51, 52))).toBe(100);
  });

  it('divides the budget among those who lag, and gives none at the end of the log', () => {
    const { memory } = make();
    for (const partitionId of [1, 2, 3, 4]) {
      for (let offset = 0; offset < 5; offset++) {
        memory.served('c', served(offset, offset + 1, partitionId));
      }
    }
    expect(memory.served('c', served(5, 6, 1))).toBe(250);
    expect(memory.served('c', { ...served(5, 6, 2), isBehind: false })).toBe(0);
    expect(memory.streamCount).toBe(3);
    expect(memory.served('c', served(5, 6, 3))).toBe(333);
  });

  it('forgets who is idle, and the longest idle first when there are too many', () => {
    const { memory, time } = make();
    for (const connection of ['a', 'b', 'c', 'd']) memory.setStarved(connection, 1);
    expect(memory.starved('a')).toBeNull();
    expect(memory.starved('b')).toBe(1);
    time.nowMs = 2000;
    memory.served('e', served(0, 1));
    expect(memory.readerCount).toBe(1);
    expect(memory.starved('d')).toBeNull();
    memory.setStarved('f', null);
    expect(memory.readerCount).toBe(1);
  });
});
