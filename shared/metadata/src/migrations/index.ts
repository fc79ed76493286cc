import { initialMigration } from './001-initial.js';
import { groupsMigration } from './002-groups.js';
import type { Migration } from './migration.js';

export type { Migration } from './migration.js';

export const migrations: readonly Migration[] = [initialMigration, groupsMigration];
