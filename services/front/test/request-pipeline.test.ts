import type { KafkaReply } from '@kafscale/cluster';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { RequestPipeline } from '../src/request-pipeline.js';

interface Request {
  readonly number: number;
  readonly concurrent: boolean;
}

interface Running {
  readonly request: Request;
  settle(reply: KafkaReply): void;
  fail(error: Error): void;
}

type Outcome = 'response' | 'none' | 'close' | 'reject';

/** A pipeline whose calls are settled by the test, and everything it did. */
class Harness {
  running: Running[] = [];
  readonly started: number[] = [];
  readonly responded: number[] = [];
  readonly released: number[] = [];
  readonly closed: Array<{ number: number; reason: string; cause: unknown }> = [];
  readonly rejected: unknown[] = [];
  progressed = 0;
  mayExecute = true;
  readonly pipeline = new RequestPipeline<Request>({
    execute: (request) => {
      this.started.push(request.number);
      return new Promise((resolve, reject) => {
        this.running.push({ request, settle: resolve, fail: reject });
      });
    },
    mayExecute: () => this.mayExecute,
    respond: (request) => this.responded.push(request.number),
    released: (request) => this.released.push(request.number),
    rejected: (cause) => this.rejected.push(cause),
    progressed: () => (this.progressed += 1),
    closed: ({ number }, reason, cause) => this.closed.push({ number, reason, cause }),
  });

  async settle(number: number, outcome: Outcome = 'response'): Promise<void> {
    const call = this.running.find((running) => running.request.number === number);
    if (call === undefined) throw new Error(`request ${number} does not run`);
    this.running = this.running.filter((running) => running !== call);
    if (outcome === 'reject') call.fail(new Error('scripted'));
    else if (outcome === 'close') call.settle({ kind: 'close', reason: 'scripted' });
    else if (outcome === 'none') call.settle({ kind: 'none' });
    else call.settle({ kind: 'response', chunks: [Buffer.alloc(10)] });
    await new Promise(setImmediate);
  }
}

const produce = (number: number): Request => ({ number, concurrent: true });
const other = (number: number): Request => ({ number, concurrent: false });

describe('RequestPipeline', () => {
  it('keeps order for every mix of requests, completion orders and outcomes', async () => {
    const script = fc.array(
      fc.record({
        concurrent: fc.boolean(),
        outcome: fc.constantFrom<Outcome>(
          'response',
          'response',
          'response',
          'none',
          'close',
          'reject',
        ),
      }),
      { maxLength: 20 },
    );
    await fc.assert(
      fc.asyncProperty(script, fc.infiniteStream(fc.nat(1000)), async (requests, choices) => {
        const harness = new Harness();
        for (const [number, { concurrent }] of requests.entries()) {
          harness.pipeline.add({ number, concurrent });
        }
        while (harness.running.length > 0) {
          checkRunning(harness.running.map(({ request }) => request));
          const pick = (choices.next().value ?? 0) % harness.running.length;
          const { number } = harness.running[pick]!.request;
          await harness.settle(number, requests[number]!.outcome);
        }
        const failing = requests.findIndex(
          ({ outcome }) => outcome === 'close' || outcome === 'reject',
        );
        const answered = failing < 0 ? requests : requests.slice(0, failing);
        expect(harness.responded).toEqual(
          [...answered.keys()].filter((number) => requests[number]!.outcome === 'response'),
        );
        expect(harness.closed.map(({ number }) => number)).toEqual(failing < 0 ? [] : [failing]);
        expect(harness.started).toEqual(harness.started.toSorted((a, b) => a - b));
        expect(harness.released.toSorted((a, b) => a - b)).toEqual([...requests.keys()]);
        expect(harness.pipeline.size).toBe(0);
        expect(harness.pipeline.heldResponseBytes).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it('runs consecutive Produce requests together and anything else alone', async () => {
    const harness = new Harness();
    for (const request of [produce(0), produce(1), other(2), produce(3), produce(4), other(5)]) {
      harness.pipeline.add(request);
    }
    expect(harness.started).toEqual([0, 1]);
    await harness.settle(1);
    expect(harness.responded).toEqual([]);
    expect(harness.pipeline.heldResponseBytes).toBe(10);
    await harness.settle(0);
    expect(harness.responded).toEqual([0, 1]);
    expect(harness.started).toEqual([0, 1, 2]);
    await harness.settle(2);
    expect(harness.started).toEqual([0, 1, 2, 3, 4]);
    await harness.settle(4);
    await harness.settle(3);
    expect(harness.responded).toEqual([0, 1, 2, 3, 4]);
    expect(harness.started).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('answers what came before a close, and drops what comes behind it', async () => {
    const harness = new Harness();
    for (const number of [0, 1, 2]) harness.pipeline.add(produce(number));
    harness.pipeline.add(other(3));
    await harness.settle(2);
    await harness.settle(1, 'close');
    expect(harness.closed).toEqual([]);
    expect(harness.released).toEqual([2, 1, 3]);
    harness.pipeline.add(produce(4));
    expect(harness.started).toEqual([0, 1, 2]);
    await harness.settle(0);
    expect(harness.responded).toEqual([0]);
    expect(harness.closed).toEqual([{ number: 1, reason: 'scripted', cause: undefined }]);
    expect(harness.released).toEqual([2, 1, 3, 4, 0]);
  });

  it('starts nothing while it may not, and goes on when told', async () => {
    const harness = new Harness();
    harness.mayExecute = false;
    harness.pipeline.add(produce(0));
    expect(harness.started).toEqual([]);
    harness.mayExecute = true;
    harness.pipeline.advance();
    expect(harness.started).toEqual([0]);
    await harness.settle(0);
    expect(harness.responded).toEqual([0]);
    expect(harness.progressed).toBe(1);
  });

  it('responds to nothing after stop, and releases running requests when they end', async () => {
    const harness = new Harness();
    for (const number of [0, 1]) harness.pipeline.add(produce(number));
    harness.pipeline.add(other(2));
    harness.pipeline.stop();
    expect(harness.released).toEqual([2]);
    await harness.settle(0);
    await harness.settle(1, 'reject');
    expect(harness.released).toEqual([2, 0, 1]);
    expect(harness.responded).toEqual([]);
    expect(harness.closed).toEqual([]);
    expect(harness.rejected).toEqual([new Error('scripted')]);
    expect(harness.progressed).toBe(0);
  });

  it('treats a service that throws like one that rejects', async () => {
    const closed: unknown[] = [];
    const pipeline = new RequestPipeline<Request>({
      execute: () => {
        throw new Error('thrown');
      },
      mayExecute: () => true,
      respond: () => expect.unreachable(),
      released: () => undefined,
      rejected: () => undefined,
      progressed: () => undefined,
      closed: (_request, _reason, cause) => closed.push(cause),
    });
    pipeline.add(other(0));
    await new Promise(setImmediate);
    expect(closed).toEqual([new Error('thrown')]);
  });
});

/** Either one request that is not Produce, or Produce requests only. */
function checkRunning(running: readonly Request[]): void {
  if (running.some(({ concurrent }) => !concurrent)) expect(running).toHaveLength(1);
}
