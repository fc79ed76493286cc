import { crc32c } from '@node-rs/crc32';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { crc32cCombine } from '../../src/checksum/crc32c-combine.js';

it('joins the checksums of two parts into that of the whole', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (a, b) => {
      const whole = crc32c(Buffer.concat([a, b]));
      expect(crc32cCombine(crc32c(Buffer.from(a)), crc32c(Buffer.from(b)), b.length)).toBe(whole);
    }),
  );
});

it('holds for parts of many megabytes', () => {
  const a = Buffer.alloc(3_000_017, 0xa5);
  const b = Buffer.alloc(9_000_001, 0x5a);
  const whole = crc32c(b, crc32c(a));
  expect(crc32cCombine(crc32c(a), crc32c(b), b.length)).toBe(whole);
});
