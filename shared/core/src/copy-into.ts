/** Below it a view of the source would cost more than it saves. */
const filledBytesMin = 4 * 1024;

/**
 * Copies all of `source` to `at` in `target`. From or to shared memory V8 copies word by word, and byte
 * by byte where the two addresses differ by no multiple of 8, as they do for what lies behind a header
 * in a socket's chunk: 4.3 GB/s instead of 22 to 27 by `memcpy`, which is how `fill` copies.
 */
export function copyInto(source: Uint8Array, target: Buffer, at: number): void {
  if (source.length >= filledBytesMin && (isShared(source) || isShared(target))) {
    target.fill(source, at, at + source.length);
  } else target.set(source, at);
}

function isShared({ buffer }: Uint8Array): boolean {
  return buffer instanceof SharedArrayBuffer;
}
