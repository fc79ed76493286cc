export { ByteBudget } from './byte-budget.js';
export { sleep, systemClock } from './clock.js';
export type { Clock } from './clock.js';
export { copyInto } from './copy-into.js';
export {
  describeError,
  invariant,
  InvariantError,
  isOperatingError,
  OperatingError,
} from './errors.js';
export type { OperatingErrorOptions, Outcome } from './errors.js';
export { limits } from './limits.js';
export { pageAlignedMemory } from './page-aligned-memory.js';
export { SlabMemory, slabPartBytesMin, slabUnitBytes } from './slab-memory.js';
export type { SlabMemoryOptions } from './slab-memory.js';
export { MemoryPool, PooledMemory, sizeClassOf } from './pooled-memory.js';
export type { MemoryPoolOptions } from './pooled-memory.js';
export { addSafe, numberFromWire } from './safe-integer.js';
