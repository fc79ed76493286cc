import { connect, type Socket } from 'node:net';
import { apis } from '@kafscale/codec';
import { OperatingError, sleep } from '@kafscale/core';
import type { Address } from './frame-socket.js';
import { requestFrame } from './request-frame.js';

const apiVersionsVersion = 3;
/** Opened at a time: less than what a listen queue holds. */
const openedTogether = 100;

/**
 * Connections of clients that have said who they are and then say nothing, as those of producers
 * without records: each has had an answer.
 */
export class IdleConnections {
  readonly #sockets: Socket[] = [];
  #lost = 0;

  /** How many the server has closed. */
  get lost(): number {
    return this.#lost;
  }

  static async open(address: Address, count: number): Promise<IdleConnections> {
    const connections = new IdleConnections();
    for (let opened = 0; opened < count; opened += openedTogether) {
      const together = Math.min(openedTogether, count - opened);
      await Promise.all(Array.from({ length: together }, () => connections.#open(address)));
    }
    return connections;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) {
      socket.removeAllListeners('close');
      socket.destroy();
    }
    await sleep(100);
  }

  async #open(address: Address): Promise<void> {
    const socket = connect({ ...address, noDelay: true });
    this.#sockets.push(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('close', () => reject(new OperatingError('KAFKA_CONNECTION_LOST', 'closed')));
      socket.once('data', () => resolve());
      socket.write(greeting);
    });
    socket.removeAllListeners('error');
    socket.removeAllListeners('close');
    socket.on('error', () => {});
    socket.on('close', () => (this.#lost += 1));
    // Nothing more is expected, and what comes is of no interest.
    socket.resume();
  }
}

const greeting = requestFrame({
  api: apis.apiVersions,
  version: apiVersionsVersion,
  correlationId: 0,
  request: { clientSoftwareName: 'kafscale-raw', clientSoftwareVersion: '1' },
});
