import { invariant } from '@kafscale/core';

/**
 * The states of a classic group, as Kafka's ClassicGroupState names them. DescribeGroups and
 * ListGroups send these names.
 */
export const groupStates = {
  /** No members; maybe offsets. */
  empty: 'Empty',
  /** A rebalance has begun: members must (re)join; JoinGroup requests wait. */
  preparingRebalance: 'PreparingRebalance',
  /** Everybody knows the new generation; SyncGroup requests wait for the leader's assignment. */
  completingRebalance: 'CompletingRebalance',
  /** Every member has, or can ask for, its assignment. */
  stable: 'Stable',
  /** This process gave the group up. Terminal. */
  dead: 'Dead',
} as const;

export type GroupState = (typeof groupStates)[keyof typeof groupStates];

const edges: Readonly<Record<GroupState, readonly GroupState[]>> = {
  Empty: ['PreparingRebalance', 'Dead'],
  PreparingRebalance: ['CompletingRebalance', 'Empty', 'Dead'],
  CompletingRebalance: ['Stable', 'PreparingRebalance', 'Dead'],
  Stable: ['PreparingRebalance', 'Dead'],
  Dead: [],
};

/** The one place where a group's state changes. */
export function nextGroupState(from: GroupState, to: GroupState): GroupState {
  invariant(edges[from].includes(to), `a group does not go from ${from} to ${to}`);
  return to;
}

export function canRebalance(state: GroupState): boolean {
  return edges[state].includes(groupStates.preparingRebalance);
}
