import { advertisedApis } from '@kafscale/codec';

import type { CloseReason } from './close-reason.js';

/**
 * What the front needs of a metrics library; `Metrics` of the telemetry package fits. Names come
 * without their prefix. Label values are bounded sets, never client input.
 */
export interface MetricsFactory {
  counter(definition: MetricDefinition): LabelledMetric<Counter>;
  histogram(
    definition: MetricDefinition & { readonly buckets: readonly number[] },
  ): LabelledMetric<Observer>;
  /** `read` is called when the metrics are collected, never in between. */
  gauge(definition: GaugeDefinition): unknown;
}

export interface MetricDefinition {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export interface GaugeDefinition {
  readonly name: string;
  readonly help: string;
  readonly read: () => number;
}

export interface LabelledMetric<Child> {
  /** The child for these label values, in the order of the definition's labels. Callers keep it. */
  labels(...values: string[]): Child;
}

export interface Counter {
  inc(value?: number): void;
}

export interface Observer {
  observe(value: number): void;
}

/** The metrics of one API, looked up once. */
export interface ApiMetrics {
  readonly requests: Counter;
  readonly requestBytes: Counter;
  readonly responseBytes: Counter;
  readonly latencySeconds: Observer;
}

export interface FrontGauges {
  readonly connections: () => number;
  readonly requestBytesInFlight: () => number;
  /** Connections whose next request waits for the process's byte budget. */
  readonly budgetWaiters: () => number;
}

const latencyBucketsSeconds = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/** Every metric of the front. */
export class FrontMetrics {
  readonly connectionsAccepted: Counter;
  readonly connectionsRefused: Counter;
  readonly #closes: LabelledMetric<Counter>;
  readonly #apis = new Map<number, ApiMetrics>();

  constructor(factory: MetricsFactory, gauges: FrontGauges) {
    const accepted = factory.counter({
      name: 'front_connections_total',
      help: 'Client connections, accepted or refused at the connection limit.',
      labels: ['outcome'],
    });
    this.connectionsAccepted = accepted.labels('accepted');
    this.connectionsRefused = accepted.labels('refused');
    this.#closes = factory.counter({
      name: 'front_connection_closes_total',
      help: 'Client connections closed, by reason.',
      labels: ['reason'],
    });
    factory.gauge({
      name: 'front_connections',
      help: 'Client connections that are open.',
      read: gauges.connections,
    });
    factory.gauge({
      name: 'front_request_bytes_in_flight',
      help: 'Bytes of requests from their length prefix until their reply has settled.',
      read: gauges.requestBytesInFlight,
    });
    factory.gauge({
      name: 'front_budget_waiters',
      help: 'Connections that are not read until the byte budget has room for their request.',
      read: gauges.budgetWaiters,
    });
    this.#addApis(factory);
  }

  /** Only for APIs that are served. */
  api(apiKey: number): ApiMetrics | undefined {
    return this.#apis.get(apiKey);
  }

  closed(reason: CloseReason): void {
    this.#closes.labels(reason).inc();
  }

  #addApis(factory: MetricsFactory): void {
    const labels = ['api'];
    const requests = factory.counter({
      name: 'front_requests_total',
      help: 'Kafka requests received, by API.',
      labels,
    });
    const requestBytes = factory.counter({
      name: 'front_request_bytes_total',
      help: 'Bytes of Kafka requests received, without their length prefix, by API.',
      labels,
    });
    const responseBytes = factory.counter({
      name: 'front_response_bytes_total',
      help: 'Bytes of Kafka response bodies handed to sockets, by API.',
      labels,
    });
    const latencySeconds = factory.histogram({
      name: 'front_request_seconds',
      help: 'From a whole request to its response in order, ready to be written, by API.',
      labels,
      buckets: latencyBucketsSeconds,
    });
    for (const { key, name } of advertisedApis) {
      this.#apis.set(key, {
        requests: requests.labels(name),
        requestBytes: requestBytes.labels(name),
        responseBytes: responseBytes.labels(name),
        latencySeconds: latencySeconds.labels(name),
      });
    }
  }
}
