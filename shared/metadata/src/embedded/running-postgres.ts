import { setTimeout as delay } from 'node:timers/promises';
import { OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { ClusterFiles } from './cluster-files.js';
import { claimOwnership, dataDirInUse, databaseUrl } from './ownership.js';
import type { ClaimResult, Ownership } from './ownership.js';
import { findPostmaster, stopPostmaster } from './postmaster.js';
import type { Postmaster } from './postmaster.js';
import { embeddedLimits } from './types.js';
import type { EmbeddedPostgres, EmbeddedPostgresOptions, StopMode } from './types.js';

export interface RunningPostgresParts {
  readonly options: EmbeddedPostgresOptions;
  readonly clock: Clock;
  readonly files: ClusterFiles;
  readonly secret: string;
}

/** A server and the claim on it: keeps the claim alive, reports its loss, stops the server. */
export class RunningPostgres implements EmbeddedPostgres {
  readonly url: string;
  readonly pid: number;
  readonly takenOver: boolean;
  readonly #parts: RunningPostgresParts;
  readonly #port: number;
  #ownership: Ownership | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: RunningPostgresParts, postmaster: Postmaster, takenOver: boolean) {
    this.#parts = parts;
    this.#port = postmaster.port;
    this.pid = postmaster.pid;
    this.takenOver = takenOver;
    this.url = databaseUrl(postmaster.port, parts.secret);
  }

  async claim(): Promise<ClaimResult> {
    return await this.#claim({ endOtherSessions: this.takenOver });
  }

  async #claim(how: { readonly endOtherSessions: boolean }): Promise<ClaimResult> {
    const claim = await claimOwnership({
      port: this.#port,
      secret: this.#parts.secret,
      clock: this.#parts.clock,
      endOtherSessions: how.endOtherSessions,
      onBroken: () => void this.#reclaim(),
    });
    if (claim.outcome === 'owned') this.#ownership = claim.ownership;
    return claim;
  }

  stop(mode: StopMode = 'fast'): Promise<void> {
    this.#stopping ??= this.#stop(mode);
    return this.#stopping;
  }

  /**
   * The claim is given up only once the server refuses new sessions, so nobody can take over a
   * server that is about to stop: a fast stop ends our session for us.
   */
  async #stop(mode: StopMode): Promise<void> {
    const { files, clock } = this.#parts;
    files.log.stopBounding();
    try {
      await stopPostmaster(this.pid, files, { mode, clock });
    } finally {
      await this.#ownership?.release();
    }
  }

  /**
   * When one server process crashes, the server ends all sessions, recovers and goes on: the claim
   * must be taken again, before another process does.
   */
  async #reclaim(): Promise<void> {
    if (this.#stopping) return;
    const { options, clock, files } = this.#parts;
    await this.#ownership?.release();
    const deadlineMs = clock.monotonicMs() + embeddedLimits.reclaimMsMax;
    options.log.warn({ pid: this.pid }, 'lost the session that owns the embedded PostgreSQL');
    while (!this.#stopping && clock.monotonicMs() < deadlineMs) {
      if ((await findPostmaster(files))?.pid !== this.pid) break;
      // The other sessions are our own now: they have reconnected as we do.
      const claim = await this.#claim({ endOtherSessions: false });
      if (claim.outcome === 'owned') return;
      if (claim.outcome === 'in-use') {
        options.onLost?.(dataDirInUse(files.dataDir, claim.holder));
        return;
      }
      await delay(embeddedLimits.ownershipRetryMs);
    }
    if (this.#stopping) return;
    options.onLost?.(
      new OperatingError(
        'EMBEDDED_POSTGRES_FAILED',
        `the embedded PostgreSQL (process ${this.pid}) died: see ${files.log.path}`,
      ),
    );
  }
}
