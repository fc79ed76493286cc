import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inPieces, messageValue, withoutDefaults } from './support/arbitrary.js';
import { encoded, everyVersion } from './support/messages.js';

const numRuns = 15;

describe.each(everyVersion)('$title', ({ declared, version }) => {
  it('decodes what it encodes, and encodes what it decodes to the same bytes', () => {
    fc.assert(
      fc.property(messageValue(declared, version), (value) => {
        const bytes = encoded(declared, value, version);
        const decoded = declared.decode(bytes, version);
        expect(decoded).toEqual(value);
        expect(encoded(declared, decoded, version)).toEqual(bytes);
      }),
      { numRuns },
    );
  });

  it('does not care whether bytes come in pieces and defaults are written out', () => {
    fc.assert(
      fc.property(messageValue(declared, version), (value) => {
        const bytes = encoded(declared, value, version);
        expect(encoded(declared, inPieces(value), version)).toEqual(bytes);
        const sparse = withoutDefaults(value, declared.fields);
        expect(encoded(declared, sparse, version)).toEqual(bytes);
      }),
      { numRuns },
    );
  });
});
