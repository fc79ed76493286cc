import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerProcess } from './consumer-process.js';
import type { KafkaClient } from './kafka-client.js';
import { CheckFailedError, Ledger } from './ledger.js';
import { generateRecords } from './records.js';
import type { TestRecord } from './records.js';
import type { Report } from './report.js';
import type { CheckedServer } from './server.js';

export interface ScenarioOptions {
  readonly client: KafkaClient;
  readonly server: CheckedServer;
  readonly report: Report;
  /** Makes names of topics and groups that the server has not seen. */
  readonly runId: string;
  readonly recordsMax: number;
  readonly seed: number;
}

export const partitionsPerTopic = 6;

/** Long enough for what should not come: a consumer that has its partitions fetches at once. */
const quietMs = 1_500;

/**
 * What every client must be able to do, whatever happens to the server in between. Each step rests on
 * those before it.
 */
export async function runScenario(options: ScenarioOptions): Promise<void> {
  const scenario = new Scenario(options);
  try {
    await scenario.produceAll();
    await scenario.restartCleanly();
    await scenario.consumeAll();
    await scenario.consumeNothing();
    await scenario.produceMore();
    await scenario.restartAfterKill();
    await scenario.consumeRest();
    await scenario.rebalance();
  } finally {
    scenario.end();
  }
}

class Scenario {
  readonly #options: ScenarioOptions;
  readonly #topics: ReadonlyMap<string, string>;
  readonly #group: string;
  readonly #ledger = new Ledger();
  readonly #members: ConsumerProcess[] = [];
  #generated = 0;

