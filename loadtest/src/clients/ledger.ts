import type { ConsumedRecord, RecordHeader, TestRecord } from './records.js';

/** A check that did not hold. The message says what was expected and what came. */
export class CheckFailedError extends Error {
  override readonly name = 'CheckFailedError';
}

/**
 * What was acknowledged, by partition and in send order. A record's place in its partition is its
 * offset, since the checks are the topic's only writers and offsets have no holes.
 */
export class Ledger {
  readonly #partitions = new Map<string, TestRecord[]>();
  readonly #delivered = new Map<string, number>();

  add(records: readonly TestRecord[]): void {
    for (const record of records) {
      const name = partitionName(record);
      const partition = this.#partitions.get(name) ?? [];
      partition.push(record);
      this.#partitions.set(name, partition);
    }
  }

  /** Records that no consumer of the group has been given yet. */
  get pending(): number {
    let count = 0;
    for (const [name, records] of this.#partitions) {
      count += records.length - (this.#delivered.get(name) ?? 0);
    }
    return count;
  }

  /** Whether every pending record is among these, wherever it came to and however often. */
  isCoveredBy(records: readonly ConsumedRecord[]): boolean {
    const found = new Set<string>();
    for (const record of records) {
      const name = partitionName(record);
      if (record.offset >= (this.#delivered.get(name) ?? 0)) found.add(`${name} ${record.offset}`);
    }
    return found.size >= this.pending;
  }

  /**
   * Takes what consumers of the one group were given, in order per partition. Throws at the first
   * record that is lost, repeated (unless `repeats` allows it), out of order, or differs in a byte.
   */
  deliver(records: readonly ConsumedRecord[], { repeats = false } = {}): void {
    for (const record of records) {
      const name = partitionName(record);
      const offset = this.#delivered.get(name) ?? 0;
      if (record.offset < offset) {
        if (!repeats) fail(name, `offset ${record.offset} was delivered twice`);
        const earlier = this.#partitions.get(name)?.[record.offset] ?? record;
        compare(`${name} offset ${record.offset}, again`, earlier, record);
        continue;
      }
      if (record.offset > offset) {
        fail(name, `offset ${record.offset} came where ${offset} was next: lost or out of order`);
      }
      const expected = this.#partitions.get(name)?.[offset];
      if (expected === undefined) fail(name, `offset ${offset} was never produced`);
      compare(`${name} offset ${offset}`, expected, record);
      this.#delivered.set(name, offset + 1);
    }
  }

  /** Throws unless everything was delivered. */
  settle(): void {
    for (const [name, records] of this.#partitions) {
      const delivered = this.#delivered.get(name) ?? 0;
      if (delivered < records.length) {
        fail(name, `offset ${delivered} and what follows, up to ${records.length - 1}, is missing`);
      }
    }
  }
}

export function partitionName(record: { topic: string; partition: number }): string {
  return `${record.topic}[${record.partition}]`;
}

function compare(where: string, expected: TestRecord, actual: TestRecord): void {
  compareBytes(`${where}: key`, expected.key, actual.key);
  compareBytes(`${where}: value`, expected.value, actual.value);
  const names = (headers: readonly RecordHeader[]): string =>
    JSON.stringify(headers.map(({ name }) => name));
  if (names(expected.headers) !== names(actual.headers)) {
    fail(where, `headers ${names(expected.headers)} came back as ${names(actual.headers)}`);
  }
  for (const [index, header] of expected.headers.entries()) {
    compareBytes(
      `${where}: header ${header.name}`,
      header.value,
      actual.headers[index]?.value ?? null,
    );
  }
}

function compareBytes(where: string, expected: Buffer | null, actual: Buffer | null): void {
  if (expected === null || actual === null) {
    if (expected !== actual) fail(where, `${preview(expected)} came back as ${preview(actual)}`);
    return;
  }
  if (expected.equals(actual)) return;
  let index = 0;
  while (expected[index] === actual[index]) index += 1;
  fail(
    where,
    `${expected.length} bytes came back as ${actual.length}, different from byte ${index}: ` +
      `${preview(expected.subarray(index))} and ${preview(actual.subarray(index))}`,
  );
}

function preview(bytes: Buffer | null): string {
  if (bytes === null) return 'null';
  const hex = bytes.subarray(0, 24).toString('hex');
  return `<${hex}${bytes.length > 24 ? '…' : ''}>`;
}

function fail(where: string, message: string): never {
  throw new CheckFailedError(`${where}: ${message}`);
}
