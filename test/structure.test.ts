import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/**
 * The house rules that a linter does not know: who may import whom. Length limits and import cycles
 * are lint rules (.oxlintrc.json).
 */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

interface Source {
  readonly file: string;
  /** `shared/codec`, `services/front`, … */
  readonly home: string;
  readonly imports: readonly string[];
  readonly text: string;
}

const sources = ['shared', 'services'].flatMap((top) =>
  readdirSync(join(root, top)).flatMap((name) => sourcesOf(join(top, name))),
);

function sourcesOf(home: string): Source[] {
  const folder = join(root, home, 'src');
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => {
      const text = readFileSync(join(folder, file), 'utf8');
      const imports = [
        ...text.matchAll(/^(?:import|export)[^'";]*?from '([^']+)'|import\('([^']+)'\)/gm),
      ];
      return {
        file: relative(root, join(folder, file)),
        home,
        imports: imports.map((match) => match[1] ?? match[2] ?? ''),
        text,
      };
    });
}

const services = new Set(
  readdirSync(join(root, 'services')).map((name) =>
    name === 'standalone' ? 'kafscale' : `@kafscale/${name}`,
  ),
);

function offenders(rule: (source: Source, specifier: string) => boolean): string[] {
  return sources.flatMap((source) =>
    source.imports
      .filter((specifier) => rule(source, specifier))
      .map((specifier) => `${source.file} imports ${specifier}`),
  );
}

describe('who may import whom', () => {
  it('reads the whole tree', () => {
    expect(sources.length).toBeGreaterThan(50);
    expect(sources.some((source) => source.imports.length > 0)).toBe(true);
  });

  it('shared/ never imports services/', () => {
    const found = offenders(
      ({ home }, specifier) => home.startsWith('shared') && services.has(specifier),
    );
    expect(found).toEqual([]);
  });

  it('services never import one another; only standalone wires them', () => {
    const found = offenders(
      ({ home }, specifier) =>
        home.startsWith('services') && home !== 'services/standalone' && services.has(specifier),
    );
    expect(found).toEqual([]);
  });

  it('nobody reaches into another package', () => {
    const found = offenders(
      (_, specifier) =>
        /^(@kafscale\/[^/]+|kafscale)\/./.test(specifier) || specifier.includes('/src/'),
    );
    expect(found).toEqual([]);
    const escapes = offenders(({ file, home }, specifier) => {
      if (!specifier.startsWith('.')) return false;
      return !join(dirname(file), specifier).startsWith(join(home, 'src'));
    });
    expect(escapes).toEqual([]);
  });

  it('the codec does no I/O and reads no clock or randomness', () => {
    const found = offenders(
      ({ home }, specifier) =>
        home === 'shared/codec' && !specifier.startsWith('.') && !codecMayImport.has(specifier),
    );
    expect(found).toEqual([]);
    const impure = sources
      .filter(({ home }) => home === 'shared/codec')
      .filter(({ text }) =>
        /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bsetTimeout\(/.test(text),
      )
      .map(({ file }) => file);
    expect(impure).toEqual([]);
  });

  it('only coordinators talk to the metadata store', () => {
    const found = offenders(
      ({ home }, specifier) =>
        specifier === '@kafscale/metadata' &&
        !['services/coordinator', 'services/standalone', 'shared/testing'].includes(home),
    );
    expect(found).toEqual([]);
    const direct = offenders(
      ({ home }, specifier) =>
        specifier === 'postgres' && !['shared/metadata', 'shared/testing'].includes(home),
    );
    expect(direct).toEqual([]);
  });
});

/** Computation only: checksums and decompression. */
const codecMayImport = new Set([
  '@kafscale/core',
  '@node-rs/crc32',
  'node:zlib',
  'node:util',
  'snappy',
  'lz4-napi',
  'fzstd',
  '@hpcc-js/wasm-zstd',
]);

describe('limits', () => {
  it('every limit has its unit in its name', () => {
    const text = readFileSync(join(root, 'shared/core/src/limits.ts'), 'utf8');
    const names = [...text.matchAll(/^ {2}(\w+):/gm)].map((match) => match[1] ?? '');
    expect(names.length).toBeGreaterThan(20);
    const unit =
      /(Bytes|Ms|Max|Min|Kept|PerTransaction|PerPartition|Share|Threads|Length|Misses|WithS3|WithFiles|Attempts|Ratio|Days)/;
    expect(names.filter((name) => !unit.test(name))).toEqual([]);
  });
});
