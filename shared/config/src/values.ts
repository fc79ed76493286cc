import { z } from 'zod';

/** Values come as text from flags and the environment, and as JSON values from a file. */

/** A whole number in a range; both ends belong to it. */
export function integer(range: { readonly min: number; readonly max: number }) {
  const expected = `a whole number from ${range.min} to ${range.max}`;
  return z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^-?\d+$/)
          .transform(Number),
      ],
      { error: expected },
    )
    .refine((value) => Number.isSafeInteger(value) && value >= range.min && value <= range.max, {
      error: expected,
    });
}

/** 0 lets the system choose. */
export const port = integer({ min: 0, max: 65_535 });

const sizeUnits: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['kb', 1e3],
  ['mb', 1e6],
  ['gb', 1e9],
  ['kib', 2 ** 10],
  ['mib', 2 ** 20],
  ['gib', 2 ** 30],
]);

/** Bytes: a number, or a text such as `128MiB`. */
export function bytes(range: { readonly min: number; readonly max: number }) {
  const expected = `bytes from ${range.min} to ${range.max}, such as 128MiB`;
  return z
    .union([z.number(), z.string().transform(parseSize)], { error: expected })
    .refine((value) => Number.isSafeInteger(value) && value >= range.min && value <= range.max, {
      error: expected,
    });
}

function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = sizeUnits.get((match?.[2] ?? '?').toLowerCase());
  return match && unit !== undefined ? Number(match[1]) * unit : Number.NaN;
}

export const flag = z.union(
  [z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')],
  { error: 'true or false' },
);

export const text = z.string({ error: 'a text' }).min(1, { error: 'a text that is not empty' });

/** A name or an address; IPv6 without brackets. */
export const host = z
  .string({ error: 'a host name or an address' })
  .regex(/^[A-Za-z0-9._:-]{1,253}$/, { error: 'a host name or an address' });

export function choice<const Choice extends string>(choices: readonly Choice[]) {
  return z.enum(choices, { error: `one of ${choices.join(', ')}` });
}

/** A URL with one of the schemes (each with its colon). Kept as it was written. */
export function url(schemes: readonly string[]) {
  const expected = `a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`;
  return z
    .string({ error: expected })
    .refine(
      (value) => schemes.some((scheme) => value.startsWith(`${scheme}//`)) && URL.canParse(value),
      { error: expected },
    );
}

/** `host:port`; an IPv6 address in brackets. */
export const hostAndPort = z
  .string({ error: 'host:port' })
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/, { error: 'host:port' });
