import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** A folder of objects, and a way to it of its own for every node. */
export class StoreFolder {
  readonly #base = mkdtempSync(join(tmpdir(), 'kafscale-commit-rules-'));
  readonly root = join(this.#base, 'objects');
  #paths = 0;

  constructor() {
    mkdirSync(this.root);
  }

  get url(): string {
    return pathToFileURL(this.root).href;
  }

  newPath(): StorePath {
    this.#paths += 1;
    return new StorePath(join(this.#base, `path-${this.#paths}`), this.root);
  }

  remove(): void {
    rmSync(this.#base, { recursive: true, force: true });
  }
}

/** While it is broken every upload of its node fails for good: a file is where the folder was. */
export class StorePath {
  readonly #path: string;
  readonly #target: string;
  #broken = true;

  constructor(path: string, target: string) {
    this.#path = path;
    this.#target = target;
    writeFileSync(path, '');
    this.heal();
  }

  get url(): string {
    return pathToFileURL(this.#path).href;
  }

  break(): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#replace((path) => writeFileSync(path, 'not a folder'));
  }

  heal(): void {
    if (!this.#broken) return;
    this.#broken = false;
    this.#replace((path) => symlinkSync(this.#target, path));
  }

  /** In one step: a worker that finds nothing there would make a folder. */
  #replace(make: (path: string) => void): void {
    make(`${this.#path}.new`);
    renameSync(`${this.#path}.new`, this.#path);
  }
}
