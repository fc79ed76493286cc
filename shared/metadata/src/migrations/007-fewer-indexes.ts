import type { Migration } from './migration.js';

/**
 * An index row was in three indexes, and what a commit of many partitions costs is rows times indexes. Where a
 * timestamp is reached follows from the primary key in O(log n) steps (lookups.ts): the greatest
 * timestamp so far ascends with the offsets.
 */
export const fewerIndexesMigration: Migration = {
  version: 7,
  name: 'fewer indexes',
  sql: `
DROP INDEX extents_by_timestamp;
`,
};
