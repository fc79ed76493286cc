import { coldRangeKey, coldRangesPrefix, segmentsPrefix } from '@kafscale/codec';
import { systemClock } from '@kafscale/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recover } from '../../src/recovery/recover/recover.js';
import { checkStore } from '../../src/recovery/check/check-store.js';
import { contentOf, keysUnder, openStore, RecoveryWorld } from '../recovery/world.js';
import { OwnerProcess, query, usePostgres } from '../shard/world.js';
import { coldIndexOf, freeze, makeOld, placesOf } from './world.js';

const { database } = usePostgres();

const steps = ['append', 'append', 'freeze', 'freeze', 'thaw', 'flush', 'restart', 'trim'] as const;

/** As a store has it that was always made of rows; answers that nobody can ask for are left out. */
async function rowsOf(url: string): Promise<Record<string, unknown>> {
  const content = await contentOf(url);
  const segments = content['segments']!.map((row) => {
    const values = JSON.parse(row) as unknown[];
    return values.filter((_, index) => index !== 7);
  });
  return { ...content, segments };
}

/** Objects that the index in the bucket must not need any more. */
async function garbageOf(url: string): Promise<string[]> {
  const rows = await query(url, `SELECT object_id FROM cold_ranges WHERE state <> 'live'`);
  return rows.map((row) => coldRangeKey(String(row['object_id'])));
}

class Run {
  world: RecoveryWorld;
  partitionId = 0;
  frozen = 0;

  constructor(world: RecoveryWorld) {
    this.world = world;
  }

  static async start(manifestsPerSnapshotMax: number): Promise<Run> {
    const objects = await openStore('files');
    const options = { manifestsPerSnapshotMax };
    const run = new Run(await RecoveryWorld.start(await database(), objects, options));
    const { partitionIds } = await run.world.createTopic('t', 1, { 'retention.ms': '-1' });
    [run.partitionId = 0] = partitionIds;
    return run;
  }

  async take(step: (typeof steps)[number]): Promise<void> {
    const { partitionId, world } = this;
    const cold = coldIndexOf(world);
    switch (step) {
      case 'append':
        // A new owner looks for what was committed lately, and these are old at once: so it has looked.
        await world.flush();
        for (let count = 0; count < 4; count += 1) await world.append(partitionId, { records: 3 });
        await makeOld(world.url);
        return world.flush();
      case 'freeze':
        await freeze(cold);
        this.frozen += (await placesOf(world.url)).cold;
        return;
      case 'thaw':
        await cold.thaw(partitionId);
        return;
      case 'flush':
        return world.flush();
      case 'restart':
        this.world = await world.restart(2);
        return;
      case 'trim': {
        const head = world.process.owner.byName('t')!.partitions[0]!;
        const offset = Math.min(head.logStartOffset + 4, head.highWatermark);
        await world.process.owner.deleteRecords([{ partitionId, offset }]);
      }
    }
  }
}

describe('a recovery', () => {
  it('brings back what was in cold ranges, whenever they moved', async () => {
    let frozen = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...steps), { minLength: 4, maxLength: 12 }),
        async (taken) => {
          const run = await Run.start(3);
          await run.take('append');
          await run.take('flush');
          for (const step of taken) await run.take(step);
          await run.world.flush();
          const url = await database();
          const { objects } = run.world;
          await objects.delete(await garbageOf(run.world.url));
          const options = { objects, metadataUrl: url, dryRun: false, clock: systemClock };
          const report = await recover(options);
          expect(report).toMatchObject({ lostColdRanges: [], damage: [], gaps: { total: 0 } });
          const { thaw } = coldIndexOf(run.world);
          while ((await placesOf(run.world.url)).ranges > 0) await thaw(run.partitionId);
          expect(await rowsOf(url)).toEqual(await rowsOf(run.world.url));
          frozen += run.frozen;
          await run.world.crash();
        },
      ),
      { numRuns: 8, endOnFailure: true },
    );
    expect(frozen).toBeGreaterThan(0);
  }, 400_000);

  it('knows of what came back just before the owner died, although it is old', async () => {
    const run = await Run.start(1_000);
    for (const step of ['append', 'freeze', 'flush'] as const) await run.take(step);
    const { thaw } = coldIndexOf(run.world);
    while ((await placesOf(run.world.url)).ranges > 0) await thaw(run.partitionId);
    run.world = await run.world.restart();
    await run.world.flush();
    const { objects } = run.world;
    await objects.delete(await garbageOf(run.world.url));
    const url = await database();
    const options = { objects, metadataUrl: url, dryRun: false, clock: systemClock };
    expect(await recover(options)).toMatchObject({ lostColdRanges: [], gaps: { total: 0 } });
    expect(await rowsOf(url)).toEqual(await rowsOf(run.world.url));
  });

  it('leaves nothing cold, a sweep that begins anew, and the old objects to be deleted', async () => {
    const run = await Run.start(1_000);
    await run.take('append');
    await run.take('freeze');
    await run.take('flush');
    const { objects } = run.world;
    expect((await placesOf(run.world.url)).cold).toBeGreaterThan(0);
    await run.world.crash();
    const url = await database();
    await recover({ objects, metadataUrl: url, dryRun: false, clock: systemClock });
    expect(await placesOf(url)).toMatchObject({ extents: 4, cold: 0 });
    const [sweep] = await query(url, 'SELECT watermark_ms::int FROM orphan_sweep');
    expect(sweep).toEqual({ watermark_ms: 0 });
    const retired = await query(url, `SELECT FROM cold_ranges WHERE state = 'retired'`);
    expect(retired).toHaveLength((await keysUnder(objects, coldRangesPrefix)).length);
    const owner = await OwnerProcess.start(url);
    expect(await owner.store.findExtents(run.partitionId, 0, 9)).toHaveLength(4);
  });

  it('names a range whose object is lost, and does not touch its segments', async () => {
    const run = await Run.start(1_000);
    await run.take('append');
    await run.take('freeze');
    await run.take('flush');
    const { objects } = run.world;
    await run.world.crash();
    const keys = await keysUnder(objects, coldRangesPrefix);
    const [key = ''] = keys;
    await objects.delete(keys);
    const url = await database();
    const report = await recover({
      objects,
      metadataUrl: url,
      dryRun: false,
      clock: systemClock,
    });
    expect(report.lostColdRanges).toContainEqual(
      expect.objectContaining({ key, code: 'OBJECT_NOT_FOUND' }),
    );
    expect(report.gaps.total).toBeGreaterThan(0);
    expect(await keysUnder(objects, segmentsPrefix)).toHaveLength(4);
    const check = { objects, metadataUrl: url, deep: false, onProgress: () => undefined };
    expect((await checkStore(check)).wrongOffsets.total).toBeGreaterThan(0);
  });
});
