/** ` (did you mean …?)` for the nearest known name, or nothing when none is near. */
export function suggest(name: string, known: readonly string[]): string {
  let nearest: string | undefined;
  let nearestDistance = 4;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance >= nearestDistance) continue;
    nearest = candidate;
    nearestDistance = distance;
  }
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
}

/** Levenshtein's distance, by rows. The arguments are names that people typed: short. */
function editDistance(left: string, right: string): number {
  const lengthMax = 64;
  if (left.length > lengthMax || right.length > lengthMax) return lengthMax;
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const substitution = left[row - 1] === right[column - 1] ? 0 : 1;
      current.push(
        Math.min(
          (previous[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (previous[column - 1] ?? 0) + substitution,
        ),
      );
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}
