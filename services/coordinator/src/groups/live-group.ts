import { errorCodes } from '@kafscale/codec';
import { invariant, limits } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { StoredGroup } from '@kafscale/metadata';
import type { CoordinatorLog } from '../observability.js';
import { kafkaErrorCode } from './group-errors.js';
import type { Scheduler } from './scheduler.js';
import type { ClassicGroup } from './state/classic-group.js';
import type {
  GroupEffect,
  JoinAnswer,
  LeaveAnswer,
  LeaveRequest,
  MemberRequest,
  PersistTicket,
  SyncAnswer,
  SyncRequest,
} from './state/effects.js';
import type { JoinRequest } from './state/join-request.js';
import { Waiters } from './waiters.js';

export interface LiveGroupHost {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly log: CoordinatorLog;
  /** Whether the shard's lease holds now. */
  holds(): boolean;
  /** Grows whenever a client may have been turned away because it does not. */
  refusals(): number;
  save(record: StoredGroup): Promise<void>;
  /** A write has failed. */
  saveFailed(error: unknown): void;
}

/** A state machine with what it has no part in: promises, a timer, and its record in the store. */
export class LiveGroup {
  readonly group: ClassicGroup;
  readonly #host: LiveGroupHost;
  readonly #joins = new Waiters<JoinAnswer>();
  readonly #syncs = new Waiters<SyncAnswer>();
  readonly #leaves = new Waiters<LeaveAnswer>();
  #nextWaiter = 1;
  #writing = false;
  #unwritten: { record: StoredGroup; readonly tickets: PersistTicket[] } | null = null;
  #cancelTimer: (() => void) | null = null;
  #armedForMs = Infinity;
  #refusalsSeen: number;

  constructor(group: ClassicGroup, host: LiveGroupHost) {
    this.group = group;
    this.#host = host;
    this.#refusalsSeen = host.refusals();
    this.#arm();
  }

  /** Nothing would be lost if it were read from the store again. */
  get isEvictable(): boolean {
    const waiting = this.#joins.size + this.#syncs.size + this.#leaves.size;
    return this.group.isIdle && !this.#writing && waiting === 0;
  }

  join(request: Omit<JoinRequest, 'waiter'>, signal: AbortSignal): Promise<JoinAnswer> {
    const waiter = this.#nextWaiter++;
    const answer = this.#joins.wait(waiter, signal);
    this.#perform(this.group.join({ ...request, waiter }, this.#nowMs()));
    return answer;
  }

  sync(request: Omit<SyncRequest, 'waiter'>, signal: AbortSignal): Promise<SyncAnswer> {
    const waiter = this.#nextWaiter++;
    const answer = this.#syncs.wait(waiter, signal);
    this.#perform(this.group.sync({ ...request, waiter }, this.#nowMs()));
    return answer;
  }

  leave(request: Omit<LeaveRequest, 'waiter'>, signal: AbortSignal): Promise<LeaveAnswer> {
    const waiter = this.#nextWaiter++;
    const answer = this.#leaves.wait(waiter, signal);
    this.#perform(this.group.leave({ ...request, waiter }, this.#nowMs()));
    return answer;
  }

  heartbeat(request: MemberRequest): number {
    return this.group.heartbeat(request, this.#nowMs());
  }

  checkOffsetCommit(request: MemberRequest): number {
    return this.group.checkOffsetCommit(request, this.#nowMs());
  }

  /** Ends every wait with NOT_COORDINATOR and does nothing ever again. */
  unload(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    const tickets = this.#unwritten?.tickets ?? [];
    this.#unwritten = null;
    this.#perform(this.group.unload(errorCodes.NOT_COORDINATOR));
    this.#ended(tickets, errorCodes.NOT_COORDINATOR);
  }

  #nowMs(): number {
    return this.#host.clock.monotonicMs();
  }

  #perform(effects: readonly GroupEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'joined':
          this.#joins.answer(effect.waiter, effect.answer);
          break;
        case 'synced':
          this.#syncs.answer(effect.waiter, effect.answer);
          break;
        case 'left':
          this.#leaves.answer(effect.waiter, effect.answer);
          break;
        case 'persist':
          this.#write(effect.record, effect.ticket);
          break;
        case 'event': {
          const { name, ...fields } = effect.event;
          this.#host.log.info({ groupId: this.group.groupId, ...fields }, name);
          break;
        }
      }
    }
    this.#arm();
  }

  // Writing

  /**
   * One write of a group at a time. A record that waits is replaced by a later one, because that
   * holds everything the first one did: the machine writes one assignment per generation, and moves
   * on from a generation before it writes anything else while one is on its way.
   */
  #write(record: StoredGroup, ticket: PersistTicket): void {
    if (this.#unwritten === null) this.#unwritten = { record, tickets: [ticket] };
    else {
      this.#unwritten.record = record;
      this.#unwritten.tickets.push(ticket);
    }
    if (!this.#writing) void this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    for (let next = this.#unwritten; next !== null; next = this.#unwritten) {
      this.#unwritten = null;
      const errorCode = await this.#save(next.record);
      const { tickets } = next;
      if (errorCode !== errorCodes.NONE) {
        // Records that were made meanwhile hold what is now taken back.
        const later: PersistTicket[] = this.#takeUnwritten();
        tickets.push(...later);
      }
      this.#ended(tickets, errorCode);
    }
    this.#writing = false;
  }

  #takeUnwritten(): PersistTicket[] {
    const tickets = this.#unwritten?.tickets ?? [];
    this.#unwritten = null;
    return tickets;
  }

  async #save(record: StoredGroup): Promise<number> {
    try {
      await this.#host.save(record);
      return errorCodes.NONE;
    } catch (error) {
      const errorCode = kafkaErrorCode(error);
      this.#host.saveFailed(error);
      return errorCode;
    }
  }

  #ended(tickets: readonly PersistTicket[], errorCode: number): void {
    for (const ticket of tickets) {
      this.#perform(this.group.persisted(ticket, errorCode, this.#nowMs()));
    }
  }

  // Time

  /** Sets the timer if it must ring earlier than it will. A heartbeat never needs it. */
  #arm(): void {
    const { wakeAtMs } = this.group;
    if (wakeAtMs >= this.#armedForMs) return;
    this.#armFor(wakeAtMs);
  }

  #armFor(wakeAtMs: number): void {
    invariant(wakeAtMs < Infinity, 'a timer rings some time');
    this.#cancelTimer?.();
    this.#armedForMs = wakeAtMs;
    const { scheduler } = this.#host;
    this.#cancelTimer = scheduler.after(wakeAtMs - this.#nowMs(), () => this.#wake());
  }

  #wake(): void {
    const nowMs = this.#nowMs();
    const lateMs = nowMs - this.#armedForMs;
    this.#armedForMs = Infinity;
    this.#cancelTimer = null;
    // Whose sessions have ended is not ours to say now.
    if (!this.#host.holds()) return this.#armFor(nowMs + limits.groupRetryMs);
    const refusals = this.#host.refusals();
    if (refusals !== this.#refusalsSeen || lateMs > limits.groupTimerLateMsMax) {
      // While this process stood still or turned clients away, what they sent was not heard; it may
      // be waiting in the sockets this moment. Their sessions start anew, and they get some time.
      this.#refusalsSeen = refusals;
      this.group.restartSessions(nowMs);
      return this.#armFor(nowMs + limits.groupRetryMs);
    }
    this.#perform(this.group.advance(nowMs));
  }
}
