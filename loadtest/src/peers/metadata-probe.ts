import { join } from 'node:path';
import { invariant, OperatingError } from '@kafscale/core';
import { findEmbeddedPostgres } from '@kafscale/metadata';
import postgres from 'postgres';

/** Looks into the embedded metadata store of a running standalone server, from outside. */
export class MetadataProbe {
  readonly sql: postgres.Sql;

  private constructor(url: string) {
    this.sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  }

  static async open(dataDir: string): Promise<MetadataProbe> {
    const url = await findEmbeddedPostgres(join(dataDir, 'postgres'));
    if (url === undefined) {
      throw new OperatingError('SERVER_NOT_STARTED', `no PostgreSQL runs in ${dataDir}`);
    }
    return new MetadataProbe(url);
  }

  /**
   * Transactions so far, whoever ran them: PostgreSQL's own vacuum workers count, and so does this
   * look. A statement outside of a transaction is one. Sessions report theirs up to a second late, idle ones
   * at once.
   */
  async transactions(): Promise<number> {
    const rows = await this.sql<{ count: string }[]>`
      SELECT xact_commit + xact_rollback AS count FROM pg_stat_database
      WHERE datname = current_database()`;
    const [row] = rows;
    invariant(row !== undefined, 'the database that is asked exists');
    return Number(row.count);
  }

  async close(): Promise<void> {
    await this.sql.end({ timeout: 5 });
  }
}
