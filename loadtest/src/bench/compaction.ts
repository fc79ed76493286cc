import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, invariant, OperatingError, sleep, systemClock } from '@kafscale/core';
import { AdminClient } from '../raw/admin-client.js';
import type { LoadResult } from '../raw/produce-load.js';
import { runRawLoad } from '../raw/run-raw-load.js';
import { benchRoot, readBenchOptions } from './framework/bench-options.js';
import { probeDisk } from './framework/disk-probe.js';
import { describeMachine, machineFacts } from './framework/machine-facts.js';
import { markdownTable } from './framework/markdown-table.js';
import { ServerMeter } from './framework/server-usage.js';
import { startCompactionServer } from './loads/compaction-server.js';
import type { CompactionServer } from './loads/compaction-server.js';

/**
 * Segment compaction: `npm run bench:compaction`. Writes small segments of many partitions, then
 * merges them, and reads everything from the start before and after, each time with cold memory.
 */

const topic = 'many';
const partitions = 64;
/** One request is one segment: a batch of 1.5 kB for each partition, 100 kB in all. */
const valueBytes = 720;
const batchBytes = 61 + 2 * (valueBytes + 10);
const segmentsFull = 14_400;
const segmentsQuick = 2_400;
const segmentsPerLoad = 1_200;
/** What readers load at once: limits.batchIndexPartBytes of the server. */
const blockBytes = 1024 * 1024;
const never = 24 * 3_600_000;
const drainMsMax = 15 * 60_000;

interface Phase {
  readonly name: string;
  readonly seconds: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
  readonly postgresCpuSeconds: number;
  readonly rows: number | null;
  readonly gets: number | null;
}

class CompactionBench {
  readonly #dataDir: string;
  readonly #phases: Phase[] = [];

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  async run(segments: number): Promise<void> {
    const written = await this.#with(never, (server) => this.#write(server, segments));
    const before = await this.#with(never, (server) => this.#read(server, 'catch-up before'));
    const drained = await this.#with(0, (server) => this.#drain(server, written.rows ?? 0));
    const after = await this.#with(never, (server) => this.#read(server, 'catch-up after'));
    await this.#with(0, (server) => this.#both(server, Math.ceil(segments / 6)));
    this.#print({ written, before, drained, after });
  }

  async #with<Result>(
    graceMs: number,
    work: (server: CompactionServer) => Promise<Result>,
  ): Promise<Result> {
    const server = await startCompactionServer({ dataDir: this.#dataDir, graceMs });
    try {
      return await work(server);
    } finally {
      await server.dispose();
    }
  }

  async #write(server: CompactionServer, segments: number): Promise<Phase> {
    const admin = await AdminClient.connect(server.address);
    await admin.createTopic({ name: topic, partitions });
    admin.close();
    return this.#measure(server, 'commit', async () => {
      const result = await produce(server, segments);
      return { ...result, rows: await server.metric('coordinator_extents_total'), gets: null };
    });
  }

  async #read(server: CompactionServer, name: string): Promise<Phase> {
    const admin = await AdminClient.connect(server.address);
    const endOffsets = await admin.endOffsets(topic, partitions);
    admin.close();
    return this.#measure(server, name, async () => {
      const { bytes, seconds } = await runRawLoad({
        kind: 'fetch',
        address: server.address,
        topic,
        endOffsets,
        valueBytes,
        connections: 4,
        passes: 1,
        partitionBytesMax: 1024 * 1024,
      });
      const gets = await server.metric('fetch_store_reads_total');
      return { bytes, seconds, rows: null, gets };
    });
  }

  /** From the server's start to its last merge of what was there. */
  async #drain(server: CompactionServer, rowsWritten: number): Promise<Phase> {
    return this.#measure(server, 'drain', async () => {
      const startMs = systemClock.monotonicMs();
      let rows = 0;
      // A few segments may stay: fewer than are worth a merge.
      while (rows < rowsWritten - 255 * partitions) {
        if (systemClock.monotonicMs() - startMs > drainMsMax) {
          throw new OperatingError('DRAIN_STUCK', `${rows} of ${rowsWritten} rows were merged`);
        }
        await sleep(50);
        rows = await server.metric('coordinator_compaction_rows_merged_total', 'kind="fresh"');
      }
      const seconds = (systemClock.monotonicMs() - startMs) / 1000;
      await untilQuiet(server);
      const bytes = await server.metric('coordinator_compaction_bytes_written_total');
      return { bytes, seconds, rows, gets: null };
    });
  }

  /** Commits as fast as they go, merges at the same time. */
  async #both(server: CompactionServer, segments: number): Promise<void> {
    await this.#measure(server, 'commit while merging', async () => {
      const result = await produce(server, segments);
      return { ...result, rows: await server.metric('coordinator_extents_total'), gets: null };
    });
    const merged = await server.metric('coordinator_compaction_rows_merged_total', 'kind="fresh"');
    const rows = await server.metric('coordinator_extents_total');
    console.log(`merged at the end of the commits: ${merged} of ${rows} rows`);
  }

  async #measure(
    server: CompactionServer,
    name: string,
    work: () => Promise<Pick<Phase, 'seconds' | 'bytes' | 'rows' | 'gets'>>,
  ): Promise<Phase> {
    const meter = new ServerMeter(server);
    const result = await work();
    const { cpuSeconds, postgresCpuSeconds } = meter.stop();
    const phase = { name, ...result, cpuSeconds, postgresCpuSeconds };
    this.#phases.push(phase);
    console.error(`  ${name}: ${result.seconds.toFixed(1)} s, ${result.rows ?? result.gets}`);
    return phase;
  }

  #print({ after, before, drained, written }: Readonly<Record<string, Phase>>): void {
    invariant(after && before && drained && written, 'every phase was measured');
    console.log(`\n${markdownTable(headings, this.#phases.map(rowOf))}\n`);
    const ratio = rowsPerSecond(drained) / rowsPerSecond(written);
    const most = (1e9 / blockBytes) * 1.2;
    console.log(
      `drain ÷ commit, rows per second: ${ratio.toFixed(2)}× (floor 3.0×: ${verdict(ratio >= 3)})`,
    );
    console.log(
      `GETs per GB: ${getsPerGigabyte(before).toFixed(0)} before, ` +
        `${getsPerGigabyte(after).toFixed(0)} after ` +
        `(floor ${most.toFixed(0)}: ${verdict(getsPerGigabyte(after) <= most)})`,
    );
  }
}

