import { OperatingError } from '@kafscale/core';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import { NodeDirectory } from '../src/node-directory.js';
import { ProduceRoute } from '../src/produce-route.js';
import {
  fetch,
  metadata,
  produce,
  ScriptedService,
  settle,
  startTestFront,
  until,
} from './scripted.js';
import type { TestFront } from './scripted.js';

let front: TestFront | undefined;
afterEach(async () => {
  await front?.close();
  front = undefined;
});

const unsent = (): OperatingError =>
  new OperatingError('LINK_DOWN', 'never left', { retriable: true, outcome: 'failed' });
const unknown = (): OperatingError =>
  new OperatingError('LINK_LOST', 'no answer', { retriable: true, outcome: 'unknown' });

interface Node {
  readonly nodeId: number;
  readonly zone: string;
  readonly ingest: ScriptedService;
  readonly fetch: ScriptedService;
  readonly coordinator: ScriptedService;
}

function node(nodeId: number, zone = 'a'): Node {
  return {
    nodeId,
    zone,
    ingest: new ScriptedService(),
    fetch: new ScriptedService(),
    coordinator: new ScriptedService(),
  };
}

async function startWith(nodes: readonly Node[]): Promise<[TestFront, NodeDirectory]> {
  const directory = new NodeDirectory(nodes);
  front = await startTestFront({ directory });
  return [front, directory];
}

