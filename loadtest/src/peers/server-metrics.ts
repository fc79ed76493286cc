import { OperatingError } from '@kafscale/core';

/** What a server counted, at one moment. */
export class ServerMetrics {
  readonly #lines: readonly string[];

  private constructor(text: string) {
    this.#lines = text.split('\n');
  }

  /** `httpUrl` without a slash at its end. METRICS_UNREADABLE. */
  static async read(httpUrl: string): Promise<ServerMetrics> {
    const response = await fetch(`${httpUrl}/metrics`);
    if (!response.ok) throw new OperatingError('METRICS_UNREADABLE', `status ${response.status}`);
    return new ServerMetrics(await response.text());
  }

  /** The sum over all labels; `name` without the prefix that all of ours have. 0 when it is not there. */
  sum(name: string): number {
    let sum = 0;
    for (const line of this.#lines) {
      if (!line.startsWith(`kafscale_${name} `) && !line.startsWith(`kafscale_${name}{`)) continue;
      sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return sum;
  }

  /** How much it grew. METRICS_UNREADABLE when there is no such metric. */
  since(before: ServerMetrics, name: string): number {
    if (!this.#lines.some((line) => line.startsWith(`kafscale_${name}`))) {
      throw new OperatingError('METRICS_UNREADABLE', `there is no kafscale_${name}`);
    }
    return this.sum(name) - before.sum(name);
  }
}
