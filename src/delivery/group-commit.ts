interface Waiting<Item, Result> {
  readonly item: Item;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/**
 * Writes many callers' items with few statements: while one write is under way the next items gather, and go together in the next.
 * A lone item does not wait.
 * @param write returns one result for each item, in their order; its failure is the failure of each
 */
export function createGroupCommit<Item, Result>(deps: {
  readonly write: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly maxItems: number;
}): (item: Item) => Promise<Result> {
  const queue: Waiting<Item, Result>[] = [];
  let writing = false;

  async function writeAll(): Promise<void> {
    writing = true;
    while (queue.length > 0) {
      const group = queue.splice(0, deps.maxItems);
      try {
        const results = await deps.write(group.map(({ item }) => item));
        group.forEach(({ resolve }, index) => {
          resolve(results[index] as Result);
        });
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    writing = false;
  }

  return (item) =>
    new Promise<Result>((resolve, reject) => {
      queue.push({ item, resolve, reject });
      if (!writing) void writeAll();
    });
}
