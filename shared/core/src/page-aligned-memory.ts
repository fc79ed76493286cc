interface MemoryConstructor {
  new (size: { initial: number; maximum: number }): { readonly buffer: ArrayBuffer };
}

const wasmPageBytes = 64 * 1024;

/** Node has it everywhere; its types are only in the library of browsers. */
const { Memory } = (globalThis as unknown as { WebAssembly: { Memory: MemoryConstructor } })
  .WebAssembly;

/**
 * Zeroed memory that begins at a page of the machine, as direct I/O needs it (open(2), O_DIRECT). Only
 * a WebAssembly memory promises that in Node: an ArrayBuffer begins wherever malloc put it. A whole
 * number of 64 KiB. It reserves gigabytes of address space, not of memory, so have few of them.
 * Throws a RangeError where a limit on address space forbids that.
 */
export function pageAlignedMemory(bytes: number): Buffer {
  return Buffer.from(new Memory(sizeOf(bytes)).buffer);
}

function sizeOf(bytes: number): { initial: number; maximum: number } {
  const pages = Math.ceil(bytes / wasmPageBytes);
  return { initial: pages, maximum: pages };
}
