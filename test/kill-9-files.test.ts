import { describe, it } from 'vitest';
import { killRounds } from './support/kill-rounds.js';
import { Random } from './support/random.js';
import { defaultFiles } from './support/stores.js';

const rounds = 10;
const random = Random.fromEnvironment();

describe(`kill -9 with local files (KAFSCALE_TEST_SEED=${random.seed})`, () => {
  it('of the Node process alone loses and doubles nothing', { timeout: 400_000 }, async () => {
    await killRounds({ victim: 'process', store: defaultFiles, rounds, random });
  });

  it(
    'of the process and its PostgreSQL loses and doubles nothing',
    { timeout: 400_000 },
    async () => {
      await killRounds({ victim: 'group', store: defaultFiles, rounds, random });
    },
  );
});
