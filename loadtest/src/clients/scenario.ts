import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerProcess } from './consumer-process.js';
import type { KafkaClient } from './kafka-client.js';
import { CheckFailedError, Ledger, partitionName } from './ledger.js';
import { generateRecords } from './records.js';
import type { ConsumedRecord, TestRecord } from './records.js';
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
 * Below every client's session timeout (30 s and more): the partitions of a member that leaves are free
 * because it said so. kafkajs takes two rounds of a 5 s fetch to notice.
 */
const takeOverMsMax = 25_000;

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
    const ledger = new Ledger();
    const produce = async (): Promise<void> => {
      ledger.add(await this.#produce(topic, 'none', 300));
    };
    await this.#create(topic);
    await produce();
    const first = this.#member(topic, [topic]);
    await this.#step('a member alone has all 6 partitions', async () => {
      await first.until('6 partitions', () => first.assignment?.size === partitionsPerTopic);
      await first.until('300 records', () => distinctRecords([first]) === 300);
    });
    const second = this.#member(topic, [topic]);
    await this.#step('two members have 3 partitions each', async () => {
      await second.until('3 partitions', () => second.assignment?.size === 3);
      await first.until('3 partitions', () => first.assignment?.size === 3);
      const both = new Set([...(first.assignment ?? []), ...(second.assignment ?? [])]);
      if (both.size !== partitionsPerTopic) throw new CheckFailedError('they overlap');
      await produce();
      await first.until('150 more records', () => distinctRecords([first]) >= 450);
      await second.until('150 records', () => distinctRecords([second]) >= 150);
    });
    await this.#step('one leaves: the other has all 6 at once, and goes on', async () => {
      await second.stop();
      await first.until('6 partitions', () => first.assignment?.size === 6, takeOverMsMax);
      await produce();
      await first.until('the last 300', () => distinctRecords([first, second]) === 900);
      await first.stop();
      const repeats = client.features.redeliversAtRebalance;
      if (repeats) this.#options.report.say(sayRepeats([first, second]));
      else for (const { records } of [first, second]) assertAscending(records);
      ledger.deliver(inOffsetOrder([first, second]), { repeats });
      ledger.settle();
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

/** Two members took turns at some partitions: the offsets say whose turn was when. */
function inOffsetOrder(members: readonly ConsumerProcess[]): ConsumedRecord[] {
  const records = members.flatMap((member) => member.records);
  return records.toSorted((left, right) => left.offset - right.offset);
}

function distinctRecords(members: readonly ConsumerProcess[]): number {
  const names = members.flatMap(({ records }) =>
    records.map((record) => `${partitionName(record)} ${record.offset}`),
  );
  return new Set(names).size;
}

function sayRepeats(members: readonly ConsumerProcess[]): string {
  const delivered = members.flatMap(({ records }) => records).length;
  return `${delivered - distinctRecords(members)} records again at rebalances, as this client may`;
}

function assertAscending(records: readonly ConsumedRecord[]): void {
  const last = new Map<number, number>();
  for (const { partition, offset } of records) {
    if (offset <= (last.get(partition) ?? -1)) {
      throw new CheckFailedError(`partition ${partition}: offset ${offset} came out of order`);
    }
    last.set(partition, offset);
  }
}
