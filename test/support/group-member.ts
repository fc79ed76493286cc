import { apis } from '@kafscale/codec';
import { expectNoError } from './kafka-calls.js';
import type { KafkaConnection } from './kafka-connection.js';

const errorMemberIdRequired = 79;

/** The only member, and so the leader, of a classic group; every call is one request. */
export class GroupMember {
  readonly groupId: string;
  readonly sessionTimeoutMs: number;
  memberId = '';
  generationId = -1;

  constructor(groupId: string, sessionTimeoutMs: number) {
    this.groupId = groupId;
    this.sessionTimeoutMs = sessionTimeoutMs;
  }

  async join(connection: KafkaConnection): Promise<void> {
    let response = await this.#joinOnce(connection);
    if (response.errorCode === errorMemberIdRequired) {
      this.memberId = response.memberId;
      response = await this.#joinOnce(connection);
    }
    expectNoError(response.errorCode, 'JoinGroup');
    this.memberId = response.memberId;
    this.generationId = response.generationId;
    const sync = await connection.call(apis.syncGroup, {
      groupId: this.groupId,
      generationId: this.generationId,
      memberId: this.memberId,
      protocolType: 'consumer',
      protocolName: 'range',
      assignments: [{ memberId: this.memberId, assignment: Buffer.from('all of it') }],
    });
    expectNoError(sync.errorCode, 'SyncGroup');
  }

  /** Kafka's error code. */
  async heartbeat(connection: KafkaConnection): Promise<number> {
    const { generationId, groupId, memberId } = this;
    const request = { groupId, generationId, memberId };
    return (await connection.call(apis.heartbeat, request)).errorCode;
  }

  async commit(
    connection: KafkaConnection,
    at: { topic: string; partition: number; offset: number },
  ): Promise<number> {
    const response = await connection.call(apis.offsetCommit, {
      groupId: this.groupId,
      generationIdOrMemberEpoch: this.generationId,
      memberId: this.memberId,
      topics: [
        {
          name: at.topic,
          partitions: [{ partitionIndex: at.partition, committedOffset: BigInt(at.offset) }],
        },
      ],
    });
    return response.topics[0]?.partitions[0]?.errorCode ?? -1;
  }

  async committed(
    connection: KafkaConnection,
    at: { topic: string; partition: number },
  ): Promise<number> {
    const response = await connection.call(apis.offsetFetch, {
      groups: [
        {
          groupId: this.groupId,
          topics: [{ name: at.topic, partitionIndexes: [at.partition] }],
        },
      ],
      requireStable: true,
    });
    const group = response.groups[0];
    expectNoError(group?.errorCode ?? -1, 'OffsetFetch');
    const partition = group?.topics[0]?.partitions[0];
    expectNoError(partition?.errorCode ?? -1, 'OffsetFetch');
    return Number(partition?.committedOffset);
  }

  #joinOnce(connection: KafkaConnection) {
    return connection.call(apis.joinGroup, {
      groupId: this.groupId,
      sessionTimeoutMs: this.sessionTimeoutMs,
      rebalanceTimeoutMs: 10_000,
      memberId: this.memberId,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.from('subscription') }],
    });
  }
}
