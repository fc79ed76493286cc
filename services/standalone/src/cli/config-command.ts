import { describeConfig } from '@kafscale/config';
import type { ConfigRow } from '@kafscale/config';
import type { Command } from './command.js';
import { formatTable } from './table.js';

export const configCommand: Command = {
  name: 'config',
  summary: 'print the effective configuration and where each value came from',
  usage: '',
  positionals: { min: 0, max: 0 },
  configCommand: 'config',
  flags: [{ name: 'json', kind: 'switch', description: 'print JSON' }],
  run: (context) => {
    const rows = describeConfig(context.loaded);
    const json = context.flags.get('json') === 'true';
    context.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : formatRows(rows));
    return Promise.resolve();
  },
};

function formatRows(rows: readonly ConfigRow[]): string {
  const cells = rows.map(({ key, value, source }) => [
    key,
    value === null ? '-' : String(value),
    source.kind === 'default' ? 'default' : `${source.kind} ${source.name}`,
  ]);
  return formatTable(['OPTION', 'VALUE', 'FROM'], cells);
}
