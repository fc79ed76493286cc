import { OperatingError } from '@kafscale/core';
import type { CoordinatorService, SegmentAnswer, SegmentCommit } from '@kafscale/cluster';

type Commits = Pick<CoordinatorService, 'commitSegments'>;

interface HeldCall {
  readonly segments: readonly SegmentCommit[];
  readonly go: () => void;
}

/**
 * The way of one ingest node's commits to the coordinator, with what may happen on it: calls are held
 * up, lost before they arrive, or done and their answer lost.
 */
export class CommitLink implements Commits {
  /** Every call that ingest made, repetitions included. */
  readonly calls: (readonly SegmentCommit[])[] = [];
  readonly #coordinator: Commits;
  #held: HeldCall[] | null = null;
  #heldAnswers: (() => void)[] | null = null;
  #lostCalls = 0;
  #lostAnswers = 0;

  constructor(coordinator: Commits) {
    this.#coordinator = coordinator;
  }

  /** Calls wait from now on, until `release`. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const { go } of held) go();
    const heldAnswers = this.#heldAnswers ?? [];
    this.#heldAnswers = null;
    for (const go of heldAnswers) go();
  }

  /** Calls are carried out, and their answers wait from now on, until `release`. */
  holdAnswers(): void {
    this.#heldAnswers ??= [];
  }

  get heldAnswers(): number {
    return this.#heldAnswers?.length ?? 0;
  }

  get heldCalls(): number {
    return this.#held?.length ?? 0;
  }

  /** The next `count` calls never arrive, and the caller can not know. */
  loseCalls(count: number): void {
    this.#lostCalls += count;
  }

  /** The next `count` calls are carried out, and the caller does not hear of it. */
  loseAnswers(count: number): void {
    this.#lostAnswers += count;
  }

  async commitSegments(segments: readonly SegmentCommit[]): Promise<readonly SegmentAnswer[]> {
    this.calls.push(segments);
    if (this.#held !== null) {
      const held = this.#held;
      await new Promise<void>((go) => {
        held.push({ segments, go });
      });
    }
    if (this.#lostCalls > 0) {
      this.#lostCalls -= 1;
      throw linkLost();
    }
    const answers = await this.#coordinator.commitSegments(segments);
    const heldAnswers = this.#heldAnswers;
    if (heldAnswers !== null) await new Promise<void>((go) => heldAnswers.push(go));
    if (this.#lostAnswers === 0) return answers;
    this.#lostAnswers -= 1;
    throw linkLost();
  }
}

function linkLost(): OperatingError {
  return new OperatingError('LINK_LOST', 'the link went away', {
    retriable: true,
    outcome: 'unknown',
  });
}
