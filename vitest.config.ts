import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{shared,services}/*/test/**/*.test.ts', '{loadtest/,}test/**/*.test.ts'],
    // Suites start real PostgreSQL clusters, real S3 servers and child processes.
    // A machine may be slow and busy: these only end what hangs.
    testTimeout: 180_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000, interval: 20 } },
    setupFiles: ['test/support/fast-check-seed.ts'],
    pool: 'forks',
    maxWorkers: 2,
  },
});
