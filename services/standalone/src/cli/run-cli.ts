import { readFileSync } from 'node:fs';
import { loadConfig, suggest } from '@kafscale/config';
import { isOperatingError } from '@kafscale/core';
import type { Command, ServiceRuns, TextSink } from './command.js';
import { allCommands } from './commands.js';
import { programName, renderCommandHelp, renderOverview } from './help.js';

export interface CliInput {
  /** Without the runtime and the script. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the commands that run services do. */
  readonly commands: ServiceRuns;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  /** What relative paths are relative to. Default: the process's. */
  readonly cwd?: string;
}

export const exitCodes = { success: 0, failure: 1, usage: 2 } as const;

/**
 * Runs one command line and resolves with the exit code: 1 for an operating error, 2 for a mistake
 * in the command line or the configuration, each with one clear line on standard error. Rejects
 * only for a bug.
 */
export async function runCli(input: CliInput): Promise<number> {
  const commands = allCommands(input.commands);
  const chosen = chooseCommand(commands, input.argv);
  if (chosen.kind === 'overview') {
    input.stdout.write(renderOverview(chosen.commands, chosen.group));
    return exitCodes.success;
  }
  if (chosen.kind === 'mistake') return reportMistake(input, chosen.message, chosen.help);
  const { command, rest } = chosen;
  if (asksForHelp(rest)) {
    input.stdout.write(renderCommandHelp(command));
    return exitCodes.success;
  }
  try {
    return await runCommand(command, rest, input);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    if (error.code === 'CONFIG_INVALID') return reportMistake(input, error.message, command.name);
    input.stderr.write(`${programName}: ${error.message} [${error.code}]\n`);
    return exitCodes.failure;
  }
}

async function runCommand(
  command: Command,
  argv: readonly string[],
  input: CliInput,
): Promise<number> {
  const loaded = loadConfig({
    command: command.configCommand ?? 'config',
    argv,
    // A command that reads no configuration works whatever the environment says.
    env: command.configCommand === undefined ? {} : input.env,
    readFile: (path) => readFileSync(path, 'utf8'),
    cwd: input.cwd ?? process.cwd(),
    extraFlags: command.flags,
  });
  const { min, max } = command.positionals;
  const { positionals } = loaded;
  if (positionals.length < min) {
    return reportMistake(input, `${command.name} needs ${command.usage}`, command.name);
  }
  if (positionals.length > max) {
    const message = `unexpected argument ${JSON.stringify(positionals[max])}`;
    return reportMistake(input, message, command.name);
  }
  const { env, stdout, stderr } = input;
  const context = { loaded, positionals, flags: loaded.extras, env, stdout, stderr };
  return (await command.run(context)) ?? exitCodes.success;
}

type Choice =
  | { readonly kind: 'command'; readonly command: Command; readonly rest: readonly string[] }
  | { readonly kind: 'overview'; readonly commands: readonly Command[]; readonly group: string }
  | { readonly kind: 'mistake'; readonly message: string; readonly help: string };

function chooseCommand(commands: readonly Command[], argv: readonly string[]): Choice {
  const [first, second] = argv;
  if (first === undefined) {
    return { kind: 'mistake', message: 'which command?', help: '' };
  }
  if (first === '--version') return chooseCommand(commands, ['version', ...argv.slice(1)]);
  if (first === 'help') return chooseCommand(commands, [...argv.slice(1), '--help']);
  if (first === '--help' || first === '-h') return { kind: 'overview', commands, group: '' };
  const single = commands.find((command) => command.name === first);
  if (single) return { kind: 'command', command: single, rest: argv.slice(1) };

  const group = commands.filter((command) => command.name.startsWith(`${first} `));
  if (group.length === 0) {
    const known = commands.map((command) => command.name.split(' ')[0] ?? '');
    return {
      kind: 'mistake',
      message: `unknown command ${first}${suggest(first, known)}`,
      help: '',
    };
  }
  if (second !== undefined && !second.startsWith('-')) {
    const name = `${first} ${second}`;
    const found = group.find((command) => command.name === name);
    if (found) return { kind: 'command', command: found, rest: argv.slice(2) };
    const known = group.map((command) => command.name);
    return {
      kind: 'mistake',
      message: `unknown command ${name}${suggest(name, known)}`,
      help: first,
    };
  }
  if (second === '--help' || second === '-h') {
    return { kind: 'overview', commands: group, group: first };
  }
  const names = group.map((command) => command.name.slice(first.length + 1));
  return { kind: 'mistake', message: `${first}: which of ${names.join(', ')}?`, help: first };
}

function asksForHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  const options = end < 0 ? argv : argv.slice(0, end);
  return options.includes('--help') || options.includes('-h');
}

function reportMistake(input: CliInput, message: string, command: string): number {
  const help = [programName, command, '--help'].filter((part) => part !== '').join(' ');
  for (const line of message.split('\n')) input.stderr.write(`${programName}: ${line} (${help})\n`);
  return exitCodes.usage;
}
