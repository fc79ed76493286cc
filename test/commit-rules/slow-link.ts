import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { cleanup } from './cleanup.js';

/** A way for bytes between two processes, on which they can be held up, and which can be cut. */
export class SlowLink {
  readonly url: string;
  cuts = 0;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #isHeld = false;

  private constructor(target: URL, url: string) {
    this.#target = target;
    this.url = url;
  }

  static async start(target: string): Promise<SlowLink> {
    const server = createServer((client) => link.#pass(client));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    const url = new URL(target);
    url.host = `127.0.0.1:${address.port}`;
    const link = new SlowLink(new URL(target), url.href.replace(/\/$/, ''));
    cleanup(() => {
      for (const socket of link.#sockets) socket.destroy();
      server.close();
    });
    return link;
  }

  /** What the target sends stays on the way, until `deliver`. */
  hold(): void {
    this.#isHeld = true;
    for (const socket of this.#sockets) socket.pause();
  }

  deliver(): void {
    this.#isHeld = false;
    for (const socket of this.#sockets) socket.resume();
  }

  /** Every connection ends, and what is on its way is lost. */
  cut(): void {
    if (this.#sockets.size > 0) this.cuts += 1;
    for (const socket of this.#sockets) socket.destroy();
  }

  #pass(client: Socket): void {
    const upstream = connect(Number(this.#target.port), this.#target.hostname);
    this.#sockets.add(upstream);
    client.on('data', (bytes) => upstream.write(bytes));
    upstream.on('data', (bytes) => client.write(bytes));
    if (this.#isHeld) upstream.pause();
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => {
      this.#sockets.delete(upstream);
      client.destroy();
    });
    client.on('error', () => {});
    upstream.on('error', () => {});
  }
}
