import type { RequestContext } from '../../handlers/kafka-api.js';

/** Of what a request is about, copied, because the bytes of the request are its caller's. */
export function copyBytes(view: Buffer): Buffer {
  return Buffer.from(view);
}

/** Kafka's rule for all but offsets: a group id is not empty. U+0000 has no place in PostgreSQL. */
export function isValidGroupId(groupId: string): boolean {
  return groupId !== '' && !groupId.includes('\u0000');
}

/** DescribeGroups shows it; Java prints the slash of an address without a host name. */
export function kafkaClientHost({ clientHost }: RequestContext): string {
  return `/${clientHost}`;
}
