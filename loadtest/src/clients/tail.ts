/** The end of what a program said, for the report when something fails. */
export class Tail {
  readonly #bytesMax: number;
  #text = '';

  constructor(bytesMax = 8 * 1024) {
    this.#bytesMax = bytesMax;
  }

  push(chunk: Buffer): void {
    this.#text += chunk.toString();
    if (this.#text.length > 2 * this.#bytesMax) this.#text = this.#text.slice(-this.#bytesMax);
  }

  toString(): string {
    return this.#text.slice(-this.#bytesMax).trimEnd();
  }
}
