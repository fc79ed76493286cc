import { afterEach } from 'vitest';

const cleanups: (() => unknown)[] = [];

/** Runs after the test, last registered first, also when the test failed. */
export function cleanup(work: () => unknown): void {
  cleanups.push(work);
}

afterEach(async () => {
  for (const work of cleanups.splice(0).reverse()) await work();
});

/** Looks every few milliseconds; the test's own timeout bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
