import type { ConfigCommand, ConfigKey } from './config.js';
import { configKeys, flagName, isSwitch, optionDefinitions } from './definitions.js';
import { takesOption, variableName } from './definitions.js';
import type { ConfigSource, LoadedConfig } from './load-config.js';

export interface ConfigRow {
  readonly key: ConfigKey;
  /** Secrets are hidden. `null`: not set. */
  readonly value: string | number | boolean | null;
  readonly source: ConfigSource;
}

/** Every option with its effective value and where that came from, for people and programs. */
export function describeConfig(loaded: LoadedConfig): readonly ConfigRow[] {
  return configKeys.map((key) => ({
    key,
    value: hideSecret(key, loaded.config[key]) ?? null,
    source: loaded.sources[key],
  }));
}

export interface OptionHelp {
  /** `--kafka-port PORT`, or `--[no-]auto-create-topics`. */
  readonly usage: string;
  readonly variable: string;
  readonly description: string;
  readonly defaultText: string | undefined;
}

/** The options that a command uses, for its help text. */
export function describeOptions(command: ConfigCommand): readonly OptionHelp[] {
  return configKeys
    .filter((key) => takesOption(command, key))
    .map((key) => ({
      usage: isSwitch(key)
        ? `--[no-]${flagName(key)}`
        : `--${flagName(key)} ${optionDefinitions[key].placeholder}`,
      variable: variableName(key),
      description: optionDefinitions[key].description,
      defaultText: defaultText(key),
    }));
}

function defaultText(key: ConfigKey): string | undefined {
  const definition = optionDefinitions[key];
  if (definition.defaultText !== undefined) return definition.defaultText;
  // Without a text of its own a default does not depend on other options.
  const value = definition.defaultValue({} as never);
  return value === undefined ? undefined : String(value);
}

const hidden = '********';

function hideSecret(
  key: ConfigKey,
  value: string | number | boolean | undefined,
): string | number | boolean | undefined {
  const { secret } = optionDefinitions[key];
  if (secret === undefined || typeof value !== 'string') return value;
  return secret === 'whole' ? hidden : hidePassword(value);
}

function hidePassword(text: string): string {
  const url = new URL(text);
  if (url.password !== '') url.password = hidden;
  for (const name of url.searchParams.keys()) {
    if (/password|secret/i.test(name)) url.searchParams.set(name, hidden);
  }
  return url.href;
}
