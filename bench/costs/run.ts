// What other than speed there is to know: what a peer costs, an idle endpoint, a flood of messages to other work in the same
// process, and very many messages.
import { explain } from 'libfabric';
import type { Settings } from '../child/link.js';
import { median } from '../matrix/report.js';
import type { Progress } from '../matrix/progress.js';
import { type Cores, runOurs } from '../processes.js';
import type { CostReport } from './report.js';

/** One case of a cost: a program and what it is told. */
interface Case {
  name: CostReport['name'];
  of: string;
  program: string;
  provider: string;
  settings: Partial<Settings>;
  /** How often it is measured, of the runs asked for: very many messages pass once. */
  once?: boolean;
}

const PROVIDERS = ['shm', 'tcp'];

/** What is measured. Peers that do not exist need addresses that can be made up, as IP's can. */
function cases(quick: boolean): Case[] {
  const less = quick ? 100 : 1;
  const seconds = quick ? 0.5 : 5;
  const messages = 1e7 / less;
  return [
    ...[1, 100, 10_000].map((peers): Case => ({
      ...{ name: 'peers', of: `${peers.toLocaleString('en')} peers`, program: 'cost-peers', provider: 'tcp' },
      settings: { peers, iterations: 20_000 / less, warmUp: 4000 / less },
    })),
    ...PROVIDERS.flatMap((provider) =>
      (['auto', 'inline', 'thread'] as const).map((progress): Case => ({
        ...{ name: 'idle', of: `progress: '${progress}'`, program: 'cost-idle', provider },
        settings: { progress, seconds, iterations: 100 },
      })),
    ),
    ...PROVIDERS.map((provider): Case => ({
      ...{ name: 'loop-delay', of: 'flood and HTTP server', program: 'cost-loop-delay', provider },
      settings: { seconds },
    })),
    ...PROVIDERS.map((provider): Case => ({
      ...{
        name: 'memory',
        of: `${messages.toLocaleString('en')} messages`,
        program: 'cost-memory',
        provider,
      },
      // Over TCP each is a system call, so that they take minutes.
      settings: { iterations: messages, boundSeconds: 1800 },
      once: true,
    })),
    ...PROVIDERS.map((provider): Case => ({
      ...{
        name: 'garbage-collection',
        of: `${(messages / 10).toLocaleString('en')} messages`,
        program: 'cost-memory',
        provider,
      },
      settings: { iterations: messages / 10, watchesCollections: true, boundSeconds: 180 },
    })),
  ];
}

async function runCase({ program, provider, settings }: Case, cores: Cores): Promise<Record<string, number>> {
  const all = { provider, size: 64, iterations: 1, warmUp: 1, ...settings };
  const { figures } = await runOurs(program, all, cores);
  if (figures === undefined) throw new Error(`${program} has no figures`);
  return figures;
}

/** Medians over the runs. */
function medians(runs: readonly Record<string, number>[]): CostReport['figures'] {
  const names = [...new Set(runs.flatMap((figures) => Object.keys(figures)))];
  return Object.fromEntries(
    names.map((name) => [name, median(runs.map((figures) => figures[name]).filter(Number.isFinite))]),
  );
}

export interface CostOptions {
  providers: readonly string[];
  quick: boolean;
  runs: number;
  cores: Cores;
}

/** The cases for the providers that are wanted, and there; an empty list means all. */
export async function chooseCosts({ providers, quick }: CostOptions): Promise<Case[]> {
  const there = new Set<string>();
  for (const provider of PROVIDERS) {
    const { chosen } = await explain({ provider, node: '127.0.0.1' });
    if (chosen !== undefined && (providers.length === 0 || providers.includes(provider))) there.add(provider);
  }
  return cases(quick).filter(({ provider }) => there.has(provider));
}

const runsOf = ({ once }: Case, runs: number): number => (once === true ? 1 : runs);

export function costSteps(chosen: readonly Case[], runs: number): number {
  return chosen.reduce((sum, one) => sum + runsOf(one, runs), 0);
}

export async function runCosts(
  chosen: readonly Case[],
  { runs, cores }: CostOptions,
  progress: Progress,
): Promise<CostReport[]> {
  const reports: CostReport[] = [];
  for (const one of chosen) {
    const { name, provider, of } = one;
    const done: Record<string, number>[] = [];
    let error: string | null = null;
    for (let run = 1; run <= runsOf(one, runs); run++) {
      progress.step(`${name} on ${provider} (${of})`, `run ${run}`);
      try {
        if (error === null) done.push(await runCase(one, cores));
      } catch (cause) {
        error = (cause as Error).message;
        progress.say(`${name} on ${provider} (${of}) failed: ${error}`);
      }
      progress.done(1);
    }
    reports.push({ name, provider, of, figures: medians(done), error });
  }
  return reports;
}
