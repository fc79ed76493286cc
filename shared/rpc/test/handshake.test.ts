import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { encodeFrameHeader, frameKind, parseFrame } from '../src/protocol/frames.js';
import {
  answerChallenge,
  checkHello,
  encodeChallenge,
  newNonce,
  proofHeader,
  upgradeProof,
  upgradeProofHolds,
  welcomeHolds,
} from '../src/protocol/handshake.js';
import type { RpcService } from '../src/index.js';
import { adapters, cleanup, failureOf, link, secret, serve, until, some } from './support.js';

const service: RpcService = {
  calls: new Map([[1, (payload) => Promise.resolve([payload])]]),
  streams: new Map(),
};
const caller = { nodeId: 3, role: 'fetch', linkClass: 'fetch' };

function rawSocket(url: string, path = '/rpc/test'): WebSocket {
  const socket = new WebSocket(`${url}${path}`, {
    headers: { [proofHeader]: upgradeProof(secret, path) },
  });
  cleanup(() => socket.terminate());
  return socket;
}

async function nextFrame(socket: WebSocket): Promise<{ kind: number; text: string }> {
  const [data] = await once(socket, 'message');
  const frame = parseFrame(data as Buffer);
  return { kind: some(frame).kind, text: some(frame).payload.toString() };
}

describe('the proofs', () => {
  test('both sides that share the secret believe each other', () => {
    const serverNonce = newNonce();
    const answer = answerChallenge(secret, encodeChallenge(serverNonce), caller);
    const checked = checkHello(secret, serverNonce, answer.hello);
    if ('refusal' in checked) throw new Error(checked.refusal);
    expect(checked.caller).toEqual(caller);
    expect(welcomeHolds(checked.welcome, answer.expectedWelcome)).toBe(true);
  });

  test('another secret, another nonce, another identity and a reflected mac do not hold', () => {
    const serverNonce = newNonce();
    const { hello, expectedWelcome } = answerChallenge(
      secret,
      encodeChallenge(serverNonce),
      caller,
    );
    expect(checkHello('other', serverNonce, hello)).toHaveProperty('refusal');
    expect(checkHello(secret, newNonce(), hello)).toHaveProperty('refusal');
    const told = JSON.parse(hello.toString());
    const forged = Buffer.from(JSON.stringify({ ...told, nodeId: 4 }));
    expect(checkHello(secret, serverNonce, forged)).toHaveProperty('refusal');
    const reflected = Buffer.from(JSON.stringify({ mac: told.mac }));
    expect(welcomeHolds(reflected, expectedWelcome)).toBe(false);
    for (const text of ['', '{', 'null', '[]', '{"version":1}', '{"version":1,"nonce":1}']) {
      expect(checkHello(secret, serverNonce, Buffer.from(text))).toHaveProperty('refusal');
    }
  });

  test('a proof is for one path and one secret, and never contains the secret', () => {
    const proof = upgradeProof(secret, '/rpc/ingest');
    expect(proof).not.toContain(secret);
    expect(upgradeProofHolds(secret, '/rpc/ingest', proof)).toBe(true);
    expect(upgradeProofHolds(secret, '/rpc/fetch', proof)).toBe(false);
    expect(upgradeProofHolds('other', '/rpc/ingest', proof)).toBe(false);
    for (const bad of [undefined, '', '.', 'a.b', 'a']) {
      expect(upgradeProofHolds(secret, '/rpc/ingest', bad)).toBe(false);
    }
  });
});

describe.each(adapters)('handshakes on $name', ({ start }) => {
  test('a caller without the secret is refused with one line on either side', async () => {
    const { url, serverLog } = await serve(start, service);
    const { link: client, log } = link(url, {
      secret: 'wrong',
      bounds: {
        reconnectWaitMsMax: 50,
        reconnectBackoffMsMin: 600_000,
        reconnectBackoffMsMax: 600_000,
      },
    });
    await until(() => log.length > 0);
    const failure = await failureOf(client.call(1, []));
    expect(failure).toMatchObject({ code: 'LINK_DOWN', outcome: 'failed' });
    expect(failure.message).toContain('cluster secret');
    expect(serverLog).toHaveLength(1);
    expect(serverLog[0]).toMatchObject({ level: 'warn', message: 'link refused' });
    expect(log).toHaveLength(1);
    expect(JSON.stringify([log, serverLog])).not.toContain(secret);
  });

  test('another protocol version is refused, and says both versions', async () => {
    const { url, serverLog } = await serve(start, service);
    const socket = rawSocket(url);
    expect(await nextFrame(socket)).toMatchObject({ kind: frameKind.challenge });
    const hello = Buffer.from(JSON.stringify({ version: 999, nonce: 'n', mac: 'm' }));
    socket.send(Buffer.concat([encodeFrameHeader(frameKind.hello, 0, 0), hello]));
    const answer = await nextFrame(socket);
    expect(answer.kind).toBe(frameKind.refused);
    expect(answer.text).toContain('999');
    await once(socket, 'close');
    expect(serverLog).toHaveLength(1);
    expect(String(some(serverLog[0]).fields['reason'])).toContain('999');
  });

  test('a call before the hello, a short message and an unknown kind close the link', async () => {
    const { url } = await serve(start, service);
    for (const message of [encodeFrameHeader(frameKind.call, 1, 1), Buffer.from([1, 2, 3])]) {
      const socket = rawSocket(url);
      await nextFrame(socket);
      socket.send(message);
      await once(socket, 'close');
    }
    const text = rawSocket(url);
    await nextFrame(text);
    text.send('text');
    await once(text, 'close');
  });

  test('a peer that never says hello is dropped', async () => {
    const { url, serverLog } = await serve(start, service, { bounds: { handshakeMsMax: 50 } });
    const socket = rawSocket(url);
    await once(socket, 'close');
    expect(serverLog[0]?.fields['reason']).toBe('no hello arrived in time');
  });

  test('a silent peer is dropped after the handshake', async () => {
    const { url, serverLog } = await serve(start, service, {
      bounds: { heartbeatMs: 20, silenceMsMax: 60 },
    });
    const socket = rawSocket(url);
    const [challenge] = await once(socket, 'message');
    const { hello } = answerChallenge(
      secret,
      some(parseFrame(challenge as Buffer)).payload,
      caller,
    );
    socket.send(Buffer.concat([encodeFrameHeader(frameKind.hello, 0, 0), hello]));
    await once(socket, 'close');
    expect(serverLog.at(-1)).toMatchObject({ message: 'link closed: the caller is silent' });
    expect(serverLog.at(-1)?.fields).toMatchObject({ role: 'fetch', nodeId: 3 });
  });

  test('an unknown path is refused', async () => {
    const { url } = await serve(start, service);
    const { link: client, log } = link(url, { path: '/rpc/other' });
    await until(() => log.length > 0);
    expect(client.isUp).toBe(false);
  });

  test('more handshakes at once than the bound are refused', async () => {
    const { url, serverLog } = await serve(start, service, { bounds: { handshakesPendingMax: 1 } });
    const first = rawSocket(url);
    await nextFrame(first);
    const second = rawSocket(url);
    const [error] = await once(second, 'error');
    expect(String(error)).toContain('401');
    expect(serverLog[0]?.fields['reason']).toBe('too many handshakes at once');
  });
});
