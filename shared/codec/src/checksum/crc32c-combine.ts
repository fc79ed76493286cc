/** CRC-32C (Castagnoli, RFC 3720), reflected. */
const polynomial = 0x82f63b78;

/**
 * The CRC-32C of A followed by B, from the CRCs of both and the length of B: what a program needs
 * that has summed the parts of an object and is asked for the whole. The method is Mark Adler's:
 * appending n zero bits multiplies by x^n modulo the polynomial, in O(log n) steps.
 */
export function crc32cCombine(crcOfA: number, crcOfB: number, lengthOfB: number): number {
  return (multiplyModulo(powerOfX(lengthOfB), crcOfA) ^ crcOfB) >>> 0;
}

/** x^(2^k) modulo the polynomial, for k below 64: bit lengths up to 2^53 bytes and beyond. */
const squares = ((): Uint32Array => {
  const table = new Uint32Array(64);
  table[0] = 1 << 30; // x^1, reflected
  for (let k = 1; k < table.length; k++) {
    const previous = table[k - 1] ?? 0;
    table[k] = multiplyModulo(previous, previous);
  }
  return table;
})();

/** x^(8 × bytes) modulo the polynomial. */
export function powerOfX(bytes: number): number {
  let product = 1 << 31; // x^0, reflected
  let rest = bytes;
  for (let k = 3; rest > 0; k++) {
    if (rest % 2 === 1) product = multiplyModulo(squares[k] ?? 0, product);
    rest = Math.floor(rest / 2);
  }
  return product;
}

/** a × b modulo the polynomial; bit 31 is the coefficient of x^0. */
export function multiplyModulo(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let bit = 31; bit >= 0; bit--) {
    // Without branches: they would be as random as a CRC is, and half of them mispredicted.
    product ^= shifted & -((a >>> bit) & 1);
    shifted = (shifted >>> 1) ^ (polynomial & -(shifted & 1));
  }
  return product >>> 0;
}
