import { randomUUID } from 'node:crypto';
import * as codec from '@kafscale/codec';
import type { Decoded, Encodable, Fields, Message } from '@kafscale/codec';
import type { KafkaReply, KafkaService } from '@kafscale/cluster';

export interface Answered {
  readonly kind: 'answered';
  readonly errorCode: number;
  readonly baseOffset: number;
}

/** `lost`: the connection was closed, so the outcome is unknown (P4). */
export type ProduceOutcome = Answered | { readonly kind: 'lost' };

export interface ProducedBatch {
  readonly topic: string;
  readonly partition?: number;
  readonly records: Buffer;
}

/** A batch whose records say who they are: `producer/epoch/sequence`. */
export function batchOf(batch: {
  producerId: number;
  sequence: number;
  epoch?: number;
  count?: number;
}): Buffer {
  const { producerId, sequence, epoch = 0, count = 1 } = batch;
  return codec.encodePlainBatch({
    producerId,
    producerEpoch: producerId < 0 ? -1 : epoch,
    baseSequence: producerId < 0 ? -1 : sequence,
    records: Array.from({ length: count }, (_, index) => ({
      timestampMs: Date.now(),
      value: Buffer.from(`${producerId}/${epoch}/${(sequence + index) % 2 ** 31}`),
    })),
  });
}

/** A client's connection, without the sockets: what the front hands to a service. */
export class KafkaConnection {
  readonly #service: KafkaService;
  readonly #connectionId = randomUUID();
  #requests = 0;

  constructor(service: KafkaService) {
    this.#service = service;
  }

  /** The reply as it is. */
  raw<Request extends Fields>(
    request: Message<Request>,
    value: Encodable<Message<Request>>,
    apiVersion: number,
  ): Promise<KafkaReply> {
    this.#requests += 1;
    return this.#service.handle(
      {
        apiKey: request.apiKey,
        apiVersion,
        clientId: 'commit-rules',
        clientHost: '127.0.0.1',
        principal: 'User:ANONYMOUS',
        listener: 'PLAINTEXT',
        connectionId: this.#connectionId,
        requestNumber: this.#requests - 1,
        body: Buffer.concat(request.encode(value, apiVersion)),
      },
      new AbortController().signal,
    );
  }

  async call<Request extends Fields, Response extends Fields>(
    api: codec.Api<Request, Response>,
    value: Encodable<Message<Request>>,
    apiVersion = api.maxVersion,
  ): Promise<Decoded<Message<Response>>> {
    const reply = await this.raw(api.request, value, apiVersion);
    if (reply.kind !== 'response') throw new Error(`no response: ${JSON.stringify(reply)}`);
    return api.response.decode(Buffer.concat(reply.chunks), apiVersion);
  }

  /** One Produce request (acks=all); an outcome per batch, in the order given. */
  async produce(...batches: readonly ProducedBatch[]): Promise<ProduceOutcome[]> {
    const { produce } = codec.apis;
    const reply = await this.raw(
      produce.request,
      {
        acks: -1,
        timeoutMs: 30_000,
        topicData: batches.map(({ partition = 0, records, topic }) => ({
          name: topic,
          partitionData: [{ index: partition, records }],
        })),
      },
      produce.maxVersion,
    );
    if (reply.kind !== 'response') return batches.map(() => ({ kind: 'lost' }));
    const response = produce.response.decode(Buffer.concat(reply.chunks), produce.maxVersion);
    return response.responses.map(({ partitionResponses: [answer] }) => ({
      kind: 'answered',
      errorCode: answer!.errorCode,
      baseOffset: Number(answer!.baseOffset),
    }));
  }

  /** Produces one batch; its offset, or the negated error code, or 'lost'. */
  async append(topic: string, records: Buffer, partition = 0): Promise<number | 'lost'> {
    const [outcome] = await this.produce({ topic, partition, records });
    return briefly(outcome!);
  }
}

export function briefly(outcome: ProduceOutcome): number | 'lost' {
  if (outcome.kind === 'lost') return 'lost';
  return outcome.errorCode === 0 ? outcome.baseOffset : -outcome.errorCode;
}

/** A record of a log as a consumer sees it. */
export interface LogRecord {
  readonly offset: number;
  readonly text: string;
}

/** Everything from the start of the log to its high watermark, by Fetch. */
export async function readLog(
  connection: KafkaConnection,
  topic: string,
  partition = 0,
): Promise<{ records: LogRecord[]; highWatermark: number }> {
  const records: LogRecord[] = [];
  for (let offset = 0; ;) {
    const answer = await fetchFrom(connection, { topic, partition, offset });
    const highWatermark = Number(answer.highWatermark);
    const bytes = answer.records ?? Buffer.alloc(0);
    const positions: number[] = [];
    codec.forEachBatch(bytes, (at) => void positions.push(at));
    for (const at of positions) {
      if (!codec.batchCrcMatches(bytes, at)) throw new Error('a fetched batch is corrupt');
      const batch = await codec.decodeRecords(bytes, at);
      for (const record of batch.records) {
        const recordOffset = batch.header.baseOffset + record.offsetDelta;
        records.push({ offset: recordOffset, text: String(record.value) });
        offset = recordOffset + 1;
      }
    }
    if (offset >= highWatermark) return { records, highWatermark };
    if (positions.length === 0) throw new Error(`nothing at ${offset} below ${highWatermark}`);
  }
}

/** The last one that names topics, and not their ids. */
const fetchVersion = 12;

async function fetchFrom(
  connection: KafkaConnection,
  from: { topic: string; partition: number; offset: number },
) {
  const request = {
    maxWaitMs: 0,
    minBytes: 0,
    topics: [
      {
        topic: from.topic,
        partitions: [
          {
            partition: from.partition,
            fetchOffset: BigInt(from.offset),
            partitionMaxBytes: 1_048_576,
          },
        ],
      },
    ],
  };
  const response = await connection.call(codec.apis.fetch, request, fetchVersion);
  const answer = response.responses[0]?.partitions[0];
  if (answer === undefined || answer.errorCode !== 0) {
    throw new Error(`fetch of ${JSON.stringify(from)}: error ${answer?.errorCode}`);
  }
  return answer;
}
