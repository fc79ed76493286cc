import { spawn } from 'node:child_process';
import { CheckFailedError } from './ledger.js';
import { endWithUs } from './started-children.js';
import { Tail } from './tail.js';

export interface RunOptions {
  readonly label: string;
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
}

export interface RunResult {
  readonly stdout: Buffer;
  readonly stderr: string;
}

const stdoutBytesMax = 256 * 1024 * 1024;

/** Runs a program to its end. Throws when it fails, hangs, or says more than it may. */
export async function runProgram(options: RunOptions): Promise<RunResult> {
  const { label, timeoutMs = 180_000 } = options;
  const child = spawn(options.command, options.arguments, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
  });
  endWithUs(child);
  const chunks: Buffer[] = [];
  const stderr = new Tail();
  let bytes = 0;
  let ended = 'was killed';
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > stdoutBytesMax) child.kill('SIGKILL');
    chunks.push(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // A program that ends early closes its input; its exit code says why.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const timer = setTimeout(() => {
    ended = `did not end in ${timeoutMs / 1000} s`;
    child.kill('SIGKILL');
  }, timeoutMs);
  const code = await new Promise<number | null>((resolve) => {
    child.on('error', (error) => {
      ended = error.message;
      resolve(null);
    });
    child.on('close', resolve);
  });
  clearTimeout(timer);
  if (code !== 0) {
    if (code !== null) ended = `exit ${code}`;
    const said = Buffer.concat(chunks).subarray(-4096).toString();
    throw new CheckFailedError(`${label} ${ended}\n${said}\n${stderr.toString()}`.trimEnd());
  }
  return { stdout: Buffer.concat(chunks), stderr: stderr.toString() };
}
