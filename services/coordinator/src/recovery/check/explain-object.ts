import { readSegmentFooter } from '@kafscale/codec';
import { isOperatingError, limits } from '@kafscale/core';
import type { AuditState } from '@kafscale/metadata';
import type { ObjectInfo, ObjectStore } from '@kafscale/storage';
import type { Explanation } from './check-report.js';

/**
 * Why an object is there that no row knows; null: it is gone by now. What its footer says decides as
 * it does for the sweep; an object whose footer can't be read is an orphan like any other.
 */
export async function explainObject(
  objects: ObjectStore,
  object: ObjectInfo,
  state: AuditState,
): Promise<Explanation | null> {
  let birthMs = object.lastModifiedMs;
  try {
    const { writer } = await readSegmentFooter({
      sizeBytes: object.sizeBytes,
      read: (position, length) => objects.read(object.key, position, length),
    });
    if (writer.incarnation < state.incarnation) return 'earlier';
    if (writer.birthMs < state.sweepWatermarkMs) return 'unclaimed';
    birthMs = Math.max(birthMs, writer.birthMs);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    if (error.code === 'OBJECT_NOT_FOUND') return null;
  }
  return state.databaseTimeMs - birthMs > limits.orphanGraceMs ? 'orphan' : 'young';
}
