export { registerBackgroundMetrics } from './background/background-metrics.js';
export type { BackgroundOptions, BackgroundTimes } from './background/background-work.js';
export type { ColdLimits } from './cold/cold-limits.js';
export { registerCompactionMetrics } from './compaction/compaction-metrics.js';
export type { CompactionMetrics } from './compaction/compaction-metrics.js';
export type { CompactionLimits } from './compaction/compaction-limits.js';
export type { CompactionOptions } from './compaction/start-compaction.js';
export { createCoordinator } from './coordinator.js';
export type { Coordinator, CoordinatorOptions, IndexOptions } from './coordinator.js';
export { explanations } from './recovery/check/check-report.js';
export type { CheckReport, Explanation, Problem } from './recovery/check/check-report.js';
export { checkStore } from './recovery/check/check-store.js';
export type { CheckOptions } from './recovery/check/check-store.js';
export { explainOffset } from './recovery/explain/explain-offset.js';
export type {
  ExplainedBatch,
  ExplainOptions,
  OffsetExplanation,
} from './recovery/explain/explain-offset.js';
export type { SegmentAfter } from './recovery/recover/came-after.js';
export type { IndexDamage } from './recovery/recover/find-logs.js';
export { recover } from './recovery/recover/recover.js';
export type { LostColdRange, RecoverOptions, RecoverReport } from './recovery/recover/recover.js';
export { registerIndexMetrics } from './recovery/index-metrics.js';
export type { IndexMetrics } from './recovery/index-metrics.js';
export { registerCoordinatorMetrics } from './metrics.js';
export type { CoordinatorLog, CoordinatorMetrics } from './observability.js';
