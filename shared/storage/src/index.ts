export type { ObjectInfo, ObjectStore, ReadOptions } from './object-store.js';
export { openObjectStore } from './open-object-store.js';
export type { ObjectStoreOptions } from './open-object-store.js';
