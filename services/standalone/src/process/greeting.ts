import type { Config } from '@kafscale/config';
import type { ServiceName } from '../cli/index.js';
import type { StartedProcess } from './start-process.js';

/** What a person at a terminal wants to know once it runs. */
export function greeting(command: ServiceName, config: Config, started: StartedProcess): string {
  const lines = [`KafScale ${command} is ready.`];
  const { advertised, http, internalUrl } = started;
  if (advertised !== null) lines.push(`  Kafka     ${advertised.host}:${advertised.port}`);
  lines.push(`  HTTP      http://${http.host}:${http.port}/metrics, /health/ready`);
  if (internalUrl !== '') lines.push(`  Internal  ${internalUrl}`);
  if (command !== 'front') lines.push(`  Objects   ${config.storeUrl}`);
  if (command === 'standalone' || command === 'coordinator') {
    const embedded = `embedded PostgreSQL in ${config.dataDir}`;
    lines.push(`  Metadata  ${config.metadataUrl === undefined ? embedded : 'PostgreSQL'}`);
  }
  if (advertised !== null) {
    const bootstrap = `${advertised.host}:${advertised.port}`;
    lines.push(`  Try       echo hello | kcat -b ${bootstrap} -t greetings -P`);
  }
  return `${lines.join('\n')}\n`;
}
