import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{shared,services}/*/test/**/*.test.ts', '{loadtest/,}test/**/*.test.ts'],
    // Suites start real PostgreSQL clusters, real S3 servers and child processes.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    setupFiles: ['test/support/fast-check-seed.ts'],
    pool: 'forks',
    maxWorkers: 2,
  },
});
