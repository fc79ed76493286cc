import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { invariant, OperatingError } from '@kafscale/core';
import { endWithUs } from '../clients/started-children.js';

export interface S3ProxySettings {
  /** Added to the answer of every PUT, however many are under way. */
  readonly putDelayMs: number;
  /** Added before the first byte of the answer to every GET. */
  readonly getDelayMs: number;
  /** From 0 to 1: of the PUTs, chosen at random, that get 500 or 503 SlowDown and are not stored. */
  readonly failureShare: number;
}

/** Since its start; those that failed are counted too. */
export interface S3ProxyCounts {
  readonly puts: number;
  readonly putBytes: number;
  /** Lists and heads are not in it, except that a list is a GET too. */
  readonly gets: number;
  readonly getBytes: number;
  readonly failures: number;
}

export type S3ProxyMessage =
  | { readonly kind: 'set'; readonly settings: S3ProxySettings }
  | { readonly kind: 'count' };

export type S3ProxyReply =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'done'; readonly counts: S3ProxyCounts };

const proxyProcess = fileURLToPath(new URL('./s3-proxy-process.js', import.meta.url));

/**
 * A store that is further away, or ill: a proxy on loopback, in a process of its own, so that its CPU
 * time is nobody's. Signatures pass, since the Host that was signed is passed on.
 */
export class S3Proxy {
  readonly endpoint: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  #settings: S3ProxySettings = { putDelayMs: 0, getDelayMs: 0, failureShare: 0 };

  private constructor(child: ChildProcess, port: number) {
    invariant(child.pid !== undefined, 'a process that has answered has an id');
    this.#child = child;
    this.pid = child.pid;
    this.endpoint = `http://127.0.0.1:${port}`;
  }

  /** `endpoint` is the store's. */
  static async start(endpoint: string, settings: Partial<S3ProxySettings> = {}): Promise<S3Proxy> {
    const child = endWithUs(fork(proxyProcess, [endpoint], { execArgv: [] }));
    const reply = await nextReply(child);
    invariant(reply.kind === 'listening', 'the first thing that it says is its port');
    const proxy = new S3Proxy(child, reply.port);
    await proxy.set(settings);
    return proxy;
  }

  /** What is left out stays as it is. Holds for all requests that come after it resolved. */
  async set(settings: Partial<S3ProxySettings>): Promise<void> {
    this.#settings = { ...this.#settings, ...settings };
    await this.#ask({ kind: 'set', settings: this.#settings });
  }

  async counts(): Promise<S3ProxyCounts> {
    return await this.#ask({ kind: 'count' });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }

  async #ask(message: S3ProxyMessage): Promise<S3ProxyCounts> {
    const replied = nextReply(this.#child);
    this.#child.send(message);
    const reply = await replied;
    invariant(reply.kind === 'done', 'a message gets a reply');
    return reply.counts;
  }
}

async function nextReply(child: ChildProcess): Promise<S3ProxyReply> {
  const waiting = new AbortController();
  const { signal } = waiting;
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([reply]) => reply as S3ProxyReply),
      once(child, 'exit', { signal }).then(([code]) => {
        throw new OperatingError('S3_PROXY_ENDED', `the S3 proxy ended with ${String(code)}`);
      }),
    ]);
  } finally {
    waiting.abort();
  }
}
