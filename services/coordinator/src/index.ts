export { createCoordinator } from './coordinator.js';
export type { Coordinator, CoordinatorOptions } from './coordinator.js';
export { registerCoordinatorMetrics } from './metrics.js';
export type { CoordinatorLog, CoordinatorMetrics } from './observability.js';
