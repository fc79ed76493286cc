import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { OperatingError, sleep } from '@kafscale/core';
import { takePort } from './ports.js';

/** A real S3 server (versitygw on local files) for one test suite. */
export interface S3Server {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  readonly pid: number;
  /** Where the bucket's objects lie, for tests that damage them. */
  readonly bucketDirectory: string;
  /** Ends the process; its data is removed. */
  stop(): Promise<void>;
}

const startMsMax = 60_000;
const stopMsMax = 10_000;

/** The S3 server's binary, or undefined: then a suite that needs it says so and is skipped. */
export function findS3Server(): string | undefined {
  const named = process.env['KAFSCALE_TEST_VERSITYGW'];
  if (named !== undefined && named !== '') return existsSync(named) ? named : undefined;
  const goPath = process.env['GOPATH'] ?? join(homedir(), 'go');
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    process.env['GOBIN'] ?? '',
    join(goPath, 'bin'),
  ];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, 'versitygw'))
    .find((path) => existsSync(path));
}

export interface S3ServerOptions {
  /** Where its data folder is made; the system's folder for temporary files if not named. */
  readonly parentDirectory?: string;
}

/** Starts a server on a free port of loopback, with one bucket. S3_SERVER_MISSING, S3_SERVER_FAILED. */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const binary = findS3Server();
  if (binary === undefined) {
    throw new OperatingError(
      'S3_SERVER_MISSING',
      'no versitygw: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0, or set KAFSCALE_TEST_VERSITYGW',
    );
  }
  const directory = await mkdtemp(join(options.parentDirectory ?? tmpdir(), 'kafscale-s3-'));
  const bucket = 'kafscale-test';
  const bucketDirectory = join(directory, bucket);
  await mkdir(bucketDirectory);
  const port = await takePort();
  const accessKeyId = 'test';
  const secretAccessKey = randomBytes(16).toString('hex');
  const login = ['--access', accessKeyId, '--secret', secretAccessKey, '--region', 'us-east-1'];
  const listen = ['--port', `127.0.0.1:${port}`, '--keep-alive', '--quiet'];
  const child = spawn(binary, [...login, ...listen, 'posix', directory], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const stop = async (): Promise<void> => {
    await stopChild(child);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await waitUntilListening(child, port);
  } catch (error) {
    await stop();
    throw error;
  }
  const server = { bucket, bucketDirectory, accessKeyId, secretAccessKey, region: 'us-east-1' };
  return { ...server, endpoint: `http://127.0.0.1:${port}`, pid: child.pid ?? -1, stop };
}

async function waitUntilListening(child: ChildProcess, port: number): Promise<void> {
  let output = '';
  let failure: Error | undefined;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-2000);
  });
  child.once('error', (error) => {
    failure = error;
  });
  const pollMs = 50;
  for (let waitedMs = 0; waitedMs < startMsMax; waitedMs += pollMs) {
    if (failure !== undefined || child.exitCode !== null) break;
    // oxlint-disable-next-line no-await-in-loop
    if (await canConnect(port)) return;
    // oxlint-disable-next-line no-await-in-loop
    await sleep(pollMs);
  }
  throw new OperatingError('S3_SERVER_FAILED', `the S3 server did not start: ${output}`, {
    cause: failure,
  });
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (isConnected: boolean): void => {
      socket.destroy();
      resolve(isConnected);
    };
    socket.once('connect', () => {
      end(true);
    });
    socket.once('error', () => {
      end(false);
    });
  });
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
  });
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
  await ended;
  clearTimeout(timer);
}