describe('Produce', () => {
  it('goes to one node of the zone for as long as the connection lives', async () => {
    const nodes = [node(1, 'b'), node(2), node(3), node(4, 'b')];
    for (const { ingest } of nodes) ingest.onCall = (call) => call.respond();
    const [test] = await startWith(nodes);
    for (let i = 0; i < 4; i += 1) {
      const client = await test.connect();
      for (let number = 0; number < 3; number += 1) client.write(produce(number));
      await client.response(2);
    }
    // Two connections each, all of a connection's requests together; none to another zone.
    expect(nodes.map(({ ingest }) => ingest.calls.length)).toEqual([0, 6, 6, 0]);
    for (const { ingest } of nodes) {
      const connections = ingest.calls.map(({ request }) => request.connectionId);
      expect(connections).toEqual(connections.toSorted());
    }
  });

  it('goes to another zone when its own has none', async () => {
    const nodes = [node(1, 'b')];
    const [test] = await startWith(nodes);
    const client = await test.connect();
    client.write(produce(0));
    (await nodes[0]!.ingest.call(0)).respond();
    await client.response(0);
  });

  it('closes the connection when its node goes with requests in flight, and keeps others', async () => {
    const nodes = [node(1), node(2)];
    const [test, directory] = await startWith(nodes);
    const clients = [await test.connect(), await test.connect()];
    clients[0]!.write(produce(0), produce(1));
    await nodes[0]!.ingest.call(1);
    nodes[0]!.ingest.calls[0]!.respond();
    await clients[0]!.response(0);
    clients[1]!.write(produce(0));
    const survivor = await nodes[1]!.ingest.call(0);
    directory.update([nodes[1]!]);
    await clients[0]!.untilClosed();
    expect(clients[0]!.responses).toHaveLength(1);
    survivor.respond();
    await clients[1]!.response(0);
    expect(test.log.loud.map(({ fields }) => fields['reason'])).toEqual(['ingest_lost']);
    // The gone node's late answer harms nobody.
    nodes[0]!.ingest.calls[1]!.respond();
    await until(() => test.bytesInFlight() === 0);
  });

  it('goes on with another node when its node goes with nothing in flight', async () => {
    const nodes = [node(1), node(2)];
    const [test, directory] = await startWith(nodes);
    const client = await test.connect();
    client.write(produce(0));
    (await nodes[0]!.ingest.call(0)).respond();
    await client.response(0);
    directory.update([nodes[1]!]);
    client.write(produce(1));
    (await nodes[1]!.ingest.call(0)).respond();
    expect(await client.correlationIds(2)).toEqual([0, 1]);
  });

  it('closes when the outcome of a call is unknown, and re-sends nothing', async () => {
    const nodes = [node(1), node(2)];
    const [test] = await startWith(nodes);
    const client = await test.connect();
    client.write(produce(0), produce(1));
    await nodes[0]!.ingest.call(1);
    nodes[0]!.ingest.calls[0]!.fail(unknown());
    await client.untilClosed();
    nodes[0]!.ingest.calls[1]!.fail(unsent());
    await settle();
    expect(nodes[1]!.ingest.calls).toHaveLength(0);
    expect(test.log.loud[0]!.fields).toMatchObject({
      reason: 'service_failed',
      outcome: 'unknown',
    });
  });

  it('takes what provably never left to another node, in order', async () => {
    const nodes = [node(1), node(2)];
    const [test] = await startWith(nodes);
    const client = await test.connect();
    client.write(produce(0), produce(1), produce(2));
    await nodes[0]!.ingest.call(2);
    nodes[0]!.ingest.calls[0]!.respond();
    nodes[0]!.ingest.calls[2]!.fail(unsent());
    await settle();
    // 1 may still have been delivered: 2 waits, and so does what comes now.
    client.write(produce(3));
    await settle();
    expect(nodes[1]!.ingest.calls).toHaveLength(0);
    nodes[0]!.ingest.calls[1]!.fail(unsent());
    await nodes[1]!.ingest.call(2);
    expect(nodes[1]!.ingest.calls.map(({ request }) => request.requestNumber)).toEqual([1, 2, 3]);
    for (const call of nodes[1]!.ingest.calls) call.respond();
    expect(await client.correlationIds(4)).toEqual([0, 1, 2, 3]);
    expect(nodes[0]!.ingest.calls).toHaveLength(3);
    expect(test.log.loud).toEqual([]);
  });

  it('closes when a request was overtaken by one that was delivered', async () => {
    const nodes = [node(1), node(2)];
    const [test] = await startWith(nodes);
    const client = await test.connect();
    client.write(produce(0), produce(1));
    await nodes[0]!.ingest.call(1);
    nodes[0]!.ingest.calls[0]!.fail(unsent());
    nodes[0]!.ingest.calls[1]!.respond();
    await client.untilClosed();
    expect(client.responses).toHaveLength(0);
    expect(nodes[1]!.ingest.calls).toHaveLength(0);
    expect(test.log.loud[0]!.fields).toMatchObject({ code: 'PRODUCE_ORDER_LOST' });
  });

  it('closes when no node can take it', async () => {
    const [test] = await startWith([]);
    const client = await test.connect();
    client.write(produce(0));
    await client.untilClosed();
    expect(test.log.loud[0]!.fields).toMatchObject({ code: 'NO_INGEST_NODE' });
  });

  it('never sends a request twice after it may have arrived, nor out of order', async () => {
    type Step = 'ok' | 'unsent' | 'unknown';
    const steps = fc.array(fc.constantFrom<Step>('ok', 'ok', 'unsent', 'unsent', 'unknown'), {
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.nat(8),
        steps,
        fc.infiniteStream(fc.nat(100)),
        async (count, outcomes, picks) => {
          const nodes = [node(1), node(2), node(3)];
          const route = new ProduceRoute(new NodeDirectory(nodes), 'a');
          const delivered: number[] = [];
          const settled = new Set<number>();
          const replies = Array.from({ length: count }, (_, requestNumber) =>
            route.handle(kafkaRequest(requestNumber), new AbortController().signal).then(
              () => 'ok',
              () => 'rejected',
            ),
          );
          for (;;) {
            const open = nodes.flatMap(({ ingest }) =>
              ingest.calls.filter((call) => !call.settled),
            );
            if (open.length === 0) break;
            const call = open[(picks.next().value ?? 0) % open.length]!;
            const outcome = outcomes.shift() ?? 'ok';
            const { requestNumber } = call.request;
            expect(settled.has(requestNumber)).toBe(false);
            if (outcome === 'unsent') call.fail(unsent());
            else {
              settled.add(requestNumber);
              delivered.push(requestNumber);
              if (outcome === 'unknown') call.fail(unknown());
              else call.respond();
            }
            await new Promise(setImmediate);
          }
          // Every call settles, and each node saw its requests in order.
          expect(await Promise.all(replies)).toHaveLength(count);
          const order = nodes.flatMap(({ ingest }) =>
            ingest.calls.map((call) => call.request.requestNumber),
          );
          for (const { ingest } of nodes) {
            const numbers = ingest.calls.map((call) => call.request.requestNumber);
            expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
          }
          // Whatever a node took over came after everything that was delivered elsewhere.
          for (let i = 1; i < nodes.length; i += 1) {
            const first = nodes[i]!.ingest.calls[0]?.request.requestNumber;
            if (first === undefined) continue;
            const before = nodes
              .slice(0, i)
              .flatMap(({ ingest }) => ingest.calls.filter((call) => call.settled))
              .map((call) => call.request.requestNumber)
              .filter(
                (number) =>
                  settled.has(number) &&
                  !nodes[i]!.ingest.calls.some((call) => call.request.requestNumber === number),
              );
            for (const number of before) expect(number).toBeLessThan(first);
          }
          expect(new Set(delivered).size).toBe(delivered.length);
          expect(order.length).toBeLessThanOrEqual(count * 3);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('reads', () => {
  it('go to one node, and to another when it goes', async () => {
    const nodes = [node(1), node(2)];
    const [test, directory] = await startWith(nodes);
    const client = await test.connect();
    client.write(fetch(0), fetch(1));
    (await nodes[0]!.fetch.call(0)).respond();
    (await nodes[0]!.fetch.call(1)).respond();
    await client.response(1);
    directory.update([nodes[1]!]);
    client.write(fetch(2));
    (await nodes[1]!.fetch.call(0)).respond();
    expect(await client.correlationIds(3)).toEqual([0, 1, 2]);
  });

  it('are tried on another node whatever became of the call', async () => {
    const nodes = [node(1), node(2)];
    const [test] = await startWith(nodes);
    const client = await test.connect();
    client.write(fetch(0));
    (await nodes[0]!.fetch.call(0)).fail(unknown());
    (await nodes[1]!.fetch.call(0)).respond();
    await client.response(0);
  });

  it('close the connection when every node fails', async () => {
    const nodes = [node(1), node(2)];
    for (const { fetch: service } of nodes) service.onCall = (call) => call.fail(unknown());
    const [test] = await startWith(nodes);
    const client = await test.connect();
    client.write(fetch(0));
    await client.untilClosed();
    expect(test.log.loud[0]!.fields).toMatchObject({ code: 'LINK_LOST' });
  });
});

describe('everything else', () => {
  it('goes to a coordinator, and to another only if it never left', async () => {
    const nodes = [node(1), node(2)];
    const [test] = await startWith(nodes);
    const client = await test.connect();
    client.write(metadata(0));
    (await nodes[0]!.coordinator.call(0)).fail(unsent());
    (await nodes[1]!.coordinator.call(0)).respond();
    await client.response(0);
    client.write(metadata(1));
    await until(() =>
      nodes.some(({ coordinator }) => coordinator.calls.some((call) => !call.settled)),
    );
    for (const { coordinator } of nodes) {
      for (const call of coordinator.calls.filter(({ settled }) => !settled)) call.fail(unknown());
    }
    await client.untilClosed();
    expect(client.responses).toHaveLength(1);
  });
});

function kafkaRequest(requestNumber: number) {
  return {
    apiKey: 0,
    apiVersion: 7,
    clientId: null,
    clientHost: 'host',
    principal: 'User:ANONYMOUS',
    listener: 'PLAINTEXT',
    connectionId: 'c',
    requestNumber,
    body: Buffer.alloc(0),
  };
}
