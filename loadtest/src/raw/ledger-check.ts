import { readFile } from 'node:fs/promises';
import { systemClock } from '@kafscale/core';
import { batchCrcAt, computedBatchCrc, numberOfBatch } from './batch-crc.js';
import { readAll, type FetchLoad } from './fetch-load.js';
import { entryStates, Ledger } from './ledger.js';
import type { LoadResult } from './produce-load.js';

export interface LedgerCheckLoad extends FetchLoad {
  readonly ledgerFile: string;
}

export interface LedgerCheckResult extends LoadResult {
  readonly batches: number;
  /** Of acknowledged batches: not there, or not where it was said. */
  readonly lost: number;
  /** Contents that differ from what was sent, or from their own checksum. */
  readonly damaged: number;
  readonly twice: number;
  /** There, although an error said that they were not written. */
  readonly refusedButThere: number;
  /** Of batches whose outcome was unknown: written, as it turned out. */
  readonly unknownAndThere: number;
  /** Batches that nobody has sent. */
  readonly strange: number;
}

/** Reads a topic from its start to its end and compares every batch with the ledger. */
export async function runLedgerCheck(load: LedgerCheckLoad): Promise<LedgerCheckResult> {
  const check = new LedgerCheck(new Ledger(await readFile(load.ledgerFile)));
  const startMs = systemClock.monotonicMs();
  const { bytes, records } = await readAll(load, (batch, where) => check.see(batch, where));
  const seconds = (systemClock.monotonicMs() - startMs) / 1000;
  return { bytes, records, seconds, ...check.result() };
}

/** Where a batch was read. */
export interface BatchPlace {
  readonly partition: number;
  readonly baseOffset: number;
}

export class LedgerCheck {
  readonly #ledger: Ledger;
  readonly #seen: Uint8Array;
  readonly #found = {
    batches: 0,
    damaged: 0,
    twice: 0,
    refusedButThere: 0,
    unknownAndThere: 0,
    strange: 0,
  };
  #acknowledgedInPlace = 0;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.#seen = new Uint8Array(ledger.length);
  }

  see(batch: Buffer, { baseOffset, partition }: BatchPlace): void {
    const found = this.#found;
    found.batches += 1;
    const number = numberOfBatch(batch);
    const entry = this.#ledger.at(number);
    const crc = computedBatchCrc(batch);
    if (entry === undefined) {
      found.strange += 1;
      return;
    }
    if (crc !== batchCrcAt(batch, 0) || crc !== entry.crc) {
      found.damaged += 1;
      return;
    }
    if (this.#seen[number] === 1) {
      found.twice += 1;
      return;
    }
    this.#seen[number] = 1;
    if (entry.state === entryStates.refused) found.refusedButThere += 1;
    else if (entry.state === entryStates.unknown) found.unknownAndThere += 1;
    else if (entry.partition === partition && entry.baseOffset === baseOffset) {
      this.#acknowledgedInPlace += 1;
    }
  }

  result(): Omit<LedgerCheckResult, keyof LoadResult> {
    const lost = this.#ledger.counts().acknowledged - this.#acknowledgedInPlace;
    return { ...this.#found, lost };
  }
}
