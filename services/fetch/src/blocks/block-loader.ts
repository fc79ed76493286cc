import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Extent, RecentSegmentView } from '@kafscale/cluster';
import { type Clock, invariant, limits, PooledMemory, type SlabMemory } from '@kafscale/core';
import type { FetchLog } from '../fetch-log.js';
import type { FetchMetrics } from '../metrics.js';
import type { UpcomingExtents } from '../read/upcoming-extents.js';
import type { BadExtents } from './bad-extents.js';
import { OwnerLoads, type OwnerLoadsOptions } from '../owners/owner-loads.js';
import type { Block, BlockCache } from './block-cache.js';
import type { Run } from './coalesce.js';
import { blockSizeOf } from './block-size.js';
import { forGood, type Holder, nobody } from './lease.js';
import {
  type LoadClass,
  loadClasses,
  type LoadFailure,
  type LoadQueue,
  type LoadRequest,
  type LoadResult,
  type PendingLoad,
} from './load-queue.js';
import type { SegmentSource } from './segment-source.js';
import { type LoadedExtent, type Verdict, verifyExtent } from './verify-extent.js';

export interface BlockLoaderOptions {
  readonly cache: BlockCache;
  readonly source: SegmentSource;
  /** The fetch nodes that share the loading; undefined: there is but this one. */
  readonly owners: OwnerLoadsOptions | undefined;
  readonly queue: LoadQueue<LoadResult>;
  /** What is taken along of a segment that is read anyway; undefined: nothing. */
  readonly upcoming?: Pick<UpcomingExtents, 'of'> | undefined;
  readonly memory: Pick<SlabMemory, 'take'>;
  readonly bad: BadExtents;
  /** Reads at the same time, by class. */
  readonly readsMax: Readonly<Record<LoadClass, number>>;
  readonly log: FetchLog;
  readonly metrics: FetchMetrics;
  readonly clock: Clock;
}

interface Flight {
  key: string;
  readonly load: PendingLoad<LoadResult>;
  readonly result: Promise<LoadResult>;
  readonly holders: Holder[];
}

type Pending = PendingLoad<LoadResult>;

interface NewLoad {
  readonly key: string;
  readonly owner: number | null;
  readonly request: LoadRequest;
  readonly holder: Holder;
}

/**
 * Brings extents into the block cache. One extent is loaded once however many want it, and what is
 * wanted of one segment in the same turn of the event loop is one read. A load resolves; it never
 * rejects, because one bad object must not become everybody's error.
 */
export class BlockLoader {
  readonly #options: BlockLoaderOptions;
  readonly #owners: OwnerLoads | undefined;
  readonly #flights = new Map<string, Flight>();
  readonly #reading: Record<LoadClass, number> = { tail: 0, catchUp: 0, readAhead: 0 };
  #isScheduled = false;
  #isClosed = false;

  constructor(options: BlockLoaderOptions) {
    this.#options = options;
    const { owners } = options;
    this.#owners = owners && new OwnerLoads(owners, (load) => this.#loadHere(load));
  }

  /** From memory, or undefined. */
  find(extent: Extent, holder = forGood): LoadedExtent | undefined {
    const loaded = this.#find(extent);
    if (loaded === undefined) return undefined;
    this.#options.metrics.count('fetch_block_hits_total');
    holder.hold(loaded);
    return loaded;
  }

  /** Does not count as a use. */
  isCached(extent: Extent): boolean {
    return this.#peek(extent) !== undefined;
  }

  /** Bytes from the batch that contains `offset` to the extent's end; undefined if not cached. */
  bytesFrom(extent: Extent, offset: number): number | undefined {
    return this.#peek(extent)?.table.bytesFrom(offset);
  }

  /** It was lost or damaged a moment ago. */
  isBad(extent: Extent): boolean {
    return this.#options.bad.find(extent) !== undefined;
  }

  /** Cached, or under way. */
  isKnown(extent: Extent): boolean {
    return this.isCached(extent) || this.#flights.has(keyOf(extent, this.#ownerOf(extent)));
  }

