import { describe, expect, it } from 'vitest';
import { Bucket, collectOrphans, sweepsOnDemand } from './commit-rules/bucket.js';
import { Cluster } from './commit-rules/cluster.js';
import { CommitLink } from './commit-rules/commit-link.js';
import { CuttingProxy } from './commit-rules/cutting-proxy.js';
import { batchOf } from './commit-rules/kafka-calls.js';
import type { KafkaConnection, ProducedBatch } from './commit-rules/kafka-calls.js';
import {
  connectToIngest,
  listenAsCoordinator,
  metricOf,
  spawnRole,
} from './commit-rules/role-process.js';
import type { RoleProcess } from './commit-rules/role-process.js';
import { StoreProxy } from './commit-rules/store-proxy.js';
import { serversOfThisFile } from './support/postgres-and-s3.js';
import { noS3Server } from './support/stores.js';

/**
 * SIGKILL to a real ingest process while a proxy holds its first segment at one step of the path. What
 * its client does not know (P4) it sends again by another node.
 */
const topic = 'events';
/** Of the idempotent producer, and of one that has no id: what that sent is there at most once. */
const [numbered, plain] = [0, 1];
const inFlight = [2, 3, 4, 5, 6];

const servers = serversOfThisFile();

class World {
  readonly bucket: Bucket;
  readonly cluster: Cluster;
  readonly database: CuttingProxy;
  readonly store: StoreProxy;
  readonly commits: CommitLink;
  readonly #coordinatorUrl: string;

  private constructor(parts: {
    cluster: Cluster;
    bucket: Bucket;
    database: CuttingProxy;
    store: StoreProxy;
    commits: CommitLink;
    coordinatorUrl: string;
  }) {
    this.bucket = parts.bucket;
    this.cluster = parts.cluster;
    this.database = parts.database;
    this.store = parts.store;
    this.commits = parts.commits;
    this.#coordinatorUrl = parts.coordinatorUrl;
  }

  static async start(): Promise<World> {
    const url = await servers.postgres.createDatabase();
    const database = await CuttingProxy.start(url);
    const bucket = new Bucket(servers.s3);
    const objects = bucket.place();
    const cluster = await Cluster.start(url, { url: database.url }, sweepsOnDemand, { objects });
    await cluster.createTopic(topic, 2);
    const commits = new CommitLink(cluster.slot);
    const coordinatorUrl = await listenAsCoordinator(cluster.slot.through(commits));
    const store = await StoreProxy.start(servers.s3.endpoint);
    return new World({ cluster, bucket, database, store, commits, coordinatorUrl });
  }

  async startVictim(flushIntervalMs: number): Promise<RoleProcess> {
    const victim = await spawnRole('ingest', {
      ...this.bucket.env(this.store.url),
      KAFSCALE_COORDINATOR_URL: this.#coordinatorUrl,
      KAFSCALE_FLUSH_INTERVAL_MS: String(flushIntervalMs),
    });
    await victim.process.waitUntilReady();
    return victim;
  }
}

interface Step {
  readonly name: string;
  readonly flushIntervalMs?: number;
  /** Makes the path stop there. */
  readonly hold: (world: World) => void;
  /** Whether it has stopped there. Absent: nothing stops, the segment stays open. */
  readonly isHeld?: (world: World) => boolean;
  /** What was on its way when the process died arrives, or does not. */
  readonly afterDeath?: (world: World) => Promise<void> | void;
  /** The same, when the retries have been answered. */
  readonly afterRetry?: (world: World) => Promise<void> | void;
  readonly isCommitted: boolean;
  /** Objects without a row before the retries. */
  readonly orphans: number;
}

/** Its mark is the segment's id, known when the commit call arrives. */
const atCommit =
  (prepare: (world: World, segmentId: string) => void) =>
  (world: World): void => {
    world.commits.hold();
    void (async () => {
      await eventually(() => world.commits.heldCalls === 1);
      prepare(world, world.commits.calls[0]![0]!.segmentId);
      world.commits.release();
      world.commits.hold(); // or it would repeat its call before it is killed
    })();
  };

function dropCalls({ commits }: World): void {
  commits.loseCalls(commits.heldCalls);
  commits.release();
}

