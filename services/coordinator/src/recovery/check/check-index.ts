import { isOperatingError } from '@kafscale/core';
import type { AuditState } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import { findIndex } from '../recover/find-logs.js';
import type { IndexCheck } from './check-report.js';

/** Reads the index in the bucket as a recovery would. */
export async function checkIndex(objects: ObjectStore, state: AuditState): Promise<IndexCheck> {
  try {
    const { chain, damage } = await findIndex(objects, state.clusterId);
    const problems = damage.map(
      ({ code, kind, reason, sequence }) => `${kind} ${sequence}: ${reason} [${code}]`,
    );
    const { incarnation } = chain.log.id;
    if (incarnation > state.incarnation) {
      problems.push(`the bucket has the index of incarnation ${incarnation}, a later one`);
    }
    return {
      isSound: problems.length === 0,
      snapshotSequence: chain.snapshot.sequence,
      lastSequence: chain.last.sequence,
      databaseTimeMs: chain.last.databaseTimeMs,
      problems,
    };
  } catch (error) {
    if (!isOperatingError(error) || !error.code.startsWith('INDEX_')) throw error;
    // A cluster without topics has none.
    const isSound = error.code === 'INDEX_NOT_FOUND' && state.topics === 0;
    const problems = isSound ? [] : [`${error.message} [${error.code}]`];
    const none = { lastSequence: null, snapshotSequence: null, databaseTimeMs: null };
    return { isSound, ...none, problems };
  }
}
