import { limits } from '@kafscale/core';

import { Database } from '../database.js';

/** Connections for a command that people run beside the server, or instead of it. */
export function openDatabase(url: string): Database {
  return new Database({
    url,
    applicationName: 'kafscale command',
    statementTimeoutMs: limits.indexTransactionMsMax,
    lockTimeoutMs: limits.metadataLockTimeoutMs,
    idleInTransactionTimeoutMs: limits.indexTransactionMsMax,
    connectTimeoutMs: limits.metadataConnectTimeoutMs,
    sessionsMax: limits.metadataSessionsMax,
    waitersMax: limits.metadataWaitersMax,
    holdMsMax: limits.indexTransactionMsMax,
  });
}
