import { describeOptions } from '@kafscale/config';
import type { Command } from './command.js';

export const programName = 'kafscale';

/** For `kafscale --help`, and for a group such as `kafscale topic --help`. */
export function renderOverview(commands: readonly Command[], group: string): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  const prefix = group === '' ? programName : `${programName} ${group}`;
  return [
    `Usage: ${prefix} COMMAND [OPTIONS]`,
    '',
    ...lines,
    '',
    `${programName} COMMAND --help lists the options of a command.`,
    '',
  ].join('\n');
}

/** What a command does, takes, and reads from the configuration. */
export function renderCommandHelp(command: Command): string {
  const usage = [programName, command.name, command.usage, '[OPTIONS]'];
  const lines = [
    `Usage: ${usage.filter((part) => part !== '').join(' ')}`,
    '',
    command.summary,
    '',
  ];
  const own = command.flags.map((flag) => ({
    usage: `--${flag.name}${flag.placeholder === undefined ? '' : ` ${flag.placeholder}`}`,
    text: flag.description,
  }));
  if (own.length > 0) lines.push('Options:', ...renderOptions(own), '');
  if (command.configCommand === undefined) return lines.join('\n');
  const options = describeOptions(command.configCommand).map((option) => ({
    usage: option.usage,
    text:
      `${option.description} [${option.variable}]` +
      (option.defaultText === undefined ? '' : ` (default: ${option.defaultText})`),
  }));
  lines.push('Configuration, by flag or environment:', ...renderOptions(options), '');
  return lines.join('\n');
}

function renderOptions(
  options: readonly { readonly usage: string; readonly text: string }[],
): string[] {
  return options.flatMap(({ usage, text }) => [`  ${usage}`, `      ${text}`]);
}
