import { suggest } from './suggest.js';

/** A flag: one that takes a value, or a switch (`--name`, `--no-name`, `--name=true|false`). */
export interface FlagDefinition {
  readonly name: string;
  readonly kind: 'value' | 'switch';
}

export interface ParsedArguments {
  /** By flag name without dashes. */
  readonly flags: ReadonlyMap<string, string>;
  readonly positionals: readonly string[];
  /** One line each. */
  readonly problems: readonly string[];
}

/**
 * Parses `--name value`, `--name=value`, switches, and everything else as positionals; after `--`
 * only positionals. An unknown flag is a problem that names it; so is one given twice.
 */
export function parseArguments(
  argv: readonly string[],
  definitions: readonly FlagDefinition[],
): ParsedArguments {
  const kinds = new Map(definitions.map((definition) => [definition.name, definition.kind]));
  const flags = new Map<string, string>();
  const positionals: string[] = [];
  const problems: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? '';
    if (argument === '--') {
      positionals.push(...argv.slice(index + 1));
      break;
    }
    if (!argument.startsWith('-') || argument === '-') {
      positionals.push(argument);
      continue;
    }
    const given = readFlag(argument, kinds);
    if (given === undefined) {
      const name = argument.split('=')[0] ?? argument;
      const known = definitions.map((definition) => `--${definition.name}`);
      problems.push(`unknown option ${name}${suggest(name, known)}`);
      continue;
    }
    if (given.value === undefined) {
      index += 1;
      given.value = argv[index];
    }
    if (given.value === undefined || (given.separate && given.value.startsWith('--'))) {
      problems.push(`--${given.name} needs a value`);
    } else if (flags.has(given.name)) {
      problems.push(`--${given.name} is given twice`);
    } else {
      flags.set(given.name, given.value);
    }
  }
  return { flags, positionals, problems };
}

interface GivenFlag {
  readonly name: string;
  value: string | undefined;
  /** The value is the next argument. */
  readonly separate: boolean;
}

function readFlag(
  argument: string,
  kinds: ReadonlyMap<string, FlagDefinition['kind']>,
): GivenFlag | undefined {
  if (argument === '-h' && kinds.has('help')) {
    return { name: 'help', value: 'true', separate: false };
  }
  if (!argument.startsWith('--')) return undefined;
  const equals = argument.indexOf('=');
  const name = argument.slice(2, equals < 0 ? undefined : equals);
  const kind = kinds.get(name);
  if (equals >= 0) {
    if (kind === undefined) return undefined;
    return { name, value: argument.slice(equals + 1), separate: false };
  }
  if (kind === 'switch') return { name, value: 'true', separate: false };
  if (kind === 'value') return { name, value: undefined, separate: true };
  const positive = name.slice('no-'.length);
  if (name.startsWith('no-') && kinds.get(positive) === 'switch') {
    return { name: positive, value: 'false', separate: false };
  }
  return undefined;
}
