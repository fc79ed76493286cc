import { beforeEach, describe, expect, it } from 'vitest';
import { batchCrcAt, restampBatchCrc } from '../../src/raw/batch-crc.js';
import { LedgerCheck } from '../../src/raw/ledger-check.js';
import { entryStates, Ledger } from '../../src/raw/ledger.js';
import { randomBatch } from '../../src/raw/produce-frames.js';

describe('the check of a ledger', () => {
  let ledger: Ledger;
  let batches: Buffer[];

  /** Five batches of partition 0, two records each; the last two are refused and unknown. */
  beforeEach(() => {
    ledger = new Ledger();
    batches = Array.from({ length: 5 }, () => {
      const batch = randomBatch(2, 100);
      const entry = ledger.add(0);
      restampBatchCrc(batch, entry);
      ledger.setCrc(entry, batchCrcAt(batch, 0));
      return batch;
    });
    for (const entry of [0, 1, 2]) ledger.settle(entry, entryStates.acknowledged, entry * 2);
    ledger.settle(3, entryStates.refused, -1);
  });

  const fine = {
    batches: 3,
    lost: 0,
    damaged: 0,
    twice: 0,
    refusedButThere: 0,
    unknownAndThere: 0,
    strange: 0,
  };

  function batchAt(index: number): Buffer {
    const batch = batches[index];
    if (batch === undefined) throw new Error(`there is no batch ${index}`);
    return batch;
  }

  function check(places: readonly (readonly [batch: number, baseOffset: number])[]) {
    // As the checking process does: from the bytes of a file.
    const checked = new LedgerCheck(new Ledger(ledger.bytes()));
    for (const [index, baseOffset] of places) {
      checked.see(batchAt(index), { partition: 0, baseOffset });
    }
    return checked.result();
  }

  it('finds every acknowledged batch in its place', () => {
    expect(
      check([
        [0, 0],
        [1, 2],
        [2, 4],
      ]),
    ).toEqual(fine);
  });

  it('tells of one that is not there, and of one at another offset', () => {
    expect(
      check([
        [0, 0],
        [1, 6],
      ]),
    ).toEqual({ ...fine, batches: 2, lost: 2 });
  });

  it('tells of one that is there twice', () => {
    expect(
      check([
        [0, 0],
        [1, 2],
        [2, 4],
        [1, 6],
      ]),
    ).toEqual({ ...fine, batches: 4, twice: 1 });
  });

  it('tells of contents that changed, with a checksum that fits or not', () => {
    batchAt(1).writeUInt8(batchAt(1).readUInt8(100) ^ 1, 100);
    expect(
      check([
        [0, 0],
        [1, 2],
        [2, 4],
      ]),
    ).toEqual({ ...fine, damaged: 1, lost: 1 });
    restampBatchCrc(batchAt(1), 1);
    expect(
      check([
        [0, 0],
        [1, 2],
        [2, 4],
      ]),
    ).toEqual({ ...fine, damaged: 1, lost: 1 });
  });

  it('tells of one that was refused and is there; one of unknown outcome may be', () => {
    const result = check([
      [0, 0],
      [1, 2],
      [2, 4],
      [3, 6],
      [4, 8],
    ]);
    expect(result).toEqual({ ...fine, batches: 5, refusedButThere: 1, unknownAndThere: 1 });
  });

  it('tells of one that nobody sent', () => {
    const stranger = randomBatch(2, 100);
    restampBatchCrc(stranger, 5);
    batches.push(stranger);
    expect(
      check([
        [0, 0],
        [1, 2],
        [2, 4],
        [5, 6],
      ]),
    ).toEqual({ ...fine, batches: 4, strange: 1 });
  });

  it('counts what became of the batches, and has none beyond its end', () => {
    expect(ledger.counts()).toEqual({ acknowledged: 3, refused: 1, unknown: 1 });
    expect(new Ledger(ledger.bytes()).at(5)).toBeUndefined();
  });
});