  /** The holder is told before the result is there. Without one the memory is not used again. */
  load(request: LoadRequest, holder = forGood): Promise<LoadResult> {
    const cached = this.#find(request.extent);
    if (cached !== undefined) {
      holder.hold(cached);
      return Promise.resolve({ kind: 'loaded', loaded: cached });
    }
    const { isForPeer = false, loadClass } = request;
    const isForReader = loadClass !== 'readAhead' && !isForPeer;
    if (isForReader) this.#options.metrics.count('fetch_block_misses_total');
    const failure = this.#options.bad.find(request.extent);
    if (failure !== undefined) return Promise.resolve(failure);
    if (this.#isClosed) return Promise.resolve(closedFailure);
    // A peer's load never joins one that waits for a peer: each could wait for the other.
    const owner = isForPeer ? null : this.#ownerOf(request.extent);
    const key = keyOf(request.extent, owner);
    const flight = this.#flights.get(key);
    if (flight !== undefined) {
      flight.holders.push(holder);
      this.#promote(flight.load, loadClass);
      return flight.result;
    }
    return this.#enqueue({ key, owner, request, holder });
  }

  /** For readers to come. */
  loadAhead(request: LoadRequest): void {
    void this.load(request, nobody);
  }

  /** Its row says that it exists, its object does not: remembered, and said once. */
  reportLost(extent: Extent, reason: string): void {
    this.#reportBad(extent, { kind: 'gone', reason });
  }

  /** Loads that wait are answered; reads under way end by themselves. */
  close(): void {
    this.#isClosed = true;
    const waiting = [...this.#options.queue.drain(), ...(this.#owners?.drain() ?? [])];
    for (const load of waiting) load.resolve(closedFailure);
  }

  #find(extent: Extent): LoadedExtent | undefined {
    const { cache, owners } = this.#options;
    return cache.find(extent) ?? owners?.source.borrowed.find(extent);
  }

  #peek(extent: Extent): LoadedExtent | undefined {
    const { cache, owners } = this.#options;
    return cache.peek(extent) ?? owners?.source.borrowed.peek(extent);
  }

