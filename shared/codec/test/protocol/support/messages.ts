import type { AnyMessage, Api } from '../../../src/index.js';
import { apis, message, schema } from '../../../src/index.js';

const { array, bool, bytes, float64, int32, int64, string, struct, uint16, uuid } = schema;

/** Uses what no message of the APIs we declare does: nullable structs, float64, uint16. */
export const internalMessage = message({
  name: 'Internal',
  versions: '0-2',
  flexible: '1+',
  fields: {
    cursor: struct({ topic: string(), partition: int32() }, { nullable: '0+', default: null }),
    always: struct({ ratio: float64(), port: uint16() }),
    late: struct({ ids: array(uuid()) }, { versions: '1+', nullable: '2+' }),
    tagged: struct({ flag: bool() }, { versions: '2+', nullable: '2+', default: null, tag: 5 }),
    pieces: bytes({ versions: '2+', nullable: '2+', tag: 0 }),
    heads: array(struct({ offset: int64({ default: -1n }) }), { versions: '1+', tag: 300 }),
  },
});

export const allMessages: readonly AnyMessage[] = [
  ...(Object.values(apis) as Api[]).flatMap(({ request, response }) => [request, response]),
  internalMessage,
];

export const everyVersion: readonly { declared: AnyMessage; version: number; title: string }[] =
  allMessages.flatMap((declared) => {
    const count = declared.maxVersion - declared.minVersion + 1;
    return Array.from({ length: count }, (_, index) => {
      const version = declared.minVersion + index;
      return { declared, version, title: `${declared.name} v${version}` };
    });
  });

export function encoded(declared: AnyMessage, value: unknown, version: number): Buffer {
  return Buffer.concat(declared.encode(value as Record<string, never>, version));
}