const steps: readonly Step[] = [
  {
    name: 'after it was appended, before its segment is sealed',
    flushIntervalMs: 60_000,
    hold: () => {},
    isCommitted: false,
    orphans: 0,
  },
  {
    name: 'after its segment is sealed, before the store hears of it',
    hold: ({ store }) => store.next('hold'),
    isHeld: ({ store }) => store.held > 0,
    isCommitted: false,
    orphans: 0,
  },
  {
    name: 'in the middle of the PUT',
    hold: ({ store }) => store.next('holdHalf'),
    isHeld: ({ store }) => store.held > 0,
    isCommitted: false,
    orphans: 0,
  },
  {
    name: 'after the PUT, before its answer',
    hold: ({ store }) => store.next('holdAnswer'),
    isHeld: ({ store }) => store.held > 0,
    isCommitted: false,
    orphans: 1,
  },
  {
    name: 'after the PUT, before the coordinator hears of the commit',
    hold: ({ commits }) => commits.hold(),
    isHeld: ({ commits }) => commits.heldCalls === 1,
    afterDeath: dropCalls,
    isCommitted: false,
    orphans: 1,
  },
  {
    name: 'while its commit is on the way, which arrives when all was sent again elsewhere',
    hold: ({ commits }) => commits.hold(),
    isHeld: ({ commits }) => commits.heldCalls === 1,
    afterRetry: async ({ cluster, commits }) => {
      commits.release();
      await eventually(async () => (await committedSegments(cluster, commits)) === 1);
    },
    isCommitted: false,
    orphans: 1,
  },
  {
    name: 'during the COMMIT, which is done',
    hold: atCommit(({ database }, segmentId) => database.holdCommitOf(segmentId)),
    isHeld: ({ database }) => database.holdsCommit,
    afterDeath: async ({ cluster, commits, database }) => {
      database.deliverLate();
      await eventually(async () => (await committedSegments(cluster, commits)) === 1);
    },
    isCommitted: true,
    orphans: 0,
  },
  {
    name: 'during the COMMIT, which is not done',
    hold: atCommit(({ database }, segmentId) => database.cutCommitOf(segmentId, 'dropped')),
    isHeld: ({ database }) => database.cuts === 1,
    afterDeath: dropCalls,
    isCommitted: false,
    orphans: 1,
  },
  {
    name: 'after the commit, before its answer',
    hold: ({ commits }) => commits.holdAnswers(),
    isHeld: ({ commits }) => commits.heldAnswers === 1,
    isCommitted: true,
    orphans: 0,
  },
];

async function committedSegments(cluster: Cluster, commits: CommitLink): Promise<number> {
  const ids = commits.calls.flat().map(({ segmentId }) => `'${segmentId}'`);
  const rows = await cluster.query(`SELECT FROM segments WHERE segment_id IN (${ids.join()})`);
  return rows.length;
}

async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Every request before anything is answered; what does not come back is lost (P4). */
function produceAll(
  client: KafkaConnection,
  requests: readonly (readonly ProducedBatch[])[],
): Promise<(number | 'lost')[]> {
  return Promise.all(
    requests.map(async (batches) => {
      const outcomes = await client.produce(...batches).catch(() => [{ kind: 'lost' as const }]);
      const [first] = outcomes;
      if (first!.kind === 'lost') return 'lost';
      return first!.errorCode === 0 ? first!.baseOffset : -first!.errorCode;
    }),
  );
}

const title = `an ingest process that is killed${noS3Server === null ? '' : ` (${noS3Server})`}`;

describe.skipIf(noS3Server !== null)(title, () => {
  it.each(steps.map((step) => [step.name, step] as const))('%s', async (_, step) => {
    const world = await World.start();
    const { bucket, cluster } = world;
    const producerId = await cluster.newProducerId();
    const batch = (sequence: number): ProducedBatch => ({
      topic,
      partition: numbered,
      records: batchOf({ producerId, sequence }),
    });
    const survivor = (await cluster.addIngest()).connect();
    expect(await produceAll(survivor, [[batch(0)], [batch(1)]])).toEqual([0, 1]);

    const victim = await world.startVictim(step.flushIntervalMs ?? 0);
    const client = connectToIngest(victim);
    step.hold(world);
    const unnumbered = {
      topic,
      partition: plain,
      records: batchOf({ producerId: -1, sequence: 7 }),
    };
    const [first, ...others] = inFlight.map(batch);
    const sent = [produceAll(client, [[first!, unnumbered]])];
    await eventually(() => step.isHeld?.(world) ?? true);
    // They are taken in while the first one stands still.
    sent.push(
      produceAll(
        client,
        others.map((each) => [each]),
      ),
    );
    const taken = inFlight.length + 1;
    await eventually(async () => (await metricOf(victim, 'ingest_batches_total')) === taken);
    await victim.process.kill();
    expect((await Promise.all(sent)).flat()).toEqual(inFlight.map(() => 'lost'));
    await step.afterDeath?.(world);

    const reader = await cluster.addReader();
    const text = (sequence: number): string => `${producerId}/0/${sequence}`;
    const early = step.isCommitted ? [0, 1, 2] : [0, 1];
    // The row of a late COMMIT is there before its owner has heard so, and only then shows it.
    await eventually(async () => (await reader.texts(topic, numbered)).length >= early.length);
    expect(await reader.texts(topic, numbered)).toEqual(early.map(text));
    expect(await reader.texts(topic, plain)).toHaveLength(step.isCommitted ? 1 : 0);
    expect(await bucket.orphans(cluster)).toHaveLength(step.orphans);

    const retries = await produceAll(
      survivor,
      inFlight.map((sequence) => [batch(sequence)]),
    );
    expect(retries).toEqual(inFlight);
    await step.afterRetry?.(world);
    const all = [0, 1, ...inFlight].map(text);
    expect(await reader.texts(topic, numbered)).toEqual(all);
    expect((await reader.texts(topic, plain)).length).toBeLessThanOrEqual(1);
    // Once more, as from a client that has not heard of it either.
    const last = produceAll(
      survivor,
      inFlight.map((sequence) => [batch(sequence)]),
    );
    expect(await last).toEqual(inFlight);

    await collectOrphans(cluster, bucket);
    const rows = await cluster.query('SELECT segment_id::text AS id FROM segments ORDER BY 1');
    expect(await bucket.segmentIds()).toEqual(rows.map((row) => String(row['id'])));
    const late = await cluster.addReader();
    expect(await late.texts(topic, numbered)).toEqual(all);
  });
});