async function produce(
  server: CompactionServer,
  segments: number,
): Promise<Pick<LoadResult, 'bytes' | 'seconds'>> {
  let bytes = 0;
  let seconds = 0;
  for (let left = segments; left > 0; left -= segmentsPerLoad) {
    const result = await runRawLoad({
      kind: 'produce',
      address: server.address,
      topic,
      partitions,
      batchBytes,
      batchesPerRequest: partitions,
      valueBytes,
      connections: 1,
      inFlightPerConnection: 1,
      totalBytes: Math.min(left, segmentsPerLoad) * partitions * 2 * valueBytes,
    });
    bytes += result.bytes;
    seconds += result.seconds;
  }
  return { bytes, seconds };
}

/** No merge has ended for a while: what the earlier ones left is merged as well. */
async function untilQuiet(server: CompactionServer): Promise<void> {
  let merges = -1;
  for (;;) {
    const now = await server.metric('coordinator_compaction_merges_total');
    if (now === merges) return;
    merges = now;
    await sleep(6_000);
  }
}

const headings = [
  'phase',
  'seconds',
  'index rows',
  'rows/s',
  'MB',
  'MB/s',
  'CPU s',
  'of it PostgreSQL',
  'GETs',
];

function rowOf(phase: Phase): string[] {
  const { bytes, cpuSeconds, gets, name, postgresCpuSeconds, rows, seconds } = phase;
  return [
    name,
    seconds.toFixed(1),
    rows === null ? '–' : String(rows),
    rows === null ? '–' : rowsPerSecond(phase).toFixed(0),
    (bytes / 1e6).toFixed(0),
    (bytes / 1e6 / seconds).toFixed(1),
    cpuSeconds.toFixed(1),
    postgresCpuSeconds.toFixed(1),
    gets === null ? '–' : String(gets),
  ];
}

function rowsPerSecond({ rows, seconds }: Phase): number {
  return (rows ?? 0) / seconds;
}

function getsPerGigabyte({ bytes, gets }: Phase): number {
  return (gets ?? 0) / (bytes / 1e9);
}

function verdict(holds: boolean): string {
  return holds ? 'holds' : 'MISSED';
}

const options = readBenchOptions('compaction', { quick: 1, full: 1 });
await mkdir(benchRoot, { recursive: true });
const dataDir = await mkdtemp(join(benchRoot, 'compaction-'));
try {
  console.log(`$ npm run bench:compaction${options.quick ? ' -- --quick' : ''}`);
  console.log(describeMachine(machineFacts(new Date(systemClock.wallMs()))));
  const disk = probeDisk(dataDir, { chunks: 16 });
  console.log(
    `disk: 4 KiB write + fdatasync p50 ${disk.fsyncMsMedian.toFixed(2)} ms, ` +
      `8 MiB writes + fdatasync ${disk.sequentialMegabytesPerSecond.toFixed(0)} MB/s`,
  );
  await new CompactionBench(dataDir).run(options.quick ? segmentsQuick : segmentsFull);
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
} finally {
  await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
}
