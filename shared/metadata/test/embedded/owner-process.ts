import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface OwnerReport {
  readonly pid?: number;
  readonly takenOver?: boolean;
  readonly count?: number;
  readonly code?: string;
  readonly message?: string;
  readonly lost?: string;
}

/** A Node process that starts the embedded server in a folder and adds one row to a table. */
export class OwnerProcess {
  readonly child: ChildProcess;
  readonly report: OwnerReport;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, report: OwnerReport, lines: AsyncIterator<string>) {
    this.child = child;
    this.report = report;
    this.#lines = lines;
  }

  static async start(dataDir: string, env: NodeJS.ProcessEnv = process.env): Promise<OwnerProcess> {
    const script = fileURLToPath(new URL('hold-database.mjs', import.meta.url));
    const child = spawn(process.execPath, [script, dataDir], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const report = await OwnerProcess.#read(lines);
    return new OwnerProcess(child, report, lines);
  }

  static async #read(lines: AsyncIterator<string>): Promise<OwnerReport> {
    const line = await lines.next();
    if (line.done === true) throw new Error('the owner process said nothing');
    return JSON.parse(line.value) as OwnerReport;
  }

  async nextReport(): Promise<OwnerReport> {
    return await OwnerProcess.#read(this.#lines);
  }

  async stop(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.stdin!.write('stop\n');
    await ended;
  }

  async kill(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}
