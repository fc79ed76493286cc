import type { Metrics } from '@kafscale/telemetry';
import { registerColdMetrics } from '../cold/cold-metrics.js';
import { registerGarbageMetrics } from '../garbage/garbage-metrics.js';
import { registerRetentionMetrics } from '../retention/retention-metrics.js';
import type { BackgroundOptions } from './background-work.js';

/** Registers all of them, once per process. */
export function registerBackgroundMetrics(metrics: Metrics): BackgroundOptions['metrics'] {
  return {
    retention: registerRetentionMetrics(metrics),
    garbage: registerGarbageMetrics(metrics),
    cold: registerColdMetrics(metrics),
  };
}
