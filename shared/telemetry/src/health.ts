import { invariant } from '@kafscale/core';

/** Why something is not ready, in a few words; undefined when it is. Must be quick and not throw. */
export type ReadinessCheck = () => string | undefined;

export interface Readiness {
  readonly ready: boolean;
  /** By name of the check: `ok`, or why not. */
  readonly checks: Readonly<Record<string, string>>;
}

/**
 * Whether this process should live (`live`: restart it when not) and whether it should get work
 * (`ready`: every named check agrees). It is not ready before `start` and after `drain`.
 */
export class HealthState {
  readonly #checks = new Map<string, ReadinessCheck>();
  #phase: 'starting' | 'running' | 'draining' = 'starting';
  #failure: string | undefined;

  addCheck(name: string, check: ReadinessCheck): void {
    invariant(!this.#checks.has(name) && name !== 'process', `check ${name} is added once`);
    this.#checks.set(name, check);
  }

  start(): void {
    invariant(this.#phase === 'starting', 'a process starts once, before it drains');
    this.#phase = 'running';
  }

  drain(): void {
    this.#phase = 'draining';
  }

  /** It can't go on: not live any more. The first reason stays. */
  fail(reason: string): void {
    this.#failure ??= reason;
  }

  live(): { readonly live: boolean; readonly reason: string | undefined } {
    return { live: this.#failure === undefined, reason: this.#failure };
  }

  readiness(): Readiness {
    const running = this.#phase === 'running' && this.#failure === undefined;
    const checks: [string, string][] = [
      ['process', running ? 'ok' : (this.#failure ?? this.#phase)],
    ];
    for (const [name, check] of this.#checks) checks.push([name, check() ?? 'ok']);
    return {
      ready: checks.every(([, state]) => state === 'ok'),
      checks: Object.fromEntries(checks),
    };
  }
}
