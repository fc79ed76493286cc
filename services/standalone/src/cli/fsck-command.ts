import { checkStore } from '@kafscale/coordinator';
import type { Command, CommandContext } from './command.js';
import { formatCheckReport } from './fsck-report.js';
import { withStores } from './with-stores.js';

export const fsckCommand: Command = {
  name: 'fsck',
  summary: 'hold the index and the objects against each other; changes nothing',
  usage: '',
  positionals: { min: 0, max: 0 },
  configCommand: 'fsck',
  flags: [
    {
      name: 'deep',
      kind: 'switch',
      description: 'also read all records: the checksum of every extent and of every batch',
    },
    { name: 'json', kind: 'switch', description: 'print JSON' },
    { name: 'quiet', kind: 'switch', description: 'no progress on standard error' },
  ],
  run: runFsck,
};

/** Exit code 1 when something is wrong. */
async function runFsck(context: CommandContext): Promise<number> {
  const quiet = context.flags.get('quiet') === 'true';
  let shown = 0;
  const onProgress = (share: number): void => {
    const percent = Math.floor(share * 10) * 10;
    if (quiet || percent <= shown) return;
    shown = percent;
    context.stderr.write(`checked ${percent} %\n`);
  };
  const deep = context.flags.get('deep') === 'true';
  const report = await withStores(context.loaded.config, 'reading', (stores) =>
    checkStore({ ...stores, deep, onProgress }),
  );
  const json = context.flags.get('json') === 'true';
  context.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : formatCheckReport(report));
  return report.isSound ? 0 : 1;
}
