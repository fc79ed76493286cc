/** Says what was checked, as it is checked, and counts. */
export class Report {
  readonly #name: string;
  readonly #started = performance.now();
  #steps = 0;

  constructor(name: string) {
    this.#name = name;
  }

  say(line: string): void {
    console.log(`  ${line}`);
  }

  leftOut(what: string): void {
    this.say(`left out: ${what}`);
  }

  async step<Result>(name: string, run: () => Promise<Result>): Promise<Result> {
    const started = performance.now();
    try {
      const result = await run();
      this.#steps += 1;
      this.say(`ok ${seconds(started)}  ${name}`);
      return result;
    } catch (error) {
      this.say(`FAILED ${seconds(started)}  ${name}`);
      throw error;
    }
  }

  /** The one line that says it all. */
  summary(against: string): string {
    return `${this.#name}: ${this.#steps} checks passed against ${against} in ${seconds(this.#started)}`;
  }
}

function seconds(started: number): string {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`;
}
