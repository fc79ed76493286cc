/** Texts that several reports share. */
export function time(milliseconds: number): string {
  if (milliseconds < 0) return '-';
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? String(milliseconds) : date.toISOString();
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** The lines of a finding, and how many more there are. */
export function findingLines<T>(
  findings: { readonly total: number; readonly items: readonly T[] },
  lineOf: (item: T) => string,
  shownMax = 20,
): string[] {
  const lines = findings.items.slice(0, shownMax).map((item) => `  ${lineOf(item)}`);
  const more = findings.total - lines.length;
  return more > 0 ? [...lines, `  … and ${more} more`] : lines;
}
