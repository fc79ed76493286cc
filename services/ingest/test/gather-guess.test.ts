import { expect, it } from 'vitest';
import { limits } from '@kafscale/core';
import { GatherGuess } from '../src/segment/gather-guess.js';

/** How many answers pass without a wait until the next one is tried. */
function skips(guess: GatherGuess): number {
  let count = 0;
  while (!guess.isWorthIt()) count += 1;
  return count;
}

it('waits until it was in vain, then ever more rarely, but never not at all', () => {
  const guess = new GatherGuess();
  const seen: number[] = [];
  for (let round = 0; round < 9; round += 1) {
    seen.push(skips(guess));
    guess.ended(false);
  }
  expect(seen).toEqual([0, 1, 2, 4, 8, 16, 32, 64, limits.flushGatherSkipsMax]);
});

it('trusts whoever came back at once, whatever was before', () => {
  const guess = new GatherGuess();
  for (let round = 0; round < 5; round += 1) guess.ended(false);
  expect(skips(guess)).toBe(16);
  guess.ended(true);
  expect(skips(guess)).toBe(0);
  guess.ended(false);
  expect(skips(guess)).toBe(1);
});
