// What is measured and compared, and the goals.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { explain } from 'libfabric';
import type { Settings } from './child/link.js';
import { type Cores, type LoopSettings, type Sample, runLoop, runOurs, runPingPong } from './processes.js';
import type { NativePrograms } from './setup.js';

/** Something that is run several times, in turns with the others of its group. */
export interface Measure {
  title: string;
  /** How many round trips or messages: CPU time is compared for the same number. */
  iterations: number;
  run: () => Promise<Sample>;
}

export type Statistic = 'p50' | 'mean' | 'rate' | 'addon';

/** The figures of a row that goals are about; null where there is none. */
export interface Figures {
  ours: number | null;
  c: number | null;
  peer: number | null;
  ratioToC: number | null;
  ratioToPeer: number | null;
}

export interface Goal {
  text: string;
  isMet: (figures: Figures) => boolean;
}

/** One comparison. */
export interface Row {
  name: string;
  title: string;
  provider: string;
  size: number;
  unit: string;
  statistic: Statistic;
  ours?: Measure;
  c?: Measure;
  peer?: Measure;
  peerName: string;
  goals: Goal[];
}

/** Rows whose measures are run in turns. */
export type Group = Row[];

export interface Plan {
  cores: Cores;
  programs: NativePrograms;
  quick: boolean;
}

const SIZE = 64;
const MALLOC_MESSAGES = 100_000;

function ratioAtMost(key: 'ratioToC' | 'ratioToPeer', limit: number, of: string): Goal {
  return { text: `≤ ${limit} × ${of}`, isMet: (figures) => (figures[key] ?? Infinity) <= limit };
}

function ratioAtLeast(limit: number): Goal {
  return { text: `≥ ${limit} × C`, isMet: ({ ratioToC }) => (ratioToC ?? 0) >= limit };
}

class Measures {
  constructor(private readonly plan: Plan) {}