  #ownerOf(extent: Extent): number | null {
    return this.#options.owners?.source.ownerOf(extent) ?? null;
  }

  #enqueue({ key, owner, request, holder }: NewLoad): Promise<LoadResult> {
    const { promise, resolve } = deferred<LoadResult>();
    const { extent, loadClass } = request;
    const holders = [holder];
    const load: Pending = {
      request,
      position: extent.position,
      length: extent.length,
      owner,
      loadClass,
      resolve: (result) => {
        this.#flights.delete(flight.key);
        if (result.kind === 'loaded') for (const each of holders) each.hold(result.loaded);
        resolve(result);
      },
    };
    const flight: Flight = { key, load, result: promise, holders };
    this.#flights.set(key, flight);
    // Its writer is asked first, if he may still have it; that takes a place here.
    if (owner !== null && request.arrival === 0) this.#owners?.add(load);
    else this.#add(load);
    return promise;
  }

  #add(load: Pending): void {
    this.#options.queue.add(load);
    this.#schedule();
  }

  #promote(load: Pending, loadClass: LoadClass): void {
    // Not queued, it is under way, or it waits for its owner.
    if (this.#options.queue.has(load)) {
      this.#options.queue.promote(load, loadClass);
      this.#schedule();
    } else {
      this.#owners?.promote(load, loadClass);
    }
  }

  /** Its owner does not have it for us. */
  #loadHere(load: Pending): void {
    if (this.#isClosed) return load.resolve(closedFailure);
    const { extent } = load.request;
    const flight = this.#flights.get(keyOf(extent, load.owner));
    const key = keyOf(extent, null);
    load.owner = null;
    // From now on it is a load like any other here, for peers to join as well.
    if (flight !== undefined && !this.#flights.has(key)) {
      this.#flights.delete(flight.key);
      flight.key = key;
      this.#flights.set(key, flight);
    }
    this.#add(load);
  }

  // Not at once: what other partitions and requests of this turn want of the same segment comes too.
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#startReads();
    });
  }

  #startReads(): void {
    const { queue, cache, readsMax } = this.#options;
    for (const loadClass of loadClasses) {
      while (this.#reading[loadClass] < readsMax[loadClass]) {
        const run = this.#nextRun(loadClass);
        if (run === undefined) break;
        // No room: some read holds it, and its end starts the next ones.
        if (!cache.reserve(blockSizeOf(run.length))) return;
        queue.remove(run);
        this.#reading[loadClass]++;
        void this.#read(run, loadClass);
      }
    }
  }

  /** With what other readers are about to want of the same segment. A tail does not wait for that. */
  #nextRun(loadClass: LoadClass): Run<Pending> | undefined {
    const { queue, upcoming } = this.#options;
    const run = queue.peek(loadClass);
    if (run === undefined || upcoming === undefined || loadClass === 'tail') return run;
    const { partitionId, segmentId } = firstOf(run).request.extent;
    for (const { arrival, extent, leaderEpoch } of upcoming.of(segmentId)) {
      // Its own partition is read ahead as far as its reader is worth it.
      if (extent.partitionId === partitionId || this.isKnown(extent)) continue;
      this.loadAhead({ extent, arrival, leaderEpoch, loadClass: 'readAhead' });
    }
    return queue.peek(loadClass);
  }

  async #read(run: Run<Pending>, loadClass: LoadClass): Promise<void> {
    const { metrics, clock, cache } = this.#options;
    const startMs = clock.monotonicMs();
    let isReserved = true;
    try {
      if (this.#takeFromWriter(run)) return;
      const recent = await this.#readFromWriter(run);
      const { owner, request } = firstOf(run);
      if (recent === null && owner !== null) {
        for (const load of run.members) this.#owners?.add(load);
        return;
      }
      const { segmentId } = request.extent;
      const read = recent ?? (await this.#readFromStore(segmentId, run.position, run.length));
      const verdicts = read instanceof PooledMemory ? await verifyRun(run, read) : [];
      cache.cancel(blockSizeOf(run.length));
      isReserved = false;
      if (read instanceof PooledMemory) await this.#deliver(run, read, verdicts);
      else if (read.kind === 'damaged') await this.#readEach(run);
      else this.#fail(run, read);
    } finally {
      if (isReserved) cache.cancel(blockSizeOf(run.length));
      this.#reading[loadClass]--;
      metrics.observe('fetch_load_seconds', clock.monotonicMs() - startMs);
      this.#startReads();
    }
  }

  /** The writer is in this process: what it has in memory is served as it is. */
  #takeFromWriter(run: Run<Pending>): boolean {
    const { cache, metrics, source } = this.#options;
    const first = firstOf(run);
    const { extent, arrival } = first.request;
    if (arrival === 0) return false;
    let block: Block | null = null;
    const letGo = (): void => {
      if (block !== null) cache.remove(block);
    };
    const view = source.viewOfWriter(extent.writerNodeId, extent.segmentId, letGo);
    if (view === null) return false;
    const memory = new PooledMemory(noBytes, () => view.release());
    const loaded = verifyPieces(run, view, memory);
    if (loaded === null) {
      memory.release();
      return false;
    }
    metrics.count('fetch_writer_views_total');
    // Its memory is the writer's, and counts there.
    block = cache.insert(loaded, 0, first.loadClass === 'tail' ? 'tail' : 'catchUp');
    for (const [index, load] of run.members.entries()) {
      const each = loaded[index];
      invariant(each !== undefined, 'every member was verified');
      load.resolve({ kind: 'loaded', loaded: each });
    }
    return true;
  }

  async #readFromWriter(run: Run<Pending>): Promise<PooledMemory | null> {
    const { extent, arrival } = firstOf(run).request;
    if (arrival === 0) return null;
    const { position, length } = run;
    const { segmentId, writerNodeId } = extent;
    const range = { segmentId, position, length };
    const recent = await this.#options.source.readFromWriter(writerNodeId, arrival, range);
    return recent && new PooledMemory(recent);
  }

  /** The memory is the caller's to release, or to hand on. */
  async #readFromStore(
    segmentId: string,
    position: number,
    length: number,
  ): Promise<PooledMemory | LoadFailure> {
    const memory = this.#options.memory.take(blockSizeOf(length));
    const into = memory.bytes.subarray(0, length);
    const bytes = await this.#options.source.readFromStore(segmentId, position, length, into);
    if (bytes === into) return memory;
    if (!Buffer.isBuffer(bytes)) {
      memory.release();
      return bytes;
    }
    // Not let go of: a read that was given up for another may still be filling it.
    return new PooledMemory(bytes);
  }

  /** What is not intact is read once more, by itself, from the store. */
  async #deliver(
    run: Run<Pending>,
    memory: PooledMemory,
    verdicts: readonly Verdict[],
  ): Promise<void> {
    const loaded: LoadedExtent[] = [];
    const deliveries: (() => void)[] = [];
    const suspects: Pending[] = [];
    for (const [index, load] of run.members.entries()) {
      const verdict = verdicts[index];
      if (verdict?.kind === 'intact') {
        loaded.push(verdict.loaded);
        deliveries.push(() => load.resolve({ kind: 'loaded', loaded: verdict.loaded }));
      } else {
        suspects.push(load);
      }
    }
    const share = firstOf(run).loadClass === 'tail' ? 'tail' : 'catchUp';
    if (loaded.length > 0) this.#options.cache.insert(loaded, memory.bytes.length, share);
    else memory.release();
    for (const deliver of deliveries) deliver();
    for (const load of suspects) await this.#readAlone(load);
  }

  /** The object is shorter than the run: its members one by one, some may be whole. */
  async #readEach(run: Run<Pending>): Promise<void> {
    for (const load of run.members) await this.#readAlone(load);
  }

  async #readAlone(load: Pending): Promise<void> {
    const { extent, leaderEpoch } = load.request;
    const { segmentId, position, length } = extent;
    const memory = await this.#readFromStore(segmentId, position, length);
    if (!(memory instanceof PooledMemory)) return this.#failOne(load, memory);
    const verdict = verifyExtent(memory.bytes.subarray(0, length), extent, leaderEpoch, memory);
    if (verdict.kind === 'damaged') {
      memory.release();
      return this.#failOne(load, verdict);
    }
    const share = load.loadClass === 'tail' ? 'tail' : 'catchUp';
    this.#options.cache.insert([verdict.loaded], memory.bytes.length, share);
    load.resolve({ kind: 'loaded', loaded: verdict.loaded });
  }

  #fail(run: Run<Pending>, failure: LoadFailure): void {
    for (const load of run.members) this.#failOne(load, failure);
  }

  #failOne(load: Pending, failure: LoadFailure): void {
    // `gone` is not bad yet: the index may name another object by now. `unavailable` is passing.
    if (failure.kind === 'damaged') this.#reportBad(load.request.extent, failure);
    load.resolve(failure);
  }

  #reportBad(extent: Extent, failure: LoadFailure): void {
    const { bad, log, metrics } = this.#options;
    if (bad.find(extent) !== undefined) return;
    bad.add(extent, failure);
    metrics.count('fetch_extents_damaged_total');
    const { partitionId, baseOffset, nextOffset, segmentId, position, length } = extent;
    log.error(
      { partitionId, baseOffset, nextOffset, segmentId, position, length, reason: failure.reason },
      'committed records can not be read: their object is lost or damaged',
    );
  }
}

