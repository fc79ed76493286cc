import { startStandalone, type StandaloneServer } from '../peers/kafscale-standalone.js';
import { ServerMetrics } from '../peers/server-metrics.js';
import { runRawLoad } from '../raw/run-raw-load.js';
import { runStand, type Stand } from './framework/stand.js';
import { quantile } from './framework/statistics.js';
import { fillTopic } from './loads/fetch-loads.js';
import { recordBytes } from './loads/produce-loads.js';
import { runTail, tailCpuSecondsPerGigabyte, type TailRun } from './loads/tail-run.js';
import { benchPartitions, endOffsetsOf } from './loads/verify-stored.js';

/** What a group that reads history costs one that tails: `npm run bench:replay`. */

const history = 'history';
const megabytesPerSecond = 5;
const shape = {
  partitions: benchPartitions,
  batchBytes: 16 * 1024,
  valueBytes: recordBytes,
  bytesPerSecond: megabytesPerSecond * 1e6,
  readers: 1,
  warmUpSeconds: 3,
};
const tailP99RatioMax = 2;

interface Round {
  readonly run: TailRun;
  readonly gets: number;
  /** Record values that were replayed meanwhile. */
  readonly replayedBytes: number;
}

class ReplayBench {
  readonly #stand: Stand;
  readonly #server: StandaloneServer;
  #rounds = 0;

  constructor(stand: Stand, server: StandaloneServer) {
    this.#stand = stand;
    this.#server = server;
  }

  async run(): Promise<void> {
    const { options, report } = this.#stand;
    const megabytes = options.quick ? 1_000 : 2_000;
    report.section(
      'replay',
      `one raw consumer tails ${megabytesPerSecond} MB/s of 1 KiB records (open loop, flush 0, local ` +
        `files, latency from when a batch was due until the consumer had it), alone and while another ` +
        `reads ${megabytes} MB of history again and again as fast as it gets them; medians of rounds ` +
        `in turn`,
    );
    await fillTopic(this.#server, { name: history, megabytes, batchKibibytes: 16 });
    const rounds = options.quick ? 2 : 4;
    const seconds = options.quick ? 12 : 40;
    await this.#round(seconds / 2, false);
    const alone: Round[] = [];
    const beside: Round[] = [];
    for (let round = 0; round < rounds; round += 1) {
      alone.push(await this.#round(seconds, false));
      beside.push(await this.#round(seconds, true));
    }
    report.keep('replay', { alone, beside });
    report.table(headings, [rowOf('alone', alone), rowOf('beside a replay', beside)]);
    const [p99Alone, p99Beside] = [median(alone, p99), median(beside, p99)];
    report.floor(
      `tail p99 ≤ ${tailP99RatioMax}× its p99 alone: ${p99Beside.toFixed(1)} against ` +
        `${p99Alone.toFixed(1)} ms, ${(p99Beside / p99Alone).toFixed(2)}×`,
      p99Beside <= tailP99RatioMax * p99Alone,
    );
  }

  async #round(seconds: number, hasReplay: boolean): Promise<Round> {
    this.#rounds += 1;
    const topic = `tail-${this.#rounds}`;
    const before = await ServerMetrics.read(this.#server.httpUrl);
    const end = new AbortController();
    const replayed = hasReplay ? this.#replay(end.signal) : Promise.resolve(0);
    let run: TailRun;
    try {
      run = await runTail(this.#server, { ...shape, topic, seconds });
    } finally {
      end.abort();
    }
    const replayedBytes = await replayed;
    const after = await ServerMetrics.read(this.#server.httpUrl);
    return { run, gets: after.since(before, 'fetch_store_reads_total'), replayedBytes };
  }

  /** Again and again until `signal` aborts; the last pass is finished. */
  async #replay(signal: AbortSignal): Promise<number> {
    const { address } = this.#server;
    const endOffsets = await endOffsetsOf(this.#server, history);
    let bytes = 0;
    while (!signal.aborted) {
      const result = await runRawLoad({
        kind: 'fetch',
        address,
        topic: history,
        endOffsets,
        valueBytes: recordBytes,
        connections: 1,
        passes: 2,
        partitionBytesMax: 1024 * 1024,
      });
      bytes += result.bytes;
    }
    return bytes;
  }
}

const headings = [
  'tail',
  'rounds',
  'p50 ms',
  'p99 ms',
  'p99.9 ms',
  'replayed MB/s',
  'GETs/GB',
  'CPU s/GB, replay too',
  'client CPU s/GB',
];

function rowOf(name: string, rounds: readonly Round[]): string[] {
  /** Of all record values that any client got. */
  const gigabytes = ({ replayedBytes, run }: Round): number =>
    (replayedBytes + run.result.bytesWritten) / 1e9;
  return [
    name,
    String(rounds.length),
    median(rounds, ({ run }) => run.result.latency.p50).toFixed(1),
    median(rounds, p99).toFixed(1),
    median(rounds, ({ run }) => run.result.latency.p999).toFixed(1),
    median(rounds, ({ replayedBytes, run }) => {
      return replayedBytes / (run.result.bytesWritten / megabytesPerSecond);
    }).toFixed(0),
    median(rounds, (round) => round.gets / gigabytes(round)).toFixed(0),
    median(rounds, (round) => {
      const tailGigabytes = round.run.result.bytesWritten / 1e9;
      return (tailCpuSecondsPerGigabyte(round.run) * tailGigabytes) / gigabytes(round);
    }).toFixed(2),
    median(rounds, (round) => round.run.clientCpuSeconds / gigabytes(round)).toFixed(2),
  ];
}

function p99({ run }: Round): number {
  return run.result.latency.p99;
}

function median(rounds: readonly Round[], figure: (round: Round) => number): number {
  return quantile(rounds.map(figure), 0.5);
}

await runStand({
  name: 'replay',
  body: async (stand) => {
    const { dataRoot, started } = stand;
    const server = started(await startStandalone({ dataRoot }), (each) => each.dispose());
    await new ReplayBench(stand, server).run();
  },
});