  constructor(options: ScenarioOptions) {
    this.#options = options;
    const { client, runId } = options;
    this.#topics = new Map(
      client.codecs.map((codec) => [codec, `${client.name}-${codec}-${runId}`]),
    );
    this.#group = `${client.name}-group-${runId}`;
  }

  async produceAll(): Promise<void> {
    const { client, recordsMax } = this.#options;
    for (const topic of this.#topics.values()) await this.#create(topic);
    const share = Math.ceil(recordsMax / client.codecs.length);
    for (const [codec, topic] of this.#topics) {
      await this.#step(`produce ${share} records, ${codec}`, async () => {
        this.#ledger.add(await this.#produce(topic, codec, share));
      });
    }
  }

  async restartCleanly(): Promise<void> {
    const { control } = this.#options.server;
    if (control === undefined) this.#options.report.leftOut('the restarts: not our server');
    else await this.#step('stop the server, start it again', () => control.restartCleanly());
  }

  async restartAfterKill(): Promise<void> {
    const { control } = this.#options.server;
    if (control === undefined) return;
    await this.#step('kill -9 the server, start it again', () => control.restartAfterKill());
  }

  async consumeAll(): Promise<void> {
    await this.#step(`consume ${this.#ledger.pending} records in a group`, () => this.#drain());
  }

  async consumeNothing(): Promise<void> {
    await this.#step('nothing more for the next member of the group', async () => {
      const consumer = this.#member(this.#group, [...this.#topics.values()]);
      await this.#untilWholeAssignment(consumer);
      await sleep(quietMs);
      await consumer.stop();
      this.#ledger.deliver(consumer.records);
    });
  }

  async produceMore(): Promise<void> {
    for (const [codec, topic] of this.#topics) {
      await this.#step(`produce 240 more, ${codec}`, async () => {
        this.#ledger.add(await this.#produce(topic, codec, 240));
      });
    }
  }

  async consumeRest(): Promise<void> {
    await this.#step(
      `consume the other ${this.#ledger.pending}, from the committed offsets on`,
      () => this.#drain(),
    );
  }

  /** A second member comes and goes; every record goes to one of them, once. */
  async rebalance(): Promise<void> {
    const { client, runId } = this.#options;
    const topic = `${client.name}-members-${runId}`;
    const group = `${client.name}-members-${runId}`;
    const ledger = new Ledger();
    await this.#create(topic);
    ledger.add(await this.#produce(topic, 'none', 300));
    const first = this.#member(group, [topic]);
    await this.#step('a member alone has all 6 partitions', async () => {
      await first.until('6 partitions', () => first.assignment?.size === partitionsPerTopic);
      await first.until('300 records', () => first.records.length >= 300);
    });
    const second = this.#member(group, [topic]);
    await this.#step('two members have 3 partitions each', async () => {
      await second.until('3 partitions', () => second.assignment?.size === 3);
      await first.until('3 partitions', () => first.assignment?.size === 3);
      const both = new Set([...(first.assignment ?? []), ...(second.assignment ?? [])]);
      if (both.size !== partitionsPerTopic) throw new CheckFailedError('they overlap');
      ledger.add(await this.#produce(topic, 'none', 300));
      await first.until('150 more records', () => first.records.length >= 450);
      await second.until('150 records', () => second.records.length >= 150);
    });
    await this.#step('one leaves: the other has all 6 at once, and goes on', async () => {
      await second.stop();
      // Well below any client's session timeout: its partitions are free because it said so.
      await first.until(
        '6 partitions',
        () => first.assignment?.size === partitionsPerTopic,
        15_000,
      );
      ledger.add(await this.#produce(topic, 'none', 300));
      await first.until('300 more records', () => first.records.length >= 750);
      await first.stop();
      deliverInOffsetOrder(ledger, [first, second]);
    });
  }

  end(): void {
    for (const member of this.#members) member.destroy();
  }

  /** One consumer takes everything that is pending, and leaves. */
  async #drain(): Promise<void> {
    const consumer = this.#member(this.#group, [...this.#topics.values()]);
    const count = this.#ledger.pending;
    await this.#untilWholeAssignment(consumer);
    await consumer.until(`${count} records`, () => consumer.records.length >= count);
    await consumer.stop();
    this.#ledger.deliver(consumer.records);
    this.#ledger.settle();
  }

  async #untilWholeAssignment(consumer: ConsumerProcess): Promise<void> {
    const count = this.#topics.size * partitionsPerTopic;
    await consumer.until(`${count} partitions`, () => consumer.assignment?.size === count);
  }

  #member(group: string, topics: readonly string[]): ConsumerProcess {
    const { client, server } = this.#options;
    const member = client.consume({ bootstrap: server.bootstrap, group, topics });
    this.#members.push(member);
    return member;
  }

  async #create(topic: string): Promise<void> {
    const { client, server } = this.#options;
    const { bootstrap } = server;
    await client.createTopic?.({ bootstrap, topic, partitions: partitionsPerTopic });
  }

  async #produce(topic: string, codec: string, count: number): Promise<TestRecord[]> {
    const { client, server, seed } = this.#options;
    this.#generated += 1;
    const records = generateRecords({
      topic,
      partitions: partitionsPerTopic,
      count,
      seed: seed + this.#generated,
      features: client.features,
    });
    await client.produce({ bootstrap: server.bootstrap, codec, records });
    return records;
  }

  #step(name: string, run: () => Promise<void>): Promise<void> {
    return this.#options.report.step(name, run);
  }
}

/**
 * Two members took turns at some partitions, one after the other: the offsets say whose turn was when.
 * Each member's own order within a partition is kept by the sort and so still checked by its offsets.
 */
function deliverInOffsetOrder(ledger: Ledger, members: readonly ConsumerProcess[]): void {
  for (const { records } of members) assertAscending(records);
  const records = members.flatMap((member) => member.records);
  ledger.deliver(records.toSorted((left, right) => left.offset - right.offset));
  ledger.settle();
}

function assertAscending(records: ConsumerProcess['records']): void {
  const last = new Map<number, number>();
  for (const { partition, offset } of records) {
    if (offset <= (last.get(partition) ?? -1)) {
      throw new CheckFailedError(`partition ${partition}: offset ${offset} came out of order`);
    }
    last.set(partition, offset);
  }
}
