import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkInternalListener } from '@kafscale/config';
import { limits } from '@kafscale/core';
import { createLogger } from '@kafscale/telemetry';
import type { Logger } from '@kafscale/telemetry';
import type { CommandContext, ServiceName } from '../cli/index.js';
import { Closers } from './closers.js';
import { greeting } from './greeting.js';
import { startProcess } from './start-process.js';

/** Runs a service command until the process is told to stop; resolves with the exit code. */
export async function runRoles(command: ServiceName, context: CommandContext): Promise<number> {
  const { config } = context.loaded;
  checkInternalListener(config);
  const log = createLogger({
    level: config.logLevel,
    format: config.logFormat,
    fields: { service: command },
  });
  const stop = stopSignal();
  const closers = new Closers(log);
  let lost: Error | null = null;
  const onLost = (error: Error): void => {
    lost = error;
    log.fatal({ err: error }, 'the process can not go on');
    stop.ask('lost');
  };
  try {
    const starting = startProcess({ command, config, log, closers, onLost });
    const started = await Promise.race([starting, stop.asked.then(() => null)]);
    if (started !== null) context.stdout.write(greeting(command, config, started));
    const reason = await stop.asked;
    log.info({ reason }, 'stopping');
    armWatchdog(log);
    if (started === null) await endStart(starting, closers, log);
    else {
      started.beginDrain();
      // Long polls that it has ended are answered before the front aborts the rest.
      await nextTurn();
    }
  } finally {
    await closers.closeAll();
  }
  log.info({}, 'stopped');
  return lost === null ? 0 : 1;
}

function armWatchdog(log: Logger): void {
  const watchdog = setTimeout(() => {
    log.error({ shutdownMsMax: limits.shutdownMsMax }, 'the shutdown takes too long; exiting');
    process.exit(1);
  }, limits.shutdownMsMax);
  watchdog.unref();
}

/**
 * Told to stop before it was ready. A start can wait for as long as its coordinator is away, so what
 * it waits with is closed under it. What it has begun, such as a database server, it must finish, or
 * that would be left behind: the caller closes what it has added by then.
 */
async function endStart(starting: Promise<unknown>, closers: Closers, log: Logger): Promise<void> {
  await closers.closeAll();
  await starting.catch((error: unknown) => {
    log.debug({ err: error }, 'the start was cut short');
  });
}

interface StopSignal {
  /** Resolves at the first SIGINT or SIGTERM, or when asked. */
  readonly asked: Promise<string>;
  ask(reason: string): void;
}

/** The second signal ends the process at once. */
function stopSignal(): StopSignal {
  let ask: (reason: string) => void = () => undefined;
  const asked = new Promise<string>((resolve) => {
    ask = resolve;
  });
  let signals = 0;
  const onSignal = (signal: string): void => {
    signals += 1;
    if (signals > 1) process.exit(130);
    ask(signal);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return { asked, ask };
}
