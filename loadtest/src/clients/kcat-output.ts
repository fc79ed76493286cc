import { invariant } from '@kafscale/core';
import type { ConsumedRecord, RecordHeader } from './records.js';

/**
 * Lengths before bytes, so that keys and values may hold anything. Headers have no length in kcat's
 * formats; none of the checks' header values has a comma or a new line.
 */
export const kcatFormat = String.raw`%t %p %o %K %S\n%k%s%h\n`;

const newLine = 0x0a;

/** Parses what kcat prints with `kcatFormat`, in whatever pieces it comes. */
export class KcatOutput {
  readonly #onRecord: (record: ConsumedRecord) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #needed = 1;

  constructor(onRecord: (record: ConsumedRecord) => void) {
    this.#onRecord = onRecord;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#needed) return;
    let rest: Buffer = Buffer.concat(this.#chunks);
    for (;;) {
      const next = this.#parse(rest);
      if (next === undefined) break;
      rest = rest.subarray(next);
    }
    this.#chunks = [rest];
    this.#bytes = rest.length;
  }

  /** The length of the record at the start of `bytes`; undefined when it is not whole yet. */
  #parse(bytes: Buffer): number | undefined {
    this.#needed = bytes.length + 1;
    const lineEnd = bytes.indexOf(newLine);
    if (lineEnd === -1) return undefined;
    const line = bytes.toString('utf8', 0, lineEnd);
    const [topic, partition, offset, keyBytes, valueBytes] = line.split(' ');
    invariant(topic !== undefined && valueBytes !== undefined, `kcat printed a record: ${line}`);
    const keyStart = lineEnd + 1;
    const valueStart = keyStart + Math.max(0, Number(keyBytes));
    const headersStart = valueStart + Math.max(0, Number(valueBytes));
    this.#needed = headersStart + 1;
    const headersEnd = bytes.indexOf(newLine, headersStart);
    if (headersStart >= bytes.length || headersEnd === -1) return undefined;
    this.#onRecord({
      topic,
      partition: Number(partition),
      offset: Number(offset),
      key: keyBytes === '-1' ? null : Buffer.from(bytes.subarray(keyStart, valueStart)),
      value: valueBytes === '-1' ? null : Buffer.from(bytes.subarray(valueStart, headersStart)),
      headers: parseHeaders(bytes.toString('utf8', headersStart, headersEnd)),
    });
    return headersEnd + 1;
  }
}

function parseHeaders(text: string): RecordHeader[] {
  if (text === '') return [];
  return text.split(',').map((pair) => {
    const split = pair.indexOf('=');
    return { name: pair.slice(0, split), value: Buffer.from(pair.slice(split + 1)) };
  });
}
