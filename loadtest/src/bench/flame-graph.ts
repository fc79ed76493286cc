import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { readProfiles } from './profiles/cpu-profile.js';
import { flameSvg } from './profiles/flame-svg.js';
import { addProfile, emptyFrame } from './profiles/flame-tree.js';

/**
 * Draws the CPU profiles that `bench:… -- --profile DIR` leaves, the main thread and all workers:
 * `node loadtest/dist/bench/flame-graph.js DIR OUT.svg [TITLE]`. Hovering over a frame names its
 * file, its line and its share.
 */
function main(directory: string, svgFile: string, title: string): void {
  const mainThread = emptyFrame('main thread');
  const workers = emptyFrame('workers, together');
  for (const { isMainThread, profile } of readProfiles(directory)) {
    addProfile(isMainThread ? mainThread : workers, profile);
  }
  mkdirSync(dirname(svgFile), { recursive: true });
  writeFileSync(svgFile, flameSvg(title, [mainThread, workers]));
}

const [directory, svgFile, title = 'kafscale standalone'] = process.argv.slice(2);
if (directory === undefined || svgFile === undefined) {
  console.error('usage: node loadtest/dist/bench/flame-graph.js DIR OUT.svg [TITLE]');
  process.exitCode = 1;
} else main(directory, svgFile, title);
