import { systemClock } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import { ColdIndex } from '../../src/cold/cold-index.js';
import { noColdMetrics } from '../../src/cold/cold-metrics.js';
import { tinyColdLimits } from '../garbage/world.js';
import type { RecoveryWorld } from '../recovery/world.js';
import { query, silentLog } from '../shard/world.js';

/** The cold index of a server whose other parts the test has. */
export function coldIndexOf(world: RecoveryWorld, objectStore: ObjectStore = world.objects) {
  return new ColdIndex({
    store: world.process.store,
    objectStore,
    ownership: world.process.owner,
    unwrittenForMs: () => 0,
    clock: systemClock,
    log: silentLog,
    metrics: noColdMetrics,
    limits: tinyColdLimits,
  });
}

/** All that was written just now is a day old, and has been through a sweep. */
export async function makeOld(url: string): Promise<void> {
  await query(
    url,
    `UPDATE segments SET birth_ms = birth_ms - 86400000,
       committed_at = committed_at - interval '1 day'
     WHERE committed_at > now() - interval '1 hour';
     UPDATE orphan_sweep
     SET watermark_ms = floor(extract(epoch FROM now()) * 1000) - 3600000`,
  );
}

export function freeze(cold: ColdIndex): Promise<void> {
  return cold.freezer.pass(new AbortController().signal);
}

/** How much of the index is where. */
export async function placesOf(url: string) {
  const [row] = await query(
    url,
    `SELECT (SELECT count(*) FROM extents)::int AS extents,
       (SELECT count(*) FROM segments)::int AS segments,
       (SELECT count(*) FROM cold_ranges WHERE state = 'live')::int AS ranges,
       (SELECT coalesce(sum(extents), 0) FROM cold_ranges WHERE state = 'live')::int AS cold`,
  );
  return row as unknown as { extents: number; segments: number; ranges: number; cold: number };
}
