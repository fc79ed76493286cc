import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AnyMessage } from '../../src/index.js';
import { ProtocolError } from '../../src/index.js';
import { messageValue } from './support/arbitrary.js';
import { encoded, everyVersion } from './support/messages.js';

const numRuns = 40;

/** True if the bytes decode; any error but a ProtocolError fails the test. */
function decodes(declared: AnyMessage, bytes: Buffer, version: number): boolean {
  try {
    declared.decode(bytes, version);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
    expect((error as ProtocolError).code).toBe('MALFORMED_MESSAGE');
    return false;
  }
}

const mutation = fc.record({
  position: fc.nat(),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
    fc.constantFrom(
      Uint8Array.of(0x7f, 0xff, 0xff, 0xff),
      Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f),
      Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
      Uint8Array.of(0x80, 0, 0, 0),
    ),
  ),
  removed: fc.nat({ max: 6 }),
});

describe.each(everyVersion)('$title', ({ declared, version }) => {
  it('answers damaged bytes with a value or a ProtocolError', () => {
    fc.assert(
      fc.property(
        messageValue(declared, version),
        mutation,
        (value, { position, bytes, removed }) => {
          const good = encoded(declared, value, version);
          const at = position % (good.length + 1);
          const bad = Buffer.concat([good.subarray(0, at), bytes, good.subarray(at + removed)]);
          decodes(declared, bad, version);
        },
      ),
      { numRuns },
    );
  });

  it('answers random bytes with a value or a ProtocolError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        decodes(declared, Buffer.from(bytes), version);
      }),
      { numRuns },
    );
  });

  it('refuses every proper prefix and every suffix', () => {
    fc.assert(
      fc.property(messageValue(declared, version), fc.nat(), (value, cut) => {
        const good = encoded(declared, value, version);
        const bytes = good.subarray(0, cut % Math.max(good.length, 1));
        if (good.length > 0) expect(decodes(declared, bytes, version)).toBe(false);
        const longer = Buffer.concat([good, Buffer.of(0)]);
        expect(decodes(declared, longer, version)).toBe(false);
      }),
      { numRuns },
    );
  });
});
