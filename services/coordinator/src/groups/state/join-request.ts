import type { StoredProtocol } from '@kafscale/metadata';

/** What a JoinGroup asks of the state machine. */
export interface JoinRequest {
  readonly waiter: number;
  /** JoinGroup 4+ (KIP-394): an unknown dynamic member is told its id first. */
  readonly knownMemberIdRequired: boolean;
  /** JoinGroup 9+ (KIP-814): a static leader that rejoins a stable group may skip assigning. */
  readonly assignmentSkippable: boolean;
  /** Empty: the member has none yet. */
  readonly memberId: string;
  /** The id to use if the member has none; fresh for every request. */
  readonly generatedMemberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly protocolType: string;
  readonly protocols: readonly StoredProtocol[];
  readonly reason: string | null;
}
