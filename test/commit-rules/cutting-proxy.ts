import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { cleanup } from './cleanup.js';

/**
 * What becomes of the next COMMIT. The caller loses its connection in all of them.
 * `dropped`: the server never gets it. `done`: it is carried out, and the answer does not come back.
 * `late`: it is on the way and reaches the server only when `deliverLate` is called.
 */
export type Cut = 'dropped' | 'done' | 'late';

/** Passes bytes between a metadata store and PostgreSQL, and cuts one connection at a COMMIT. */
export class CuttingProxy {
  readonly url: string;
  cuts = 0;
  readonly #sockets: Set<Socket>;
  #next: { readonly cut: Cut | 'held'; readonly mark: string } | null = null;
  #late: (() => void) | null = null;

  private constructor(url: string, sockets: Set<Socket>) {
    this.url = url;
    this.#sockets = sockets;
  }

  static async start(target: string): Promise<CuttingProxy> {
    const targetUrl = new URL(target);
    const sockets = new Set<Socket>();
    const server: Server = createServer((client) => proxy.#pass(client, targetUrl));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    const url = new URL(target);
    url.host = `127.0.0.1:${address.port}`;
    const proxy = new CuttingProxy(url.href, sockets);
    cleanup(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return proxy;
  }

  /** The COMMIT of the next transaction that has `mark` among its parameters. */
  cutCommitOf(mark: string, cut: Cut): void {
    this.#next = { cut, mark };
  }

  /** The same COMMIT waits on the way, and nobody's connection ends, until `deliverLate`. */
  holdCommitOf(mark: string): void {
    this.#next = { cut: 'held', mark };
  }

  get holdsCommit(): boolean {
    return this.#late !== null;
  }

  deliverLate(): void {
    this.#late?.();
    this.#late = null;
  }

  #pass(client: Socket, target: URL): void {
    const upstream = connect(Number(target.port), target.hostname);
    this.#sockets.add(client).add(upstream);
    let cutting: Cut | null = null;
    let isMarked = false;
    const lose = (): void => {
      this.cuts += 1;
      client.destroy();
    };
    client.on('data', (bytes: Buffer) => {
      if (bytes.includes('BEGIN')) isMarked = false;
      isMarked ||= this.#next !== null && bytes.includes(this.#next.mark);
      if (this.#next === null || !isMarked || !bytes.includes('COMMIT')) {
        return void upstream.write(bytes);
      }
      const { cut } = this.#next;
      this.#next = null;
      if (cut === 'held') {
        client.pause();
        this.#late = () => {
          upstream.write(bytes);
          client.resume();
        };
        return;
      }
      cutting = cut;
      if (cutting === 'done') return void upstream.write(bytes);
      if (cutting === 'late') this.#late = () => upstream.end(bytes);
      return lose();
    });
    upstream.on('data', (bytes) => {
      if (cutting === null) client.write(bytes);
      // The command tag of a COMMIT that was done.
      else if (cutting === 'done' && bytes.includes('COMMIT\0')) {
        upstream.destroy();
        lose();
      }
    });
    client.on('close', () => {
      if (cutting !== 'late') upstream.destroy();
    });
    upstream.on('close', () => client.destroy());
    client.on('error', () => {});
    upstream.on('error', () => {});
  }
}
