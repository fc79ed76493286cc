import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { invariant } from '@kafscale/core';

export interface MetricDefinition<Label extends string> {
  /** Without the prefix; Prometheus' conventions: base units, `_total` for counters. */
  readonly name: string;
  readonly help: string;
  /**
   * Label values must come from a bounded set: never a topic, group or client name that a client
   * can invent.
   */
  readonly labels?: readonly Label[];
}

export interface HistogramDefinition<Label extends string> extends MetricDefinition<Label> {
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[];
}

export interface GaugeDefinition<Label extends string> extends MetricDefinition<Label> {
  /** Asked at each scrape, so that nothing has to be kept up to date in between. */
  readonly read?: () => number;
  /** The same for a gauge with a label: the values to be shown, by the label's. */
  readonly readEach?: () => Iterable<readonly [label: string, value: number]>;
}

const prefix = 'kafscale_';

/** For durations in seconds: from a memory answer to a request that timed out. */
export const durationBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
] as const;

/** For sizes in bytes: from one small batch to the largest request. */
export const sizeBuckets = [
  1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864, 134_217_728,
] as const;

/**
 * The metrics of one process. Services that share a process share one of these, each with names of
 * its own. A name registered twice is a bug and throws.
 */
export class Metrics {
  readonly #registry = new Registry();

  constructor(options: { readonly processMetrics: boolean } = { processMetrics: true }) {
    if (options.processMetrics) collectDefaultMetrics({ register: this.#registry });
  }

  counter<Label extends string = never>(definition: MetricDefinition<Label>): Counter<Label> {
    invariant(definition.name.endsWith('_total'), 'a counter is named …_total');
    return new Counter(this.#configure(definition));
  }

  gauge<Label extends string = never>(definition: GaugeDefinition<Label>): Gauge<Label> {
    const { labels = [], read, readEach } = definition;
    invariant(readEach === undefined || labels.length === 1, 'values by one label have one label');
    return new Gauge<Label>({
      ...this.#configure(definition),
      ...(readEach && {
        collect(this: Gauge<Label>): void {
          for (const [label, value] of readEach()) this.labels(label).set(value);
        },
      }),
      ...(read && {
        collect(this: Gauge<Label>): void {
          this.set(read());
        },
      }),
    });
  }

  histogram<Label extends string = never>(
    definition: HistogramDefinition<Label>,
  ): Histogram<Label> {
    const buckets = [...definition.buckets];
    return new Histogram({ ...this.#configure(definition), buckets });
  }

  /** The text format of Prometheus. */
  async render(): Promise<{ readonly contentType: string; readonly body: string }> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  #configure<Label extends string>(definition: MetricDefinition<Label>) {
    invariant(/^[a-z][a-z0-9_]*$/.test(definition.name), 'a metric is named in snake_case');
    return {
      name: prefix + definition.name,
      help: definition.help,
      labelNames: [...(definition.labels ?? [])],
      registers: [this.#registry],
    };
  }
}
