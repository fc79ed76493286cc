import { configureGlobal } from 'fast-check';

/**
 * Property tests try the same cases in every run, so that a change is judged by what it changes. For
 * other cases set KAFSCALE_TEST_SEED to another number; a failure prints its seed.
 */
configureGlobal({ seed: Number(process.env['KAFSCALE_TEST_SEED'] ?? 20_261_122) });
