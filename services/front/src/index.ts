export { startFront } from './front.js';
export type { Front, FrontOptions } from './front.js';
export type { FrontLimits } from './front-limits.js';
export type { FrontLog } from './front-log.js';
export type {
  Counter,
  GaugeDefinition,
  LabelledMetric,
  MetricDefinition,
  MetricsFactory,
  Observer,
} from './front-metrics.js';
export { NodeDirectory } from './node-directory.js';
export type { DirectoryNode, ServingRole } from './node-directory.js';
export type { ServiceDirectory, ServiceHandle } from './service-directory.js';
