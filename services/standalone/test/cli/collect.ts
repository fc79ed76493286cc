import { runCli } from '../../src/cli/index.js';
import type { CommandContext, ServiceRuns } from '../../src/cli/index.js';

export interface CliResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line as the binary does, and collects what it writes. */
export async function kafscale(
  argv: readonly string[],
  options: {
    readonly env?: Record<string, string>;
    readonly cwd?: string;
    readonly service?: (context: CommandContext) => Promise<number | void>;
  } = {},
): Promise<CliResult> {
  const out: string[] = [];
  const err: string[] = [];
  const run = options.service ?? (() => Promise.resolve());
  const commands: ServiceRuns = {
    standalone: run,
    front: run,
    ingest: run,
    fetch: run,
    coordinator: run,
  };
  const exitCode = await runCli({
    argv,
    env: options.env ?? {},
    commands,
    cwd: options.cwd ?? '/',
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
  });
  return { exitCode, stdout: out.join(''), stderr: err.join('') };
}
