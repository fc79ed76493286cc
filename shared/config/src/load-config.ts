import { resolve } from 'node:path';
import { describeError, OperatingError } from '@kafscale/core';
import { parseArguments } from './arguments.js';
import type { FlagDefinition } from './arguments.js';
import type { Config, ConfigCommand, ConfigKey } from './config.js';
import { configKeys, flagName, isSwitch, optionDefinitions } from './definitions.js';
import { takesOption, variableName } from './definitions.js';
import { suggest } from './suggest.js';

export interface LoadConfigInput {
  /** Decides which flags exist. Variables and file entries of other commands are accepted. */
  readonly command: ConfigCommand;
  /** After the command. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads the whole file as text, or throws. */
  readonly readFile: (path: string) => string;
  /** What relative paths are relative to. */
  readonly cwd: string;
  /** Flags of the command itself, beside the configuration. */
  readonly extraFlags?: readonly FlagDefinition[];
}

/** Where a value came from. `name` is the flag, the variable, or the path of the file. */
export interface ConfigSource {
  readonly kind: 'flag' | 'environment' | 'file' | 'default';
  readonly name: string;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly sources: { readonly [Key in ConfigKey]: ConfigSource };
  readonly positionals: readonly string[];
  /** Values of the extra flags that were given, by name. */
  readonly extras: ReadonlyMap<string, string>;
}

interface Given {
  readonly value: unknown;
  readonly source: ConfigSource;
}

/**
 * The effective configuration: flag, else environment, else file, else default. Fails with
 * CONFIG_INVALID; the message has one line per problem, and each names the option and where the
 * bad value came from.
 */
export function loadConfig(input: LoadConfigInput): LoadedConfig {
  const problems: string[] = [];
  const usedKeys = configKeys.filter((key) => takesOption(input.command, key));
  const flagDefinitions: FlagDefinition[] = usedKeys.map((key) => ({
    name: flagName(key),
    kind: isSwitch(key) ? 'switch' : 'value',
  }));
  const parsed = parseArguments(input.argv, [...flagDefinitions, ...(input.extraFlags ?? [])]);
  problems.push(...parsed.problems);

  const given = new Map<ConfigKey, Given>();
  const fromEnvironment = readEnvironment(input.env, problems);
  const fromFlags = readFlags(usedKeys, parsed.flags);
  const configFile = fromFlags.get('configFile') ?? fromEnvironment.get('configFile');
  const layers = [readConfigFile(configFile, input, problems), fromEnvironment, fromFlags];
  for (const layer of layers) for (const [key, value] of layer) given.set(key, value);

  const loaded = resolveOptions(given, input.cwd, problems);
  if (problems.length > 0) throw new OperatingError('CONFIG_INVALID', problems.join('\n'));
  const extras = new Map<string, string>();
  for (const { name } of input.extraFlags ?? []) {
    const value = parsed.flags.get(name);
    if (value !== undefined) extras.set(name, value);
  }
  return { ...loaded, positionals: parsed.positionals, extras };
}

function readFlags(
  keys: readonly ConfigKey[],
  flags: ReadonlyMap<string, string>,
): Map<ConfigKey, Given> {
  const given = new Map<ConfigKey, Given>();
  for (const key of keys) {
    const value = flags.get(flagName(key));
    const source: ConfigSource = { kind: 'flag', name: `--${flagName(key)}` };
    if (value !== undefined) given.set(key, { value, source });
  }
  return given;
}

/** An unknown variable of ours is a mistake. Those for the tests are none of our business. */
function readEnvironment(env: LoadConfigInput['env'], problems: string[]): Map<ConfigKey, Given> {
  const given = new Map<ConfigKey, Given>();
  const keyByVariable = new Map(configKeys.map((key) => [variableName(key), key]));
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('KAFSCALE_') || name.startsWith('KAFSCALE_TEST_')) continue;
    const key = keyByVariable.get(name);
    if (key === undefined) {
      problems.push(`unknown variable ${name}${suggest(name, [...keyByVariable.keys()])}`);
    } else if (value !== undefined && value !== '') {
      given.set(key, { value, source: { kind: 'environment', name } });
    }
  }
  return given;
}

function readConfigFile(
  configFile: Given | undefined,
  input: LoadConfigInput,
  problems: string[],
): Map<ConfigKey, Given> {
  const given = new Map<ConfigKey, Given>();
  if (configFile === undefined) return given;
  const path = resolve(input.cwd, String(configFile.value));
  const source: ConfigSource = { kind: 'file', name: path };
  let content: unknown;
  try {
    content = JSON.parse(input.readFile(path));
  } catch (error) {
    problems.push(`${configFile.source.name}: can't read ${path}: ${describeError(error)}`);
    return given;
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    problems.push(`${path}: expected a JSON object of options`);
    return given;
  }
  const fileKeys = configKeys.filter((key) => key !== 'configFile');
  for (const [name, value] of Object.entries(content)) {
    const key = fileKeys.find((candidate) => candidate === name);
    if (key === undefined) {
      problems.push(`${path}: unknown option ${JSON.stringify(name)}${suggest(name, fileKeys)}`);
    } else {
      given.set(key, { value, source });
    }
  }
  return given;
}

function resolveOptions(
  given: ReadonlyMap<ConfigKey, Given>,
  cwd: string,
  problems: string[],
): Pick<LoadedConfig, 'config' | 'sources'> {
  const config: Record<string, unknown> = {};
  const sources: Record<string, ConfigSource> = {};
  for (const key of configKeys) {
    const definition = optionDefinitions[key];
    const found = given.get(key);
    sources[key] = found?.source ?? { kind: 'default', name: 'default' };
    const parsed = found && definition.schema.safeParse(found.value);
    if (parsed?.success === false) {
      problems.push(describeProblem(key, found, parsed.error.issues[0]?.message));
    }
    // A bad value gets the default, so that what depends on it can be checked as well.
    config[key] = parsed?.success === true ? parsed.data : definition.defaultValue(config as never);
    if (key === 'dataDir' || key === 'configFile') config[key] = absolute(cwd, config[key]);
  }
  return {
    config: config as unknown as Config,
    sources: sources as LoadedConfig['sources'],
  };
}

function describeProblem(
  key: ConfigKey,
  found: Given | undefined,
  expected = 'another value',
): string {
  const { kind, name } = found?.source ?? { kind: 'default', name: 'default' };
  const where = kind === 'file' ? `${key} in ${name}` : `${name} (${kind})`;
  // What was given for a secret is not repeated, not even when it is no good.
  const secret = optionDefinitions[key].secret !== undefined;
  const value = secret ? '' : `, not ${JSON.stringify(found?.value)?.slice(0, 200)}`;
  return `${where}: expected ${expected}${value}`;
}

function absolute(cwd: string, path: unknown): string | undefined {
  return typeof path === 'string' ? resolve(cwd, path) : undefined;
}
