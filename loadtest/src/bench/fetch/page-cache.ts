import { ServerMetrics } from '../../peers/server-metrics.js';
import type { Bench } from '../framework/bench.js';
import type { Floor } from '../framework/floors.js';
import type { Load } from '../framework/measure.js';
import { fillTopic, javaFetch, rawFetch, type FilledTopic } from '../loads/fetch-loads.js';

const residentMegabytesMax = 700;
const rawFloor: Floor = { megabytesPerSecondRatio: 0.5, megabytesPerSecondEnough: 1000 };

/** Local files that are in the page cache, beside Apache Kafka, whose files are there too. */
export async function pageCacheBench(bench: Bench): Promise<void> {
  const { options, servers } = bench;
  const topic: FilledTopic = {
    name: 'catch-up',
    megabytes: options.quick ? 1000 : 2000,
    batchKibibytes: 16,
  };
  for (const server of servers) await fillTopic(server, topic);
  const gets = new GetCounts(bench);
  await gets.compare(javaFetch(topic), {
    megabytesPerSecondRatio: 1,
    cpuSecondsPerGigabyteMax: 1,
    residentMegabytesMax,
  });
  await gets.compare(rawFetch(topic, { connections: 1, passes: 1 }), rawFloor);
  const passes = options.quick ? 2 : 4;
  await gets.compare(rawFetch(topic, { connections: 4, passes }), rawFloor);
  gets.print();
}

/** Of our server, warm-ups too. */
class GetCounts {
  readonly #bench: Bench;
  readonly #rows: string[][] = [];

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  async compare(load: Load, floor: Floor): Promise<void> {
    const before = await this.#metrics();
    await this.#bench.compare(load, { floor });
    const after = await this.#metrics();
    if (before === undefined || after === undefined) return;
    const gets = after.since(before, 'fetch_store_reads_total');
    const gigabytes = after.since(before, 'fetch_bytes_served_total') / 1e9;
    if (gigabytes === 0) return;
    const read = after.since(before, 'fetch_store_read_bytes_total') / 1e9;
    this.#rows.push([
      load.name,
      gigabytes.toFixed(1),
      (gets / gigabytes).toFixed(0),
      (read / gigabytes).toFixed(2),
    ]);
  }

  print(): void {
    if (this.#rows.length === 0) return;
    this.#bench.table({
      title: 'GETs',
      description: 'ranged reads of the store by our server, warm-ups too',
      headings: ['load', 'GB served', 'GETs/GB', 'GB read per GB served'],
      rows: this.#rows,
    });
  }

  async #metrics(): Promise<ServerMetrics | undefined> {
    const [ours] = this.#bench.servers;
    if (ours === undefined || !('httpUrl' in ours)) return undefined;
    return await ServerMetrics.read(String(ours.httpUrl));
  }
}
