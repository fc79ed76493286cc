import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { takePort } from '@kafscale/testing';
import { describe, expect, test } from 'vitest';
import type { RpcService } from '../src/index.js';
import { adapters, cleanup, failureOf, gate, link, secret, serve, until, some } from './support.js';

const noStreams = new Map();
const payload = Buffer.from('payload');
/** Three of them are more than a live process on a busy machine needs for an answer. */
const heartbeatMs = 700;

/** On a port that no outgoing connection can have when the next server wants it. */
async function spawnServer(
  wanted?: number,
): Promise<{ child: ChildProcess; port: number; url: string }> {
  const port = wanted ?? (await takePort());
  const script = fileURLToPath(new URL('fixtures/server-process.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, String(port), secret], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanup(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  await once(some(child.stdout), 'data'); // it listens
  return { child, port, url: `ws://127.0.0.1:${port}` };
}

describe('a link to a process that dies', () => {
  test('killed mid-call: outcome unknown; the link heals when it comes back', async () => {
    const { child, port, url } = await spawnServer();
    // The call below waits for as long as another process takes to start.
    const { link: client, log } = link(url, { bounds: { reconnectWaitMsMax: 120_000 } });
    expect((await client.call(1, [payload])).toString()).toBe('payload');
    const inFlight = failureOf(client.call(2, [payload]));
    await client.call(1, [payload]); // behind it: the hanging call has arrived
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    expect(await inFlight).toMatchObject({
      code: 'LINK_LOST',
      outcome: 'unknown',
      retriable: true,
    });
    const whileDown = client.call(1, [Buffer.from('waited')]);
    await spawnServer(port);
    expect((await whileDown).toString()).toBe('waited');
    expect(log.filter((line) => line.message === 'link up')).toHaveLength(2);
  });

  test('stopped: missed heartbeats fail what is in flight as unknown', async () => {
    const { child, url } = await spawnServer();
    const { link: client, log } = link(url, {
      bounds: { heartbeatMs, heartbeatMissesMax: 3, reconnectWaitMsMax: 100 },
    });
    expect((await client.call(1, [payload])).toString()).toBe('payload');
    const hanging = failureOf(client.call(2, [payload]));
    await new Promise((resolve) => setTimeout(resolve, 5 * heartbeatMs));
    expect(client.isUp).toBe(true); // idle but alive: heartbeats are answered
    child.kill('SIGSTOP');
    expect(await hanging).toMatchObject({ code: 'LINK_LOST', outcome: 'unknown' });
    expect(await failureOf(client.call(1, [payload]))).toMatchObject({
      code: 'LINK_DOWN',
      outcome: 'failed',
    });
    expect(log.at(-1)?.fields['reason'] ?? log.map((line) => line.fields['reason'])).toBeDefined();
    expect(log.some((line) => String(line.fields['reason']).includes('sign of life'))).toBe(true);
    child.kill('SIGCONT');
    await until(() => client.isUp);
    expect((await client.call(1, [payload])).toString()).toBe('payload');
  });

  test('a stopped peer is noticed also while bytes are queued for it', async () => {
    const { child, url } = await spawnServer();
    const { link: client } = link(url, { bounds: { heartbeatMs, heartbeatMissesMax: 3 } });
    await client.call(1, [payload]);
    child.kill('SIGSTOP');
    const big = failureOf(client.call(1, [Buffer.alloc(40 * 1024 * 1024)]));
    expect(await big).toMatchObject({ code: 'LINK_LOST', outcome: 'unknown' });
  });

  test('nobody listens: the call never left, so it failed, after a bounded wait', async () => {
    const { child, url } = await spawnServer();
    child.kill('SIGKILL');
    await once(child, 'exit');
    const { link: client, log } = link(url, { bounds: { reconnectWaitMsMax: 300 } });
    await until(() => log.length > 0);
    const failures = await Promise.all(
      Array.from({ length: 10 }, () => failureOf(client.call(1, [payload]))),
    );
    for (const failure of failures) {
      expect(failure).toMatchObject({ code: 'LINK_DOWN', outcome: 'failed', retriable: true });
    }
    // Several attempts, one line: the same reason is not repeated.
    expect(log).toHaveLength(1);
    expect(log[0]).toMatchObject({ level: 'warn', message: 'link down' });
  });

  test('an aborted call that waits for the link never left', async () => {
    const { link: client } = link('ws://127.0.0.1:9');
    const controller = new AbortController();
    const call = failureOf(client.call(1, [payload], { signal: controller.signal }));
    controller.abort();
    expect(await call).toMatchObject({ code: 'CANCELLED', outcome: 'failed' });
  });

  test('a closed link refuses; what was in flight is unknown, what waited is failed', async () => {
    const { url } = await spawnServer();
    const { link: client } = link(url, { bounds: { callsInFlightMax: 1 } });
    await client.call(1, [payload]);
    const sent = failureOf(client.call(2, [payload]));
    const waiting = failureOf(client.call(1, [payload]));
    client.close();
    expect(await sent).toMatchObject({ code: 'LINK_LOST', outcome: 'unknown' });
    expect(await waiting).toMatchObject({ code: 'LINK_CLOSED', outcome: 'failed' });
    expect(await failureOf(client.call(1, []))).toMatchObject({ code: 'LINK_CLOSED' });
  });
});

describe.each(adapters)('closing a server on $name', ({ start }) => {
  test('calls in flight are answered, later ones certainly not begun', async () => {
    const release = gate();
    let begun = 0;
    const service: RpcService = {
      calls: new Map([
        [
          1,
          async (bytes) => {
            begun += 1;
            await release.opened;
            return [bytes];
          },
        ],
      ]),
      streams: noStreams,
    };
    const { server, url } = await serve(start, service);
    const { link: client } = link(url, { bounds: { reconnectWaitMsMax: 100 } });
    await until(() => client.isUp);
    const early = [1, 2, 3].map(() => client.call(1, [payload]));
    await until(() => begun === 3);
    const closed = server.close(10_000);
    // Sent before the goodbye can have arrived, so it crosses it on the way.
    const crossing = await failureOf(client.call(1, [payload]));
    expect(crossing).toMatchObject({ code: 'LINK_CLOSING', outcome: 'failed', retriable: true });
    const late = await failureOf(client.call(1, [payload]));
    expect(late).toMatchObject({ code: 'LINK_DOWN', outcome: 'failed' });
    release.open();
    expect((await Promise.all(early)).map(String)).toEqual(['payload', 'payload', 'payload']);
    await closed;
    expect(begun).toBe(3);
  });

  test('the abort signals of a caller that vanishes fire', async () => {
    let aborted = false;
    let begun = false;
    const { url } = await serve(start, {
      calls: new Map([
        [
          1,
          (_, context) => {
            begun = true;
            return new Promise((resolve) => {
              context.signal.addEventListener('abort', () => {
                aborted = true;
                resolve([payload]);
              });
            });
          },
        ],
      ]),
      streams: noStreams,
    });
    const { link: client } = link(url);
    const call = failureOf(client.call(1, []));
    await until(() => begun);
    client.close();
    expect(await call).toMatchObject({ code: 'LINK_LOST' });
    await until(() => aborted);
  });
});
