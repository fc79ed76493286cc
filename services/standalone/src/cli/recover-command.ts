import { recover } from '@kafscale/coordinator';
import { systemClock } from '@kafscale/core';
import type { Command, CommandContext } from './command.js';
import { formatRecoverReport } from './recover-report.js';
import { withStores } from './with-stores.js';

export const recoverCommand: Command = {
  name: 'recover',
  summary: 'rebuild an empty metadata store from the bucket, as a new incarnation',
  usage: '',
  positionals: { min: 0, max: 0 },
  configCommand: 'recover',
  flags: [
    {
      name: 'dry-run',
      kind: 'switch',
      description: 'do everything, say what came of it, and take it back',
    },
    {
      name: 'cluster-id',
      kind: 'value',
      placeholder: 'ID',
      description: 'which cluster, when the bucket has the index of several',
    },
    { name: 'json', kind: 'switch', description: 'print JSON' },
  ],
  run: runRecover,
};

/** Exit code 0: it is done (or could be), also when the report names losses. */
async function runRecover(context: CommandContext): Promise<void> {
  const clusterId = context.flags.get('cluster-id');
  const dryRun = context.flags.get('dry-run') === 'true';
  const report = await withStores(context.loaded.config, 'alone', (stores) =>
    recover({
      ...stores,
      ...(clusterId !== undefined && { clusterId }),
      dryRun,
      clock: systemClock,
    }),
  );
  const json = context.flags.get('json') === 'true';
  context.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : formatRecoverReport(report));
}
