import { limits } from '@kafscale/core';
import { startFront } from '@kafscale/front';
import type { Front } from '@kafscale/front';
import type { PartContext } from './part-context.js';

export function startFrontOf(context: PartContext): Promise<Front> {
  const { config, log, metrics, neighbours } = context;
  return startFront({
    host: config.kafkaHost,
    port: config.kafkaPort,
    directory: neighbours.directory,
    zone: config.zone,
    log,
    metrics,
    limits: {
      requestBytesInFlightMax: config.requestBytesInFlightMax,
      connectionsMax: limits.connectionsMax,
    },
  });
}
