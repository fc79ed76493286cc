import { describe, expect, it } from 'vitest';
import { batch, nowMs, ProduceWorld, textsIn } from './produce-world.js';

/** Longer than any test. */
const never = 60_000;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('a topic whose flush interval changes', () => {
  it('changes its lane although it is written without a break, and keeps its order', async () => {
    const world = new ProduceWorld();
    world.addTopic('a', { flushMs: never });
    world.addTopic('b');
    const send = async (topic: string, text: string, connectionId = 'x') => {
      const topics = { [topic]: [{ records: batch({ text }) }] };
      const [answer] = await world.produce({ connectionId, topics });
      return answer!.baseOffset;
    };
    await send('b', '0'); // the standard lane is in use
    const first = send('a', '1');
    world.alterTopic('a', { flushMs: -1 });
    const rest = [send('a', '2'), send('b', '3'), send('a', '4', 'y')];
    expect(await first).toBe(0);
    expect(await Promise.all(rest)).toEqual([1, 1, 2]);
    // Nothing rode in the old lane but what was there before.
    expect(textsIn(world.stored[1]!)).toEqual(['1']);
  });

  it('does not hold up those that share no connection with it', async () => {
    const world = new ProduceWorld();
    world.addTopic('a');
    world.addTopic('b');
    world.addTopic('c', { flushMs: never });
    void world.reply({ connectionId: 'z', topics: { c: [{ records: batch() }] } });
    world.holdCommits();
    const held = world.produce({ topics: { a: [{ records: batch() }] } });
    await until(() => world.stored.length === 1);
    world.alterTopic('a', { flushMs: 1 });
    const changing = world.produce({ topics: { a: [{ records: batch() }] } });
    const other = world.produce({ connectionId: 'y', topics: { b: [{ records: batch() }] } });
    await until(() => world.stored.length === 2);
    expect(world.stored).toHaveLength(2);
    world.releaseCommits();
    expect((await held)[0]!.baseOffset).toBe(0);
    expect((await other)[0]!.errorCode).toBe(0);
    expect((await changing)[0]!.baseOffset).toBe(1);
  });
});

describe('throttle_time_ms', () => {
  it('is what the requests that wait will take, for those that had to wait, else 0', async () => {
    let timeMs = 0;
    const clock = { monotonicMs: () => timeMs, wallMs: () => nowMs };
    const world = new ProduceWorld({ bytesInFlightMax: 3_000, clock });
    world.addTopic('a');
    world.holdCommits();
    const answers = Array.from({ length: 10 }, () =>
      world.throttleTimeMs({ topics: { a: [{ records: batch({ bytes: 1_000 }) }] } }),
    );
    await until(() => world.stored.length === 1);
    timeMs = 120;
    world.releaseCommits();
    const throttled = await Promise.all(answers);
    // 3,000 bytes in 120 ms, and 4,000 wait; then 6,000 and 1,000; then none.
    expect(throttled).toEqual([0, 0, 0, 160, 160, 160, 20, 20, 20, 0]);
    const calm = { topics: { a: [{ records: batch({ bytes: 3_000 }) }] } };
    expect(await world.throttleTimeMs(calm)).toBe(0);
  });

  it('is bounded, and begins anew with the next jam', async () => {
    let timeMs = 0;
    const clock = { monotonicMs: () => timeMs, wallMs: () => nowMs };
    const world = new ProduceWorld({ bytesInFlightMax: 1_000, clock });
    world.addTopic('a');
    const jam = async (tookMs: number) => {
      world.holdCommits();
      const stored = world.stored.length;
      const answers = [1, 2, 3].map(() =>
        world.throttleTimeMs({ topics: { a: [{ records: batch({ bytes: 1_000 }) }] } }),
      );
      await until(() => world.stored.length > stored);
      timeMs += tookMs;
      world.releaseCommits();
      return Promise.all(answers);
    };
    expect(await jam(1_900)).toEqual([0, 1_000, 0]);
    timeMs += 10_000;
    expect(await jam(50)).toEqual([0, 50, 0]);
  });
});
