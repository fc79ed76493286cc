import { describe, expect, it } from 'vitest';
import { verdictsOf } from '../../src/bench/framework/floors.js';
import type { ContenderRuns } from '../../src/bench/framework/measure.js';

interface Figures {
  readonly name: string;
  readonly megabytesPerSecond: number;
  readonly cpuSecondsPerGigabyte?: number;
  readonly clientCores?: number;
  readonly residentMegabytes?: number;
}

/** One run of a second. */
function row(figures: Figures): ContenderRuns {
  const { clientCores = 0.5, cpuSecondsPerGigabyte = 1, megabytesPerSecond, name } = figures;
  const dispose = async (): Promise<void> => {};
  const address = { host: 'localhost', port: 1 };
  const nothing = async (): Promise<void> => {};
  const result = { records: 1, bytes: megabytesPerSecond * 1e6, seconds: 1 };
  const load = { name: 'load', description: '', prepare: nothing, verify: nothing };
  return {
    contender: {
      name,
      server: { name, description: '', address, rootPids: [], dispose },
      load: { ...load, run: async () => result },
    },
    runs: [
      {
        result,
        server: {
          cpuSeconds: cpuSecondsPerGigabyte * megabytesPerSecond * 1e-3,
          postgresCpuSeconds: 0,
          peakResidentBytes: (figures.residentMegabytes ?? 100) * 1e6,
          postgresPeakResidentBytes: 0,
          storeCpuSeconds: 0,
        },
        client: { cpuSeconds: clientCores, wallSeconds: 1 },
      },
    ],
  };
}

const kafka = row({ name: 'Kafka', megabytesPerSecond: 100 });

describe('a floor on MB/s', () => {
  const holds = (ours: Omit<Figures, 'name'>, megabytesPerSecondRatio = 1): boolean[] =>
    verdictsOf({ megabytesPerSecondRatio }, [row({ name: 'KafScale', ...ours }), kafka]).map(
      (verdict) => verdict.holds,
    );

  it('is a multiple of the peer', () => {
    expect(holds({ megabytesPerSecond: 100 })).toEqual([true]);
    expect(holds({ megabytesPerSecond: 96 })).toEqual([false]);
    expect(holds({ megabytesPerSecond: 79 }, 0.8)).toEqual([false]);
    expect(holds({ megabytesPerSecond: 81 }, 0.8)).toEqual([true]);
  });

  it('takes 0.95 for 1.0 where the client was busy and we need no more CPU', () => {
    expect(holds({ megabytesPerSecond: 96, clientCores: 0.81 })).toEqual([true]);
    expect(holds({ megabytesPerSecond: 94, clientCores: 0.81 })).toEqual([false]);
    expect(holds({ megabytesPerSecond: 96, clientCores: 0.8 })).toEqual([false]);
    expect(holds({ megabytesPerSecond: 96, clientCores: 0.9, cpuSecondsPerGigabyte: 1.1 })).toEqual(
      [false],
    );
    // Only for "as fast as": five times as fast stays five times.
    expect(holds({ megabytesPerSecond: 480, clientCores: 0.9 }, 5)).toEqual([false]);
  });
});

describe('floors of other kinds', () => {
  const ours = row({ name: 'KafScale', megabytesPerSecond: 300, cpuSecondsPerGigabyte: 2.4 });

  it('name their row; one that was not measured has no verdict', () => {
    const against = [
      { row: 'disk', megabytesPerSecondRatio: 0.6 },
      { row: 'absent', megabytesPerSecondRatio: 5 },
    ];
    const disk = row({ name: 'disk', megabytesPerSecond: 501 });
    const verdicts = verdictsOf({ against }, [ours, kafka, disk]);
    expect(verdicts).toEqual([{ holds: false, text: 'MB/s ≥ 0.60× disk: 0.60×' }]);
  });

  it('bound CPU, memory and MB/s by themselves', () => {
    const floor = {
      cpuSecondsPerGigabyteMax: 2.5,
      cpuSecondsPerGigabyteRatioMax: 1,
      residentMegabytesMax: 99,
      megabytesPerSecondMin: { megabytesPerSecond: 300, of: 'a test' },
    };
    expect(verdictsOf(floor, [ours, kafka])).toEqual([
      { holds: false, text: 'CPU s/GB ≤ 1.00× Kafka: 2.40×' },
      { holds: true, text: 'MB/s ≥ 300.0, a test: 300.0' },
      { holds: true, text: 'CPU ≤ 2.50 s/GB: 2.40' },
      { holds: false, text: 'RSS ≤ 99 MB: 100' },
    ]);
  });
});
