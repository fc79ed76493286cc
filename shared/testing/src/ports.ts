import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { OperatingError } from '@kafscale/core';

/**
 * Ports below the range that the system takes for outgoing connections: a server that is killed and
 * started again finds its port free, and a client that dials a closed port can't reach itself.
 * Every process takes ports of a block of its own, and listens on its first one as long as it lives.
 */
const firstPort = 20_000;
const blockPorts = 100;
const blocks = 120;

let next: Promise<number> | null = null;

/**
 * A port of loopback that nobody listens on, never given out twice by this process, nor by another one
 * while it lives. NO_FREE_PORT.
 */
export async function takePort(): Promise<number> {
  const taken = (next ?? takeBlock()).then(freeFrom);
  next = taken.then((port) => port + 1);
  next.catch(() => undefined); // whoever asks next hears of it
  return taken;
}

/** The second port of a block whose first one nobody else holds. */
async function takeBlock(): Promise<number> {
  for (let attempt = 0; attempt < blocks; attempt += 1) {
    const port = firstPort + ((process.pid + attempt) % blocks) * blockPorts;
    // oxlint-disable-next-line no-await-in-loop
    const lock = await listen(port);
    if (lock === null) continue;
    lock.unref();
    return port + 1;
  }
  throw new OperatingError('NO_FREE_PORT', 'other processes hold all ports for tests');
}

async function freeFrom(first: number): Promise<number> {
  for (let port = first; (port - firstPort) % blockPorts > 0; port += 1) {
    // oxlint-disable-next-line no-await-in-loop
    const server = await listen(port);
    if (server === null) continue;
    // oxlint-disable-next-line no-await-in-loop
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
  throw new OperatingError('NO_FREE_PORT', `no free port from ${first} on`);
}

/** null: somebody else does. */
function listen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => {
      resolve(null);
    });
    server.listen(port, '127.0.0.1', () => {
      resolve(server);
    });
  });
}
