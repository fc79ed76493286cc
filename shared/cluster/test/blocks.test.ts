import { ProtocolError } from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';
import { rpcEndpoint, startServer } from '@kafscale/rpc';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { connectBlocks, serveFetch, servicePaths } from '../src/index.js';
import type { BlockRead, BlockService, RemoteService } from '../src/index.js';
import {
  decodeBlockAnswer,
  decodeBlockRead,
  encodeBlockAnswer,
  encodeBlockRead,
} from '../src/remote/block-messages.js';
import { extent } from './arbitraries.js';
import { extentOf } from './scripted-coordinator.js';
import { cleanup, failureOf, until } from './support.js';

const blockRead: fc.Arbitrary<BlockRead> = fc.record({
  wanted: fc.array(fc.record({ extent, leaderEpoch: fc.integer({ min: 0, max: 1_000 }) })),
  urgency: fc.constantFrom('tail', 'catchUp', 'readAhead'),
});
const answer = fc.array(
  fc.option(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    { nil: null },
  ),
);

describe('messages', () => {
  test('come back as they were sent', () => {
    fc.assert(
      fc.property(blockRead, (read) => {
        expect(decodeBlockRead(Buffer.concat(encodeBlockRead(read)))).toEqual(read);
      }),
    );
    fc.assert(
      fc.property(answer, (extents) => {
        expect(decodeBlockAnswer(Buffer.concat(encodeBlockAnswer(extents)))).toEqual(extents);
      }),
    );
  });

  test('damaged, are read as something or refused', () => {
    const damage = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
    fc.assert(
      fc.property(blockRead, answer, damage, (read, extents, [at, change]) => {
        for (const [chunks, decode] of [
          [encodeBlockRead(read), decodeBlockRead],
          [encodeBlockAnswer(extents), decodeBlockAnswer],
        ] as const) {
          const payload = Buffer.concat(chunks);
          payload[at % payload.length]! ^= change;
          expectNoOtherError(() => decode(payload));
          expectNoOtherError(() => decode(payload.subarray(0, at % payload.length)));
        }
      }),
    );
  });

  test('an answer whose bytes are more or fewer than it says is refused', () => {
    const payload = Buffer.concat(encodeBlockAnswer([Buffer.from('four'), null]));
    const shorter = Buffer.from(payload);
    const at = shorter.indexOf(Buffer.from([0, 0, 0, 4]));
    shorter[at + 3] = 3;
    expect(() => decodeBlockAnswer(shorter)).toThrow(ProtocolError);
    shorter[at + 3] = 5;
    expect(() => decodeBlockAnswer(shorter)).toThrow(ProtocolError);
  });
});

function expectNoOtherError(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
  }
}

// What holds for the service itself holds for a remote one.
describe.each([
  ['in one process', (service: BlockService) => Promise.resolve(service)],
  ['over a link', remote],
] as const)('blocks %s', (_, connect) => {
  const wanted = [0, 10, 20].map((baseOffset) => {
    return { extent: extentOf(7, baseOffset, 10), leaderEpoch: 3 };
  });

  test('are asked for as they are, and answered in order', async () => {
    const reads: BlockRead[] = [];
    const big = Buffer.alloc(300_000, 7);
    const blocks = await connect({
      readExtents(read) {
        reads.push(read);
        return Promise.resolve([Buffer.from('first'), null, big]);
      },
    });
    const [first, second, third] = await blocks.readExtents({ wanted, urgency: 'catchUp' });
    expect(reads).toEqual([{ wanted, urgency: 'catchUp' }]);
    expect(String(first)).toBe('first');
    expect(second).toBeNull();
    expect(third?.equals(big)).toBe(true);
  });

  test('that the owner has no room for are refused', async () => {
    const blocks = await connect({
      readExtents: () =>
        Promise.reject(new OperatingError('BLOCKS_BUSY', 'too much', { retriable: true })),
    });
    const failure = await failureOf(blocks.readExtents({ wanted, urgency: 'tail' }));
    expect(failure).toMatchObject({ code: 'BLOCKS_BUSY', retriable: true, outcome: 'failed' });
  });
});

test('an answer over a link that leaves an extent out can not be read', async () => {
  const blocks = await remote({ readExtents: () => Promise.resolve([null]) });
  const wanted = [extentOf(1, 0, 1), extentOf(1, 1, 1)].map((each) => {
    return { extent: each, leaderEpoch: 0 };
  });
  const failure = await failureOf(blocks.readExtents({ wanted, urgency: 'tail' }));
  expect(failure.code).toBe('ANSWER_UNREADABLE');
});

test('a fetch service that does nothing for others says so', async () => {
  const blocks = await remote(undefined);
  const failure = await failureOf(blocks.readExtents({ wanted: [], urgency: 'tail' }));
  expect(failure).toMatchObject({ code: 'METHOD_UNKNOWN', outcome: 'failed' });
});

async function remote(service: BlockService | undefined): Promise<BlockService & RemoteService> {
  const secret = 'cluster secret';
  const log = (): void => {};
  const fetch = { handle: () => Promise.resolve({ kind: 'none' } as const) };
  const endpoint = rpcEndpoint({
    path: servicePaths.fetch,
    secret,
    service: serveFetch(fetch, service),
    log,
  });
  const server = await startServer(
    { host: '127.0.0.1', port: 0, routes: [], endpoints: [endpoint] },
    log,
  );
  cleanup(() => server.close(0));
  const url = `ws://127.0.0.1:${server.port}`;
  const caller = (): { nodeId: number; role: string } => ({ nodeId: 1, role: 'fetch' });
  const blocks = connectBlocks({ url, secret, caller, log });
  cleanup(() => blocks.close());
  await until(() => blocks.isUp);
  return blocks;
}
