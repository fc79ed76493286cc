export { findEmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.js';
export type {
  EmbeddedPostgres,
  EmbeddedPostgresLog,
  EmbeddedPostgresOptions,
  StopMode,
} from './types.js';
