import { afterAll, beforeAll, describe, it } from 'vitest';
import { killRounds } from './support/kill-rounds.js';
import { Random } from './support/random.js';
import { noS3Server, startS3Store } from './support/stores.js';
import type { TestStore } from './support/stores.js';

const rounds = 10;
const random = Random.fromEnvironment();
const title = noS3Server ?? `KAFSCALE_TEST_SEED=${random.seed}`;

describe.skipIf(noS3Server !== null)(`kill -9 with S3 (${title})`, () => {
  let store: TestStore;
  beforeAll(async () => {
    store = await startS3Store();
  });
  afterAll(() => store?.stop());

  it('of the Node process alone loses and doubles nothing', { timeout: 400_000 }, async () => {
    await killRounds({ victim: 'process', store, rounds, random });
  });

  it(
    'of the process and its PostgreSQL loses and doubles nothing',
    { timeout: 400_000 },
    async () => {
      await killRounds({ victim: 'group', store, rounds, random });
    },
  );
});
