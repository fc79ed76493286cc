import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerProcess } from './consumer-process.js';
import type { KafkaClient } from './kafka-client.js';
import { CheckFailedError, Ledger } from './ledger.js';
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
    await this.#create(topic);
    await this.#produceTo(ledger, topic);
    const first = this.#member(topic, [topic]);
    await this.#step('a member alone has all 6 partitions', async () => {
      await first.until('6 partitions', () => first.assignment?.size === partitionsPerTopic);
      await first.until('its records', () => ledger.isCoveredBy(first.records));
    });
    const second = this.#member(topic, [topic]);
    const both = (): ConsumedRecord[] => [...first.records, ...second.records];
    await this.#step('two members have 3 partitions each', async () => {
      await second.until('3 partitions', () => second.assignment?.size === 3);
      await first.until('3 partitions', () => first.assignment?.size === 3);
      const held = new Set([...(first.assignment ?? []), ...(second.assignment ?? [])]);
      if (held.size !== partitionsPerTopic) throw new CheckFailedError('they overlap');
      const had = second.records.length;
      // A fetch of the first one, sent before it gave partitions up, may bring it what comes next there.
      let rounds = client.features.redelivers === 'at-rebalance' ? 3 : 1;
      for (; rounds > 0 && second.records.length === had; rounds -= 1) {
        await this.#produceTo(ledger, topic);
        await first.until('all records at one or the other', () => ledger.isCoveredBy(both()));
      }
      if (second.records.length === had) throw new CheckFailedError('the second member got none');
    });
    await this.#step('one leaves: the other has all 6 at once, and goes on', async () => {
      await second.stop();
      await first.until('6 partitions', () => first.assignment?.size === 6, takeOverMsMax);
      await this.#produceTo(ledger, topic);
      await first.until('all records', () => ledger.isCoveredBy(both()));
    });
    await this.#step('every record went to one of the two, once', async () => {
      for (const { records } of [first, second]) this.#assertAscending(records);
      this.#settle(ledger, inOffsetOrder(both()), ['at-rebalance']);
      first.records.length = 0;
    });
    await this.#restartUnder(first, ledger, topic);
    await first.stop();
  }

  /** Clients connect again by themselves, and are still the members that they were. */
  async #restartUnder(member: ConsumerProcess, ledger: Ledger, topic: string): Promise<void> {
    const { client, report, server } = this.#options;
    const { control } = server;
    if (control === undefined) return;
    if (client.features.endsWithServer) {
      report.leftOut(`a restart under a member: ${client.name} ends when no server is there`);
      return;
    }
    await this.#step('restart the server under a member: it goes on', async () => {
      await control.restartCleanly();
      await this.#produceTo(ledger, topic);
      await member.until('all records', () => ledger.isCoveredBy(member.records));
      const repeaters = ['at-rebalance', 'after-disconnect'];
      if (!server.restartsQuietly) repeaters.push('never');
      this.#settle(ledger, member.records, repeaters);
      const held = member.assignment?.size;
      if (held !== partitionsPerTopic) throw new CheckFailedError(`it holds ${held} partitions`);
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

  async #produceTo(ledger: Ledger, topic: string): Promise<void> {
    ledger.add(await this.#produce(topic, 'none', 300));
  }

  /** Everything came, and nothing twice unless this client is one that `repeaters` names. */
  #settle(ledger: Ledger, records: readonly ConsumedRecord[], repeaters: readonly string[]): void {
    const { client, report } = this.#options;
    const repeats = repeaters.includes(client.features.redelivers);
    const again = records.length - ledger.pending;
    ledger.deliver(records, { repeats });
    ledger.settle();
    if (again > 0) report.say(`${again} records came again, as ${client.name} may at such a time`);
  }

  #assertAscending(records: readonly ConsumedRecord[]): void {
    if (this.#options.client.features.redelivers === 'at-rebalance') return;
    const last = new Map<number, number>();
    for (const { partition, offset } of records) {
      if (offset <= (last.get(partition) ?? -1)) {
        throw new CheckFailedError(`partition ${partition}: offset ${offset} came out of order`);
      }
      last.set(partition, offset);
    }
  }

  #step(name: string, run: () => Promise<void>): Promise<void> {
    return this.#options.report.step(name, run);
  }
}

/** Two members took turns at some partitions: the offsets say whose turn was when. */
function inOffsetOrder(records: readonly ConsumedRecord[]): ConsumedRecord[] {
  return records.toSorted((left, right) => left.offset - right.offset);
}
