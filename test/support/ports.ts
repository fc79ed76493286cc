import { createServer } from 'node:net';

/**
 * Ports below the range that the system takes for outgoing connections: a server that is killed and
 * started again finds its port free, and a client that dials a closed port can't reach itself.
 * Every test process looks in a block of its own.
 */
const firstPort = 20_000;
const blockPorts = 100;
const blocks = 120;

let next = firstPort + (process.pid % blocks) * blockPorts;

/** A port of loopback that nobody listens on, never given out twice by this process. */
export async function takePort(): Promise<number> {
  for (let attempt = 0; attempt < blockPorts; attempt += 1) {
    const port = next;
    next += 1;
    // oxlint-disable-next-line no-await-in-loop
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port near ${next}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen(port, '127.0.0.1', () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
