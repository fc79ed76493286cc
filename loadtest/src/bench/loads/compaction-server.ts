import { join } from 'node:path';
import { OperatingError } from '@kafscale/core';
import { freePorts } from '../../clients/server-process.js';
import type { BenchServer } from '../../peers/bench-server.js';
import { repositoryRoot } from '../../peers/kafka-jars.js';
import { StartedProgram } from '../../peers/started-program.js';

/** A standalone server on a data folder that outlives it, with its metrics. */
export interface CompactionServer extends BenchServer {
  /** The sum of a metric over its labels; those that match, if any are named. */
  metric(name: string, labels?: string): Promise<number>;
}

/** Segments are merged when they are as old as the grace. Memory is cold: it starts anew. */
export async function startCompactionServer(options: {
  readonly dataDir: string;
  readonly graceMs: number;
}): Promise<CompactionServer> {
  const [kafkaPort = 0, httpPort = 0] = await freePorts(2);
  const http = `http://127.0.0.1:${httpPort}`;
  const program = await StartedProgram.start({
    command: process.execPath,
    arguments: [join(repositoryRoot, 'services/standalone/bin/kafscale.js'), 'standalone'],
    environment: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      KAFSCALE_KAFKA_PORT: String(kafkaPort),
      KAFSCALE_HTTP_PORT: String(httpPort),
      KAFSCALE_DATA_DIR: options.dataDir,
      KAFSCALE_COMPACTION_GRACE_MS: String(options.graceMs),
    },
    isReady: () => isReady(`${http}/health/ready`),
  });
  return {
    name: 'KafScale',
    description: 'kafscale standalone, local files and embedded PostgreSQL, all fsynced',
    address: { host: '127.0.0.1', port: kafkaPort },
    rootPids: [program.pid],
    metric: async (name, labels = '') => sumOf(await readText(`${http}/metrics`), name, labels),
    dispose: () => program.stop(),
  };
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

async function readText(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new OperatingError('METRICS_UNREADABLE', `${url}: ${response.status}`);
  return await response.text();
}

function sumOf(text: string, name: string, labels: string): number {
  const lines = text.split('\n').filter((line) => {
    const isNamed = line.startsWith(`kafscale_${name} `) || line.startsWith(`kafscale_${name}{`);
    return isNamed && line.includes(labels);
  });
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
