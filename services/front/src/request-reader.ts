import { invariant, limits as coreLimits } from '@kafscale/core';
import type { ByteBudget, Clock, PooledMemory } from '@kafscale/core';

import { FrameAssembler } from './frame-assembler.js';
import type { FrameMemory } from './frame-memory.js';
import type { FrameRefusal } from './frame-refusal.js';
import type { FrontLimits } from './front-limits.js';

/** Frames above this that are not there yet are collected one lane's worth at a time. */
const assembledFreelyBytesMax = 1024 * 1024;
const lengthPrefixBytes = 4;

/** What the connections of a process share. */
export interface ReadBudgets {
  /** Requests from their length prefix until their reply has settled. */
  readonly requests: ByteBudget;
  /**
   * Large frames that are still arriving; smaller than `requests`. Whoever announces 100 MiB and
   * sends them slowly, or never, keeps others from doing the same, but not from small requests.
   */
  readonly assembly: ByteBudget;
  /** Memory for frames. */
  readonly frames: FrameMemory;
}

export interface RequestReaderOptions {
  readonly budgets: ReadBudgets;
  readonly limits: FrontLimits;
  readonly clock: Clock;
  /** Requests of this connection that are not responded to. */
  readonly requestsInFlight: () => number;
  /** Takes over a frame and its bytes of the budget, which it gives back with `released`. */
  readonly onFrame: (frame: PooledMemory) => void;
  readonly onRefused: (refusal: FrameRefusal) => void;
  readonly pause: () => void;
  readonly resume: () => void;
}

/**
 * Turns the chunks of a socket into frames, as fast as the bounds allow: requests and bytes in flight
 * of the connection, bytes in flight of the process. At a bound it stops reading the socket; it
 * never buffers more than the chunk at hand, and never refuses a request for lack of room.
 */
export class RequestReader {
  readonly #options: RequestReaderOptions;
  readonly #assembler: FrameAssembler;
  /** How much the next read may bring beyond the frame that has begun. */
  #readBytesMax: number = coreLimits.socketReadBytesMin;
  #inFlightBytes = 0;
  /** Taken from the budgets for the frame that is being collected. */
  #frameBytesTaken = 0;
  #assemblyBytesTaken = 0;
  #waiting: 'no' | 'connection' | 'budget' = 'no';
  #paused = false;
  #stopped = false;
  /** When the client began to owe us the rest of a frame; null when it owes nothing. */
  #frameStartedMs: number | null = null;

  constructor(options: RequestReaderOptions) {
    this.#options = options;
    const { budgets, limits } = options;
    this.#assembler = new FrameAssembler(limits.requestBytesMax, budgets.frames);
  }

  /** A frame has begun and is not complete, whoever is to blame. */
  get inProgress(): boolean {
    return this.#assembler.inProgress;
  }

  /** For how long the client has owed us the rest of a frame; our own pauses don't count. */
  incompleteMs(nowMs: number): number {
    return this.#frameStartedMs === null ? 0 : nowMs - this.#frameStartedMs;
  }

