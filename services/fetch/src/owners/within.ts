import { OperatingError } from '@kafscale/core';

/** As the promise, unless it takes longer: then DEADLINE_EXCEEDED. */
export function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const text = `no answer within ${timeoutMs} ms`;
      reject(new OperatingError('DEADLINE_EXCEEDED', text, { retriable: true }));
    }, timeoutMs);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