  #count(normal: number): number {
    return this.plan.quick ? normal / 4 : normal;
  }

  ours(
    title: string,
    program: string,
    provider: string,
    counts: { iterations: number; warmUp: number },
    more: Partial<Settings> = {},
  ): Measure {
    const iterations = this.#count(counts.iterations);
    const settings = { provider, size: SIZE, iterations, warmUp: this.#count(counts.warmUp), ...more };
    return { title, iterations, run: () => runOurs(program, settings, this.plan.cores) };
  }

  c(
    provider: string,
    test: LoopSettings['test'],
    counts: { iterations: number; warmUp: number },
    wait: LoopSettings['wait'] = 'spin',
  ): Measure {
    const iterations = this.#count(counts.iterations);
    const settings = { provider, test, size: SIZE, iterations, warmUp: this.#count(counts.warmUp), wait };
    return {
      title: `C ${test} on ${provider}`,
      iterations,
      run: () => runLoop(this.plan.programs.loop, settings, this.plan.cores),
    };
  }

  pingPong(provider: string, iterations: number): Measure {
    const settings = { provider, size: SIZE, iterations: this.#count(iterations) };
    return {
      title: `fi_pingpong on ${provider}`,
      ...settings,
      run: () => runPingPong(settings, this.plan.cores),
    };
  }

  malloc(title: string, program: string, provider: string, more: Partial<Settings> = {}): Measure {
    const { cores, programs } = this.plan;
    const settings = { provider, size: SIZE, iterations: MALLOC_MESSAGES, warmUp: MALLOC_MESSAGES, ...more };
    return {
      title,
      iterations: MALLOC_MESSAGES,
      run: async () => {
        const folder = mkdtempSync(join(tmpdir(), 'libfabric-malloc-'));
        try {
          const file = (role: string): string => join(folder, role);
          return await runOurs(program, settings, cores, { library: programs.mallocCount, file });
        } finally {
          rmSync(folder, { recursive: true });
        }
      },
    };
  }
}

const spinning = { iterations: 100_000, warmUp: 40_000 };
const overTcp = { iterations: 20_000, warmUp: 8_000 };
const asleep = { iterations: 8_000, warmUp: 2_000 };
const stream = { iterations: 1_000_000, warmUp: 400_000 };
const streamOverTcp = { iterations: 100_000, warmUp: 40_000 };

const latency = { size: SIZE, unit: 'µs', statistic: 'p50', peerName: 'node:net' } as const;
const rate = { size: SIZE, unit: 'messages/s', statistic: 'rate', peerName: 'node:net' } as const;
const reference = { size: SIZE, unit: 'µs', statistic: 'mean', peerName: 'fi_pingpong' } as const;

// fi_pingpong prints two decimals.
const cIsNoSlower: Goal = {
  text: 'C ≤ fi_pingpong',
  isMet: ({ c, peer }) => c !== null && peer !== null && c <= peer + 0.005,
};

function latencyOnShm(measures: Measures): Group {
  const c = measures.c('shm', 'latency', spinning);
  const net = measures.ours('node:net', 'net', '', overTcp);
  return [
    {
      ...latency,
      name: 'fi-latency',
      title: 'a loop over libfabric/fi, half of a round trip',
      provider: 'shm',
      ours: measures.ours('libfabric/fi', 'fi-latency', 'shm', spinning),
      c,
      peer: net,
      goals: [ratioAtMost('ratioToC', 1.4, 'C')],
    },
    {
      ...latency,
      name: 'awaited-latency',
      title: 'awaited, half of a round trip',
      provider: 'shm',
      ours: measures.ours('awaited', 'awaited-latency', 'shm', spinning),
      c,
      peer: net,
      goals: [ratioAtMost('ratioToC', 2, 'C')],
    },
    {
      ...reference,
      name: 'c-latency',
      title: 'what is compared with: the C loop (mean)',
      provider: 'shm',
      c,
      peer: measures.pingPong('shm', spinning.iterations),
      goals: [cIsNoSlower],
    },
  ];
}

function latencyOnTcp(measures: Measures, provider: string, isNative: boolean): Group {
  const c = measures.c(provider, 'latency', overTcp);
  const goals = [ratioAtMost('ratioToC', 1.15, 'C')];
  if (isNative) goals.push(ratioAtMost('ratioToPeer', 0.6, 'node:net'));
  return [
    {
      ...latency,
      name: 'awaited-latency',
      title: 'awaited while spinning, half of a round trip',
      provider,
      ours: measures.ours('awaited', 'awaited-latency', 'tcp', overTcp),
      c,
      peer: measures.ours('node:net', 'net', '', overTcp),
      goals,
    },
    {
      ...reference,
      name: 'c-latency',
      title: 'what is compared with: the C loop (mean)',
      provider,
      c,
      peer: measures.pingPong(provider, overTcp.iterations),
      goals: [cIsNoSlower],
    },
  ];
}

function latencyAsleep(measures: Measures, provider: string, wait: 'fd' | 'set'): Group {
  return [
    {
      ...latency,
      name: 'asleep-latency',
      title: `awaited asleep (spinMicroseconds: 0), C waits on the ${wait === 'set' ? "wait set's" : "queue's"} fd`,
      provider,
      ours: measures.ours('asleep', 'awaited-latency', provider, asleep, { spinMicroseconds: 0 }),
      c: measures.c(provider, 'latency', asleep, wait),
      peer: measures.ours('node:net', 'net', '', asleep),
      goals: [ratioAtMost('ratioToC', 1.4, 'C')],
    },
  ];
}

function rateOnShm(measures: Measures): Group {
  const c = measures.c('shm', 'rate', stream);
  const net = measures.ours('node:net', 'net', '', streamOverTcp, { sendBy: 'each' });
  const ours = (title: string, more: Partial<Settings>): Measure =>
    measures.ours(title, 'awaited-rate', 'shm', stream, more);
  return [
    {
      ...rate,
      name: 'awaited-rate',
      title: 'a promise for each message on both sides: await send(), messages()',
      provider: 'shm',
      ours: ours('await each', { sendBy: 'each', receiveBy: 'messages' }),
      c,
      peer: net,
      goals: [ratioAtLeast(0.5)],
    },
    {
      ...rate,
      name: 'awaited-rate-to-batches',
      title: 'a promise for each message sent, received by messages({ batch: 64 })',
      provider: 'shm',
      ours: ours('await each, in batches', { sendBy: 'each', receiveBy: 'batches' }),
      c,
      peer: net,
      goals: [],
    },
    {
      ...rate,
      name: 'batch-rate',
      title: 'sendBatch() of 64, received by messages({ batch: 64 })',
      provider: 'shm',
      ours: ours('sendBatch', { sendBy: 'batch', receiveBy: 'batches' }),
      c,
      peer: net,
      goals: [],
    },
  ];
}

function allocations(measures: Measures): Group {
  const row = (name: string, title: string, program: string, more: Partial<Settings> = {}): Row => ({
    name,
    title: `malloc calls of the addon, ${title}, beside libfabric's own`,
    provider: 'shm',
    size: SIZE,
    unit: `mallocs/${MALLOC_MESSAGES / 1000}k`,
    statistic: 'addon',
    ours: measures.malloc(`allocations, ${title}`, program, 'shm', more),
    peerName: 'libfabric',
    goals: [{ text: 'none', isMet: ({ ours }) => ours === 0 }],
  });
  return [
    row('fi-mallocs', 'a loop over libfabric/fi', 'fi-latency'),
    row('awaited-mallocs', 'awaited round trips', 'awaited-latency'),
    row('awaited-rate-mallocs', 'an awaited stream', 'awaited-rate', {
      sendBy: 'each',
      receiveBy: 'messages',
    }),
  ];
}

/** All comparisons for this machine. */
export async function makeGroups(plan: Plan): Promise<Group[]> {
  const { chosen } = await explain({ provider: 'tcp', node: '127.0.0.1' });
  const tcp = chosen?.provider ?? 'tcp';
  const measures = new Measures(plan);
  return [
    latencyOnShm(measures),
    latencyOnTcp(measures, tcp, tcp === 'tcp'),
    latencyAsleep(measures, tcp, tcp === 'net' ? 'set' : 'fd'),
    ...(tcp === 'tcp;ofi_rxm' ? [] : [latencyAsleep(measures, 'tcp;ofi_rxm', 'fd')]),
    rateOnShm(measures),
    allocations(measures),
  ];
}