  /** The chunk's memory may be used again on return. */
  push(chunk: Buffer): void {
    if (this.#stopped) return;
    this.#assembler.push(chunk);
    this.#pump();
    this.#assembler.keepRest();
    this.#adaptReads(chunk.length);
  }

  /** Where the next bytes should go, or how many of them may come by `push`. */
  nextRead(): Buffer | number {
    if (this.#stopped) return coreLimits.socketReadBytes;
    const { bodyMemory, missingBytes } = this.#assembler;
    return bodyMemory ?? Math.max(this.#readBytesMax, missingBytes + lengthPrefixBytes);
  }

  /** So many bytes were put into the memory that `nextRead` gave. */
  filled(bytes: number): void {
    if (this.#stopped) return;
    this.#assembler.filled(bytes);
    this.#pump();
  }

  /**
   * What a read brings beyond a bound is copied and kept through the pause: half of all bytes and more
   * while clients offered more than goes, up to 256 KiB per connection. So after a pause a read ends
   * with the frame it is for (7 % are copied), and reads grow only while none ends in a pause.
   */
  #adaptReads(bytesRead: number): void {
    const { socketReadBytes, socketReadBytesMin } = coreLimits;
    const readBytesMax = this.#paused ? 0 : 2 * Math.min(bytesRead, this.#readBytesMax);
    this.#readBytesMax = Math.min(socketReadBytes, Math.max(socketReadBytesMin, readBytesMax));
  }

  /** The bytes of a request are not needed any more. Also after `stop`. */
  released(frameBytes: number): void {
    this.#inFlightBytes -= frameBytes;
    invariant(this.#inFlightBytes >= 0, 'a request is released once');
    this.#options.budgets.requests.give(frameBytes);
  }

  /** Requests were responded to: there may be room for the next one. */
  proceed(): void {
    if (this.#waiting !== 'connection') return;
    this.#waiting = 'no';
    this.#pump();
  }

  /**
   * No more frames. Gives back what an unfinished one holds of the budgets. Not its memory: a read into
   * it may be under way, so it is left to the garbage collector.
   */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#frameStartedMs = null;
    this.#giveAssembly();
    if (this.#frameBytesTaken > 0) this.released(this.#frameBytesTaken);
    this.#frameBytesTaken = 0;
  }

  #pump(): void {
    while (!this.#stopped) {
      const step = this.#assembler.next();
      if (step === 'more') return this.#starve();
      if (step === 'announced') {
        if (!this.#admit()) return this.#pause();
      } else if (step === 'refused') {
        this.#refuse();
      } else {
        this.#take(step);
      }
    }
  }

  #starve(): void {
    if (!this.#assembler.inProgress) this.#frameStartedMs = null;
    else this.#frameStartedMs ??= this.#options.clock.monotonicMs();
    if (!this.#paused) return;
    this.#paused = false;
    this.#options.resume();
  }

  #pause(): void {
    this.#frameStartedMs = null;
    if (this.#paused) return;
    this.#paused = true;
    this.#options.pause();
  }

  /** False: something has to happen first, which pumps again. */
  #admit(): boolean {
    if (this.#frameBytesTaken === 0) {
      const frameBytes = this.#assembler.announcedBytes;
      if (!this.#fitsConnection(frameBytes)) {
        this.#waiting = 'connection';
        return false;
      }
      if (!this.#takeAssembly(frameBytes) || !this.#takeRequest(frameBytes)) return false;
    }
    this.#assembler.admit();
    return true;
  }

  /** A request larger than the bound passes when it is alone. */
  #fitsConnection(frameBytes: number): boolean {
    const { limits, requestsInFlight } = this.#options;
    if (requestsInFlight() >= limits.requestsInFlightPerConnectionMax) return false;
    if (this.#inFlightBytes === 0) return true;
    return this.#inFlightBytes + frameBytes <= limits.requestBytesInFlightPerConnectionMax;
  }

  #takeAssembly(frameBytes: number): boolean {
    const isFree = frameBytes <= assembledFreelyBytesMax || this.#assembler.announcedHasArrived;
    if (isFree || this.#assemblyBytesTaken > 0) return true;
    return this.#takeOrWait(this.#options.budgets.assembly, frameBytes, () => {
      this.#assemblyBytesTaken = frameBytes;
    });
  }

  #takeRequest(frameBytes: number): boolean {
    return this.#takeOrWait(this.#options.budgets.requests, frameBytes, () => {
      this.#frameBytesTaken = frameBytes;
      this.#inFlightBytes += frameBytes;
    });
  }

  #takeOrWait(budget: ByteBudget, bytes: number, taken: () => void): boolean {
    if (budget.tryTake(bytes)) {
      taken();
      return true;
    }
    this.#waiting = 'budget';
    void this.#waitFor(budget, bytes, taken);
    return false;
  }

  /** A budget has no way to leave its queue: whoever has stopped meanwhile gives back what comes. */
  async #waitFor(budget: ByteBudget, bytes: number, taken: () => void): Promise<void> {
    await budget.take(bytes);
    if (this.#stopped) {
      budget.give(bytes);
      return;
    }
    taken();
    this.#waiting = 'no';
    this.#pump();
  }

  #giveAssembly(): void {
    if (this.#assemblyBytesTaken > 0) this.#options.budgets.assembly.give(this.#assemblyBytesTaken);
    this.#assemblyBytesTaken = 0;
  }

  #take(frame: PooledMemory): void {
    invariant(frame.bytes.length === this.#frameBytesTaken, 'a frame has its bytes of the budget');
    this.#frameStartedMs = null;
    this.#frameBytesTaken = 0;
    this.#giveAssembly();
    this.#options.onFrame(frame);
  }

  #refuse(): void {
    const { refusal } = this.#assembler;
    invariant(refusal, 'a refused frame has a reason');
    this.stop();
    this.#options.onRefused(refusal);
  }
}
