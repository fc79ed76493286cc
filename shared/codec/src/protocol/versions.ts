import { invariant } from '@kafscale/core';

/** Versions as Kafka's message definitions write them: `3+`, `0-7`, `4`. */
export type VersionRange = `${number}+` | `${number}-${number}` | `${number}`;

/** Inclusive on both ends. */
export interface Versions {
  readonly min: number;
  readonly max: number;
}

export const noVersions: Versions = { min: 0, max: -1 };
export const allVersions: Versions = { min: 0, max: 0x7fff };

const pattern = /^(?<min>\d+)(?:(?<open>\+)|-(?<max>\d+))?$/;

export function parseVersions(range: VersionRange): Versions {
  const groups = pattern.exec(range)?.groups;
  invariant(groups, `"${range}" is no version range`);
  const min = Number(groups['min']);
  if (groups['open'] !== undefined) return { min, max: allVersions.max };
  const max = groups['max'] === undefined ? min : Number(groups['max']);
  invariant(min <= max, `"${range}" is an empty version range`);
  return { min, max };
}

export function includesVersion(versions: Versions, version: number): boolean {
  return version >= versions.min && version <= versions.max;
}
