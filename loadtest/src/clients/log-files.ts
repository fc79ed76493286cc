import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckFailedError } from './ledger.js';
import { randomBytes, randomFrom } from './records.js';
import type { Report } from './report.js';
import { runProgram } from './run-program.js';
import type { CheckedServer } from './server.js';

export interface LogFilesOptions {
  readonly server: CheckedServer;
  readonly report: Report;
  readonly runId: string;
  /** Of `*.log` files; undefined: only the generated ones. */
  readonly folder: string | undefined;
}

interface LogFile {
  readonly name: string;
  readonly bytes: Buffer;
}

/** The 14 systems of the Loghub collection, for the list of what is left out. */
const knownLogs = [
  ['Android', 'Apache', 'BGL', 'HDFS', 'HPC', 'Hadoop', 'Linux', 'Mac', 'OpenSSH', 'OpenStack'],
  ['Spark', 'Thunderbird', 'Windows', 'Zookeeper'],
].flat();

/**
 * Log files, one topic each: every line a record, by kcat, then read back from the start and compared
 * with the file byte for byte; once at once, and all of them again after a restart of the server.
 */
export async function checkLogFiles(options: LogFilesOptions): Promise<void> {
  const { server, report, runId } = options;
  const files = [...generatedLogs(), ...(await logFiles(options))];
  const topicOf = (file: LogFile): string => `logs-${file.name}-${runId}`;
  for (const file of files) {
    const lines = linesOf(file.bytes).length;
    await report.step(`${file.name}: ${lines} lines, ${file.bytes.length} bytes`, async () => {
      await produceLines(server.bootstrap, topicOf(file), file.bytes);
      await compareFile(server.bootstrap, topicOf(file), file);
    });
  }
  const { control } = server;
  if (control === undefined) return;
  await report.step('stop the server, start it again', () => control.restartCleanly());
  await report.step('all of them again', async () => {
    for (const file of files) await compareFile(server.bootstrap, topicOf(file), file);
  });
}

async function logFiles({ folder, report }: LogFilesOptions): Promise<LogFile[]> {
  if (folder === undefined || folder === '') {
    report.leftOut(`KAFSCALE_TEST_LOGS_DIR is not set: ${knownLogs.join(', ')}`);
    return [];
  }
  const names = (await readdir(folder)).filter((name) => name.endsWith('.log')).toSorted();
  if (names.length === 0) throw new CheckFailedError(`${folder} has no .log file`);
  const missing = knownLogs.filter((name) => !names.includes(`${name}.log`));
  if (missing.length > 0) report.leftOut(`not in KAFSCALE_TEST_LOGS_DIR: ${missing.join(', ')}`);
  return Promise.all(
    names.map(async (name) => ({
      name: name.slice(0, -'.log'.length),
      bytes: await readFile(join(folder, name)),
    })),
  );
}

/**
 * Every line a record to partition 0, the order is the file's. kcat drops an empty line that has no
 * key, so that the lines of a file with such ones go with an empty key.
 */
async function produceLines(bootstrap: string, topic: string, bytes: Buffer): Promise<void> {
  const withKeys = linesOf(bytes).some((line) => line.length === 0);
  await runProgram({
    label: `kcat -P ${topic}`,
    command: 'kcat',
    arguments: [
      '-P',
      '-b',
      bootstrap,
      '-t',
      topic,
      '-p',
      '0',
      ...(withKeys ? ['-K', keyDelimiter.toString()] : []),
    ],
    input: withKeys
      ? Buffer.concat(linesOf(bytes).flatMap((line) => [keyDelimiter, line, newLine]))
      : bytes,
  });
}

/**
 * Reads offset and length with every value, so that a line that was split or joined differs even where
 * the bytes in a row are the file's.
 */
async function compareFile(bootstrap: string, topic: string, file: LogFile): Promise<void> {
  const { stdout } = await runProgram({
    label: `kcat -C ${topic}`,
    command: 'kcat',
    arguments: [
      ['-C', '-b', bootstrap, '-t', topic, '-p', '0', '-o', 'beginning', '-e', '-q'],
      ['-f', String.raw`%o %S %s\n`],
    ].flat(),
  });
  const expected = Buffer.concat(
    linesOf(file.bytes).map((line, offset) =>
      Buffer.concat([Buffer.from(`${offset} ${line.length} `), line, Buffer.from('\n')]),
    ),
  );
  if (stdout.equals(expected)) return;
  let index = 0;
  while (index < expected.length && stdout[index] === expected[index]) index += 1;
  const around = (bytes: Buffer): string =>
    JSON.stringify(bytes.toString('latin1', Math.max(0, index - 60), index + 60));
  throw new CheckFailedError(
    `${file.name}: ${expected.length} bytes came back as ${stdout.length}, different from byte ` +
      `${index}:\n  sent ${around(expected)}\n  got  ${around(stdout)}`,
  );
}

/** Lines without their `\n`; what follows the last one is a line when it is not empty. */
function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  while (start < bytes.length) {
    const end = bytes.indexOf(0x0a, start);
    lines.push(bytes.subarray(start, end === -1 ? bytes.length : end));
    start = end === -1 ? bytes.length : end + 1;
  }
  return lines;
}

/** What real logs have now and then: other line ends, nothing, too much, and not text. */
function generatedLogs(): LogFile[] {
  const random = randomFrom(14);
  const numbered = (count: number, end: string): string =>
    Array.from(
      { length: count },
      (_, index) => `081109 ${index} INFO dfs: block_${index}${end}`,
    ).join('');
  const notText = Array.from({ length: 500 }, () =>
    Buffer.concat([withoutNewLines(randomBytes(1 + Math.floor(random() * 300), random)), newLine]),
  );
  const long = [700_000, 1, 90_000, 250_000].map((length) =>
    Buffer.concat([Buffer.alloc(length, 'long line '), newLine]),
  );
  return [
    { name: 'generated-crlf', bytes: Buffer.from(numbered(2_000, '\r\n')) },
    { name: 'generated-empty-lines', bytes: Buffer.from(numbered(300, '\n\n\n').repeat(2)) },
    { name: 'generated-no-last-line-end', bytes: Buffer.from(numbered(300, '\n').slice(0, -1)) },
    { name: 'generated-long-lines', bytes: Buffer.concat(long) },
    { name: 'generated-not-text', bytes: Buffer.concat(notText) },
  ];
}

const newLine = Buffer.from('\n');
const keyDelimiter = Buffer.from('<key 5b1fd3>');

function withoutNewLines(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte) => (byte === 0x0a ? 0x20 : byte)));
}
