import { isIP, isIPv4 } from 'node:net';
import { OperatingError } from '@kafscale/core';
import type { Config } from './config.js';

/** Whether a listener on this host can only be reached from this machine. */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith('127.');
  if (isIP(host) === 6) return /^(0*:)*:?0*1$/.test(host) || /^::ffff:127\./i.test(host);
  return host.toLowerCase() === 'localhost';
}

/** Whether this stands for every address of the machine, so that nobody can connect to it by name. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || (isIP(host) === 6 && /^[0:]+$/.test(host));
}

/**
 * For a role, before it opens its internal listener. Whoever reaches that listener speaks for any
 * client, so beyond loopback it needs the secret. CLUSTER_SECRET_REQUIRED, CONFIG_INVALID.
 */
export function checkInternalListener(config: Config): void {
  if (!isLoopback(config.internalHost) && config.clusterSecret === undefined) {
    throw new OperatingError(
      'CLUSTER_SECRET_REQUIRED',
      `the internal listener would be open beyond loopback on ${config.internalHost}: ` +
        'set KAFSCALE_CLUSTER_SECRET',
    );
  }
  if (isWildcard(config.internalAdvertisedHost)) {
    throw new OperatingError(
      'CONFIG_INVALID',
      `no other process can connect to ${config.internalAdvertisedHost}: ` +
        'set KAFSCALE_INTERNAL_ADVERTISED_HOST',
    );
  }
}

/** For roles that reach the cluster through a coordinator. CONFIG_INVALID. */
export function requireCoordinatorUrl(config: Config): string {
  if (config.coordinatorUrl !== undefined) return config.coordinatorUrl;
  throw new OperatingError(
    'CONFIG_INVALID',
    'which coordinator? Set --coordinator-url or KAFSCALE_COORDINATOR_URL',
  );
}
