import { describe, expect, it } from 'vitest';
import { createGroupCommit } from '../../../src/delivery/group-commit.ts';

/** A writer that doubles numbers and is held until `release` is called. */
function heldWriter(maxItems: number) {
  const groups: number[][] = [];
  const gates: (() => void)[] = [];
  const add = createGroupCommit<number, number>({
    maxItems,
    async write(items) {
      groups.push([...items]);
      await new Promise<void>((resolve) => gates.push(resolve));
      if (items.includes(13)) throw new Error('unlucky');
      return items.map((item) => item * 2);
    },
  });
  return { add, groups, release: () => gates.shift()?.() };
}

async function settleAll(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('group commit', () => {
  it('writes a lone item at once, and what gathers meanwhile together', async () => {
    const { add, groups, release } = heldWriter(10);
    const results = [1, 2, 3].map(add);
    expect(groups).toEqual([[1]]);
    release();
    await settleAll();
    expect(groups).toEqual([[1], [2, 3]]);
    release();
    expect(await Promise.all(results)).toEqual([2, 4, 6]);
  });

  it('keeps a group within its limit', async () => {
    const { add, groups, release } = heldWriter(2);
    const results = [1, 2, 3, 4].map(add);
    for (let write = 0; write < 3; write += 1) {
      release();
      await settleAll();
    }
    expect(groups).toEqual([[1], [2, 3], [4]]);
    expect(await Promise.all(results)).toEqual([2, 4, 6, 8]);
  });

  it('fails the group whose write failed, and goes on with the next', async () => {
    const { add, release } = heldWriter(10);
    const unlucky = add(13);
    const refused = expect(unlucky).rejects.toThrow('unlucky');
    const next = add(1);
    release();
    await refused;
    await settleAll();
    release();
    expect(await next).toBe(2);
  });
});
