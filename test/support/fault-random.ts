/** Numbers of a seed: what a run did can be done again, as far as the machine's timing allows. */
export interface FaultRandom {
  /** In [0, 1). */
  next(): number;
  /** An integer in [from, to]. */
  between(from: number, to: number): number;
  pick<Item>(items: readonly Item[]): Item;
  /** Another sequence, which draws from this one only once. */
  fork(): FaultRandom;
}

/** Mulberry32: small, and good enough to choose faults. */
export function createFaultRandom(seed: number): FaultRandom {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (from, to) => from + Math.floor(next() * (to - from + 1)),
    pick(items) {
      const item = items[Math.floor(next() * items.length)];
      if (item === undefined) throw new RangeError('nothing to pick from');
      return item;
    },
    fork: () => createFaultRandom(Math.floor(next() * 2 ** 32)),
  };
}
