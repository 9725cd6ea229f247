// What comes of a cost: one line for each case.

/** One case of a cost; the unit of each figure is the end of its name. A figure is null where it cannot be told. */
export interface CostReport {
  name: 'peers' | 'idle' | 'loop-delay' | 'memory' | 'garbage-collection';
  provider: string;
  /** Such as '100 peers' or 'thread'. */
  of: string;
  figures: Record<string, number | null>;
  error: string | null;
}
