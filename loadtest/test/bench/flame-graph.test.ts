import { expect, it } from 'vitest';
import { flameSvg } from '../../src/bench/profiles/flame-svg.js';
import { addProfile, emptyFrame } from '../../src/bench/profiles/flame-tree.js';
import type { CpuProfile } from '../../src/bench/profiles/cpu-profile.js';

const frame = (functionName: string, url = '') => ({ functionName, url, lineNumber: 4 });
const seal = frame('seal', 'file:///app/services/ingest/dist/segment/lane.js');

/** Two nodes for one call path, as V8 makes them, 2 ms idle, and 1 ms in what `seal` calls. */
const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 3, 4] },
    { id: 2, callFrame: frame('(idle)') },
    { id: 3, callFrame: seal, children: [5] },
    { id: 4, callFrame: seal },
    { id: 5, callFrame: frame('a<b>', 'file:///app/node_modules/@node-rs/crc32/index.js') },
  ],
  samples: [2, 3, 4, 5],
  timeDeltas: [2000, 3000, 4000, 1000],
  startTime: 0,
};

it('sums what is the same path, without idle time', () => {
  const root = emptyFrame('main thread');
  addProfile(root, profile);
  addProfile(root, profile);
  expect(root.microseconds).toBe(16_000);
  expect([...root.callees.values()]).toMatchObject([
    { origin: 'ingest', place: 'seal services/ingest/segment/lane.js:5', microseconds: 16_000 },
  ]);
  const callees = [...root.callees.values()].flatMap((each) => [...each.callees.values()]);
  expect(callees).toMatchObject([{ name: 'a<b>', origin: '@node-rs/crc32', microseconds: 2_000 }]);
});

it('draws every frame as wide as its share, with a title', () => {
  const root = emptyFrame('main thread');
  addProfile(root, profile);
  const svg = flameSvg('a & b', [root, emptyFrame('workers')]);
  expect(svg).toContain('>a &amp; b<');
  expect(svg).toContain('main thread: 0.01 s busy');
  expect(svg).not.toContain('workers');
  expect(svg).toMatch(/a&lt;b&gt; node_modules\/@node-rs\/crc32\/index\.js:5\n0\.00 s, 12\.5 %/);
  expect(svg).toMatch(/width="150\.0"/);
  expect(svg.match(/<rect x/g)).toHaveLength(3);
});
