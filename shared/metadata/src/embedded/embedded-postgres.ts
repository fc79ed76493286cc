import { realpath } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { OperatingError, systemClock } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { locateBinaries } from './binaries.js';
import type { PostgresBinaries } from './binaries.js';
import {
  clusterFilesIn,
  initializeCluster,
  openDataDir,
  readSecret,
  readSettings,
} from './cluster-files.js';
import { removeLeftovers, writeSettings } from './cluster-files.js';
import type { ClusterFiles } from './cluster-files.js';
import { launchPostmaster } from './launch.js';
import { dataDirInUse, databaseUrl } from './ownership.js';
import { findPostmaster, removeStalePidFile, stopPostmaster, waitUntilGone } from './postmaster.js';
import type { Postmaster } from './postmaster.js';
import { chooseRunAs } from './run-as.js';
import type { RunAs } from './run-as.js';
import { RunningPostgres } from './running-postgres.js';
import type { RunningPostgresParts } from './running-postgres.js';
import { renderSettings } from './settings.js';
import { embeddedLimits } from './types.js';
import type { EmbeddedPostgres, EmbeddedPostgresOptions } from './types.js';

/**
 * Starts PostgreSQL in a folder, or takes over the one that a killed process left running there,
 * and claims the folder for this process.
 *
 * Errors: DATA_DIR_IN_USE (another live process owns it), DATA_DIR_NOT_WRITABLE,
 * EMBEDDED_POSTGRES_ROOT (we are root and found no way to run it), EMBEDDED_POSTGRES_MISSING,
 * EMBEDDED_POSTGRES_VERSION, EMBEDDED_POSTGRES_FAILED, EMBEDDED_POSTGRES_BUSY (what is left of a
 * killed server does not go away). Each message is one line for people.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const starter = await Starter.prepare(options, systemClock);
  const running = await starter.run();
  options.log.info(
    { pid: running.pid, dataDir: starter.files.dataDir, takenOver: running.takenOver },
    running.takenOver ? 'took over the embedded PostgreSQL' : 'started the embedded PostgreSQL',
  );
  return running;
}

/**
 * The URL of the embedded server that runs in the folder, whoever owns it, or undefined. For
 * commands that read beside it; makes and claims nothing.
 */
export async function findEmbeddedPostgres(dataDir: string): Promise<string | undefined> {
  const path = await realpath(dataDir).catch(() => undefined);
  if (path === undefined) return undefined;
  const { majorVersion } = await locateBinaries();
  const files = clusterFilesIn(path, majorVersion);
  const found = await findPostmaster(files);
  return found?.state === 'ready' ? databaseUrl(found.port, await readSecret(files)) : undefined;
}

interface StarterParts extends RunningPostgresParts {
  readonly binaries: PostgresBinaries;
  readonly runAs: RunAs;
}

class Starter {
  readonly files: ClusterFiles;
  readonly #parts: StarterParts;
  readonly #settings: string;
  #lastReason = 'processes of an earlier server are still there';

  constructor(parts: StarterParts) {
    this.#parts = parts;
    this.files = parts.files;
    this.#settings = renderSettings(parts.binaries, parts.options.durable ?? true);
  }

  static async prepare(options: EmbeddedPostgresOptions, clock: Clock): Promise<Starter> {
    const binaries = await locateBinaries();
    const files = await openDataDir(options.dataDir, binaries.majorVersion);
    const runAs = await chooseRunAs(binaries, files.dataDir, files.clusterDir);
    const durable = options.durable ?? true;
    await initializeCluster(files, binaries, { runAs, durable });
    const secret = await readSecret(files);
    return new Starter({ options, clock, binaries, files, runAs, secret });
  }

  /**
   * Looks at what is there and acts, until a server is ours: every observation may be outdated by
   * the time we act on it (a server dies, another process starts one), and then we look again.
   */
  async run(): Promise<EmbeddedPostgres> {
    const { clock } = this.#parts;
    const deadlineMs = clock.monotonicMs() + embeddedLimits.leftoversMsMax;
    let portAttempts = 0;
    for (;;) {
      const found = await findPostmaster(this.files);
      const running = found ? await this.#adopt(found) : await this.#launch();
      if (running === 'port' && ++portAttempts >= embeddedLimits.portAttemptsMax) {
        throw this.#busy('no port on 127.0.0.1 stays free for it');
      }
      if (running instanceof RunningPostgres) return running;
      if (clock.monotonicMs() >= deadlineMs) throw this.#busy(this.#lastReason);
      await delay(embeddedLimits.ownershipRetryMs);
    }
  }

  async #launch(): Promise<RunningPostgres | 'port' | undefined> {
    await removeStalePidFile(this.files);
    await writeSettings(this.files, this.#settings, this.#parts.runAs);
    const launched = await launchPostmaster(this.files, {
      ...this.#parts,
      stopWithParent: this.#parts.options.stopWithParent ?? false,
    });
    if (launched.outcome === 'ready') return await this.#claim(launched.postmaster, false);
    return launched.outcome === 'port' ? 'port' : undefined;
  }

  /** Deals with a server that is there already. Undefined: it is gone or changed, look again. */
  async #adopt(found: Postmaster): Promise<RunningPostgres | undefined> {
    const { clock } = this.#parts;
    if (found.state === 'stopping') {
      const deadlineMs = clock.monotonicMs() + embeddedLimits.fastStopMsMax;
      if (!(await waitUntilGone(found.pid, this.files, deadlineMs, clock))) {
        await stopPostmaster(found.pid, this.files, { mode: 'immediate', clock });
      }
      return undefined;
    }
    if (found.state === 'starting') {
      const deadlineMs = clock.monotonicMs() + embeddedLimits.startMsMax;
      while ((await findPostmaster(this.files))?.state === 'starting') {
        if (clock.monotonicMs() >= deadlineMs) throw this.#busy('it does not finish starting');
        await delay(embeddedLimits.pollMs);
      }
      return undefined;
    }
    // Another release's binaries or settings: ours are to run, once the claim says we may.
    const current = (await readSettings(this.files)) === this.#settings;
    const owned = await this.#claim(found, true);
    if (current || owned === undefined) return owned;
    await owned.stop('fast');
    return undefined;
  }

  async #claim(postmaster: Postmaster, takenOver: boolean): Promise<RunningPostgres | undefined> {
    const running = new RunningPostgres(this.#parts, postmaster, takenOver);
    const claim = await running.claim();
    if (claim.outcome === 'in-use') throw dataDirInUse(this.files.dataDir, claim.holder);
    if (claim.outcome === 'unreachable') {
      this.#lastReason = claim.reason;
      return undefined;
    }
    await removeLeftovers(this.files, this.#parts.clock.wallMs());
    this.files.log.startBounding();
    return running;
  }

  #busy(reason: string): OperatingError {
    return new OperatingError(
      'EMBEDDED_POSTGRES_BUSY',
      `the embedded PostgreSQL in ${this.files.dataDir} can't be started: ${reason}`,
    );
  }
}
