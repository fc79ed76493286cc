import { readFileSync } from 'node:fs';
import type { Command } from './command.js';

export const versionCommand: Command = {
  name: 'version',
  summary: 'print the version',
  usage: '',
  positionals: { min: 0, max: 0 },
  configCommand: undefined,
  flags: [],
  run: (context) => {
    context.stdout.write(`kafscale ${softwareVersion()} (Node.js ${process.versions.node})\n`);
    return Promise.resolve();
  },
};

/** Of this package, such as `0.1.0`. */
export function softwareVersion(): string {
  const path = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string }).version;
}
