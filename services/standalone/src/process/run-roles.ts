import { checkInternalListener } from '@kafscale/config';
import { limits } from '@kafscale/core';
import { createLogger } from '@kafscale/telemetry';
import type { CommandContext, ServiceName } from '../cli/command.js';
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
  const stopping = stopSignal();
  const closers = new Closers(log);
  try {
    const started = await startProcess({ command, config, log, closers });
    context.stdout.write(greeting(command, config, started));
    const reason = await stopping;
    log.info({ reason }, 'stopping');
    const watchdog = setTimeout(() => {
      log.error({ drainMsMax: limits.drainMsMax }, 'the drain takes too long; exiting');
      process.exit(1);
    }, limits.drainMsMax + limits.drainMsMax);
    watchdog.unref();
    started.beginDrain();
  } finally {
    await closers.closeAll();
  }
  log.info({}, 'stopped');
  return 0;
}

/** Resolves at the first SIGINT or SIGTERM; the second one ends the process at once. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: string): void => {
      if (asked) process.exit(130);
      asked = true;
      resolve(signal);
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}
