import { describe, expectTypeOf, it } from 'vitest';
import type {
  FetchResponseInput,
  GatherBytes,
  MetadataRequest,
  ProduceRequest,
} from '../../src/index.js';
import { apis, fetchResponse, metadataRequest } from '../../src/index.js';

/** The type checker is the test here; at run time they only must not throw. */
describe('inferred types', () => {
  it('are what the declarations say', () => {
    type Partition = ProduceRequest['topicData'][number]['partitionData'][number];
    expectTypeOf<Partition>().toEqualTypeOf<{
      readonly index: number;
      readonly records: Buffer | null;
    }>();
    expectTypeOf<ProduceRequest['transactionalId']>().toEqualTypeOf<string | null>();
    type Topics = NonNullable<MetadataRequest['topics']>;
    expectTypeOf<Topics[number]>().toEqualTypeOf<{
      readonly topicId: string;
      readonly name: string | null;
    }>();
  });

  it('let the encoder take less, and bytes in pieces', () => {
    type Response = NonNullable<FetchResponseInput['responses']>[number];
    type Partition = NonNullable<Response['partitions']>[number];
    expectTypeOf<NonNullable<Partition['records']>>().toEqualTypeOf<GatherBytes>();
    expectTypeOf<Partition['highWatermark']>().toEqualTypeOf<bigint | undefined>();
    fetchResponse.encode({ responses: [{ partitions: [{ records: [Buffer.of(1)] }] }] }, 4);
    // @ts-expect-error a field that does not exist
    void (() => metadataRequest.encode({ topic: [] }, 4));
    // @ts-expect-error an int64 is a bigint
    void (() => fetchResponse.encode({ responses: [{ partitions: [{ highWatermark: 1 }] }] }, 4));
  });

  it('reach through the table of APIs', () => {
    const { topics } = apis.metadata.request.decode(Buffer.from('ffffffff', 'hex'), 1);
    expectTypeOf(topics).toEqualTypeOf<MetadataRequest['topics']>();
  });
});
