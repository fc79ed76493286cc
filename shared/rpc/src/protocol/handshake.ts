import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { OperatingError } from '@kafscale/core';
import { parseJsonObject } from './remote-failure.js';

/**
 * How two processes of a cluster convince each other that both know the cluster secret, without
 * sending it. The upgrade request carries a proof that keeps strangers out before the server buffers
 * a byte for them; because that could be replayed, challenge, hello and welcome then prove it
 * again, in both directions, over fresh nonces of both sides.
 */
export const protocolVersion = 1;

/** Header of the upgrade request: `<nonce>.<hmac>`, both base64url. */
export const proofHeader = 'x-kafscale-proof';

/** Who calls. Told by the caller, believed because it knows the secret. */
export interface RpcCaller {
  /** −1 before the process has registered. */
  readonly nodeId: number;
  readonly role: string;
  /** Class of call, e.g. `produce`. For logs and metrics. */
  readonly linkClass: string;
}

export interface Hello extends RpcCaller {
  readonly version: number;
  readonly nonce: string;
  readonly mac: string;
}

const nonceBytes = 24;
const textLengthMax = 64;

export function newNonce(): string {
  return randomBytes(nonceBytes).toString('base64url');
}

export function upgradeProof(secret: string, path: string): string {
  const nonce = newNonce();
  return `${nonce}.${hmac(secret, ['upgrade', path, nonce])}`;
}

export function upgradeProofHolds(
  secret: string,
  path: string,
  proof: string | undefined,
): boolean {
  const [nonce, mac] = (proof ?? '').split('.');
  if (nonce === undefined || mac === undefined) return false;
  return sameText(mac, hmac(secret, ['upgrade', path, nonce]));
}

export function encodeChallenge(nonce: string): Buffer {
  return Buffer.from(JSON.stringify({ version: protocolVersion, nonce }));
}

/** Client side. Throws LINK_REFUSED when the server speaks another version. */
export function answerChallenge(
  secret: string,
  payload: Buffer,
  caller: RpcCaller,
): { readonly hello: Buffer; readonly expectedWelcome: string } {
  const challenge = parseJsonObject(payload);
  const version = challenge?.get('version');
  const serverNonce = challenge?.get('nonce');
  if (version !== protocolVersion || typeof serverNonce !== 'string') {
    throw new OperatingError('LINK_REFUSED', versionText(version), { retriable: true });
  }
  const nonce = newNonce();
  const facts = factsOf(serverNonce, nonce, caller);
  const { nodeId, role, linkClass } = caller;
  const mac = hmac(secret, ['client', ...facts]);
  const hello: Hello = { version: protocolVersion, nonce, nodeId, role, linkClass, mac };
  return {
    hello: Buffer.from(JSON.stringify(hello)),
    expectedWelcome: hmac(secret, ['server', ...facts]),
  };
}

/** Server side: who calls and what proves us to it, or why the link is refused. */
export function checkHello(
  secret: string,
  serverNonce: string,
  payload: Buffer,
): { readonly caller: RpcCaller; readonly welcome: Buffer } | { readonly refusal: string } {
  const hello = parseJsonObject(payload);
  const version = hello?.get('version');
  if (version !== protocolVersion) return { refusal: versionText(version) };
  const nonce = hello?.get('nonce');
  const mac = hello?.get('mac');
  const nodeId = hello?.get('nodeId');
  const role = shortText(hello?.get('role'));
  const linkClass = shortText(hello?.get('linkClass'));
  if (typeof nonce !== 'string' || typeof mac !== 'string' || !Number.isInteger(nodeId)) {
    return { refusal: 'the hello is malformed' };
  }
  if (role === null || linkClass === null) return { refusal: 'the hello is malformed' };
  const caller = { nodeId: Number(nodeId), role, linkClass };
  const facts = factsOf(serverNonce, nonce, caller);
  if (!sameText(mac, hmac(secret, ['client', ...facts]))) {
    return { refusal: 'the caller does not know the cluster secret' };
  }
  const welcome = { mac: hmac(secret, ['server', ...facts]) };
  return { caller, welcome: Buffer.from(JSON.stringify(welcome)) };
}

export function welcomeHolds(payload: Buffer, expected: string): boolean {
  const mac = parseJsonObject(payload)?.get('mac');
  return typeof mac === 'string' && sameText(mac, expected);
}

export function encodeRefusal(reason: string): Buffer {
  return Buffer.from(JSON.stringify({ reason }));
}

export function decodeRefusal(payload: Buffer): string {
  const reason = parseJsonObject(payload)?.get('reason');
  return typeof reason === 'string' ? reason : 'no reason given';
}

function factsOf(serverNonce: string, clientNonce: string, caller: RpcCaller): readonly string[] {
  const { nodeId, role, linkClass } = caller;
  return [String(protocolVersion), serverNonce, clientNonce, String(nodeId), role, linkClass];
}

/** JSON of a list of texts has one reading only, so no two lists share a transcript. */
function hmac(secret: string, facts: readonly string[]): string {
  return createHmac('sha256', secret).update(JSON.stringify(facts)).digest('base64url');
}

function sameText(left: string, right: string): boolean {
  const leftBytes = Buffer.from(left);
  const rightBytes = Buffer.from(right);
  return leftBytes.length === rightBytes.length && timingSafeEqual(leftBytes, rightBytes);
}

function shortText(value: unknown): string | null {
  return typeof value === 'string' && value.length <= textLengthMax ? value : null;
}

function versionText(version: unknown): string {
  return `the peer speaks link protocol ${String(version)}, this process speaks ${protocolVersion}`;
}
