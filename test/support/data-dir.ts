import { mkdtempSync, readFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A temporary folder for one server, with the embedded PostgreSQL that may be running in it. */
export class DataDir {
  readonly path = mkdtempSync(join(tmpdir(), 'kafscale-system-'));

  /** The embedded server's process, if it lives. */
  async postmasterPid(): Promise<number | undefined> {
    const postgres = join(this.path, 'postgres');
    const versions = await readdir(postgres).catch(() => []);
    for (const version of versions) {
      const pid = readPid(join(postgres, version, 'data', 'postmaster.pid'));
      if (pid !== undefined && commandLine(pid).includes(this.path)) return pid;
    }
    return undefined;
  }

  /**
   * SIGKILL to the server, and on demand to all of its processes at the same moment; otherwise
   * those notice and end by themselves, a little later. Resolves when who was killed is gone.
   */
  async killPostgres(options: { readonly withChildren?: boolean } = {}): Promise<void> {
    const pid = await this.postmasterPid();
    if (pid === undefined) return;
    const children = options.withChildren === true ? childrenOf(pid) : [];
    const victims = [pid, ...children];
    for (const each of victims) kill(each);
    while (victims.some((each) => commandLine(each) !== '')) await delay(5);
  }

  async remove(): Promise<void> {
    await this.killPostgres({ withChildren: true });
    // Children of a server that was killed alone notice a little later.
    await rm(this.path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text
    .split(' ')
    .map(Number)
    .filter((child) => child > 1);
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, 'utf8').split('\n')[0]);
    return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Empty for a process that has ended, zombies included. */
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
