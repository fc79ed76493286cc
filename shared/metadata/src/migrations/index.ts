import { initialMigration } from './001-initial.js';
import { groupsMigration } from './002-groups.js';
import { retentionMigration } from './003-retention.js';
import { compactionMigration } from './004-compaction.js';
import { recoveryMigration } from './005-recovery.js';
import { coldRangesMigration } from './006-cold-ranges.js';
import { fewerIndexesMigration } from './007-fewer-indexes.js';
import type { Migration } from './migration.js';

export type { Migration } from './migration.js';

export const migrations: readonly Migration[] = [
  initialMigration,
  groupsMigration,
  retentionMigration,
  compactionMigration,
  recoveryMigration,
  coldRangesMigration,
  fewerIndexesMigration,
];
