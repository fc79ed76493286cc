import { createLogger, Metrics } from '@kafscale/telemetry';
import { afterEach, describe, expect, it } from 'vitest';

import { startFront } from '../src/front.js';
import type { Front } from '../src/front.js';
import { NodeDirectory } from '../src/node-directory.js';
import { echoService, framed, metadata, TestClient, until } from './scripted.js';

let front: Front | undefined;
afterEach(() => front?.close({ drainMs: 0 }));

describe('with the real logger and metrics', () => {
  it('shows what happened', async () => {
    const metrics = new Metrics({ processMetrics: false });
    const lines: string[] = [];
    const log = createLogger({ level: 'info', format: 'json', write: (line) => lines.push(line) });
    const coordinator = echoService();
    const directory = new NodeDirectory([{ nodeId: 1, zone: 'a', coordinator }]);
    front = await startFront({ host: '127.0.0.1', port: 0, zone: 'a', directory, log, metrics });
    const client = await TestClient.connect(front.address.port);
    client.write(metadata(0), framed(Buffer.alloc(8, 0x7f)));
    await client.untilClosed();
    await until(() => lines.length > 0);

    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      level: 'warn',
      reason: 'unknown_api',
      requests: 2,
    });
    const { body } = await metrics.render();
    expect(body).toContain('kafscale_front_requests_total{api="Metadata"} 1');
    expect(body).toContain('kafscale_front_request_seconds_count{api="Metadata"} 1');
    expect(body).toContain('kafscale_front_connections_total{outcome="accepted"} 1');
    expect(body).toContain('kafscale_front_request_bytes_in_flight 0');
  });

  it('shows the stack of a failure that nobody expected', async () => {
    const lines: string[] = [];
    const log = createLogger({ level: 'info', format: 'json', write: (line) => lines.push(line) });
    const coordinator = echoService();
    coordinator.onCall = (call) => call.fail(new TypeError('unexpected'));
    const directory = new NodeDirectory([{ nodeId: 1, zone: 'a', coordinator }]);
    const metrics = new Metrics({ processMetrics: false });
    front = await startFront({ host: '127.0.0.1', port: 0, zone: 'a', directory, log, metrics });
    const client = await TestClient.connect(front.address.port);
    client.write(metadata(0));
    await client.untilClosed();
    expect(JSON.parse(lines[0]!)).toMatchObject({
      reason: 'service_failed',
      err: { type: 'TypeError', stack: expect.stringContaining('telemetry.test') },
    });
  });
});