const closedFailure: LoadFailure = { kind: 'unavailable', reason: 'the fetch service is closing' };

const noBytes = Buffer.alloc(0);

/** Below this a copy is cheaper than to send the pieces one by one. */
const pieceBytesMin = 4096;

/** Null: not all of them are there as they should be, or in too many pieces. */
function verifyPieces(
  run: Run<Pending>,
  view: RecentSegmentView,
  memory: PooledMemory,
): readonly LoadedExtent[] | null {
  const all: LoadedExtent[] = [];
  for (const { request } of run.members) {
    const { extent, leaderEpoch } = request;
    const pieces = view.pieces(extent.position, extent.length);
    if (pieces === null) return null;
    if (pieces.length > 1 && extent.length < pieces.length * pieceBytesMin) return null;
    const verdict = verifyExtent(pieces, extent, leaderEpoch, memory);
    if (verdict.kind === 'damaged') return null;
    all.push(verdict.loaded);
  }
  return all;
}

/** Every member, in turns of the event loop of a bounded length: a large run takes 2 ms. */
async function verifyRun(run: Run<Pending>, memory: PooledMemory): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  let bytesOfTurn = 0;
  for (const { length, position, request } of run.members) {
    if (bytesOfTurn > 0 && bytesOfTurn + length > limits.verifyBytesPerTurnMax) {
      // oxlint-disable-next-line no-await-in-loop
      await nextTurn();
      bytesOfTurn = 0;
    }
    const start = position - run.position;
    const view = memory.bytes.subarray(start, start + length);
    const { extent, leaderEpoch } = request;
    verdicts.push(verifyExtent(view, extent, leaderEpoch, memory));
    bytesOfTurn += length;
  }
  return verdicts;
}

function firstOf(run: Run<Pending>): Pending {
  const load = run.members[0];
  invariant(load !== undefined, 'a run has members');
  return load;
}

function keyOf(extent: Extent, owner: number | null): string {
  const key = `${extent.segmentId}/${extent.position}+${extent.length}`;
  return owner === null ? key : `${key}@${owner}`;
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
