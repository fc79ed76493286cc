import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Names in the same form that are not our error codes. */
const others = /^(KAFSCALE_|AWS_|ERR_|HPE_|EAI_)|^(WHEN_REQUIRED)$/; // variables, and codes of Node and of libraries

function codesInSources(): Set<string> {
  const codes = new Set<string>();
  for (const top of ['shared', 'services']) {
    for (const home of readdirSync(join(root, top))) {
      const folder = join(root, top, home, 'src');
      for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith('.ts')) continue;
        const text = readFileSync(join(folder, file), 'utf8');
        for (const [, code = ''] of text.matchAll(/'([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)'/g)) {
          if (!others.test(code)) codes.add(code);
        }
      }
    }
  }
  return codes;
}

it('docs/errors.md has every error code and no other', () => {
  const text = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('| `'));
  const documented = rows.flatMap((line) =>
    [...(line.split('|')[1] ?? '').matchAll(/`([A-Z0-9_]+)`/g)].map((match) => match[1] ?? ''),
  );
  expect(documented.length).toBeGreaterThan(60);
  expect([...documented].sort()).toEqual([...codesInSources()].sort());
});
