import { invariant, OperatingError } from './errors.js';

/** Turns an int64 off the wire into a number; refuses what a double can not hold exactly. */
export function numberFromWire(value: bigint): number {
  const result = Number(value);
  if (!Number.isSafeInteger(result)) {
    throw new OperatingError('INTEGER_OUT_OF_RANGE', `${value} is beyond 2^53`);
  }
  return result;
}

/** Adds two non-negative safe integers (offsets, positions, sizes) and checks the sum. */
export function addSafe(left: number, right: number): number {
  const sum = left + right;
  invariant(Number.isSafeInteger(sum), `${left} + ${right} is beyond 2^53`);
  return sum;
}
