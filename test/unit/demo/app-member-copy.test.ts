import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type CopiedMember, createMemberCopy } from '../../../src/demo/app-member-copy.ts';
import { readSnapshot, SnapshotCut } from '../../../src/demo/app-snapshot.ts';

interface Vector {
  readonly name: string;
  readonly members: readonly { id: string; version: number; role: string; groups: readonly string[] }[];
  readonly count: number;
  readonly digest: string;
}
const { vectors }: { vectors: readonly Vector[] } = JSON.parse(
  readFileSync(new URL('../../../docs/digest-vectors.json', import.meta.url), 'utf8'),
);

function aMember(userId: string, given: Partial<CopiedMember> = {}): CopiedMember {
  return { userId, email: null, name: null, role: 'builder', groups: [], active: true, version: 1, ...given };
}

describe('R40 the copy of the demo app', () => {
  test.each(vectors)('has the digest of docs/digest-vectors.json for $name', ({ members, count, digest }) => {
    const copy = createMemberCopy();
    for (const { id, groups, ...member } of members) {
      copy.apply('w', aMember(id, { ...member, groups: groups.map((group) => ({ id: group, name: `group ${group}` })) }));
    }
    expect(copy.digest('w')).toEqual({ count, digest });
  });

  test('has the digest of its present rows, whichever way it came to them', () => {
    const [direct, winding] = [createMemberCopy(), createMemberCopy()];
    direct.apply('w', aMember('a', { version: 5, role: 'admin' }));
    winding.apply('w', aMember('b'));
    winding.apply('w', aMember('a'));
    winding.apply('w', aMember('b', { version: 2, active: false }));
    expect(winding.digest('w')).not.toEqual(direct.digest('w'));
    winding.apply('w', aMember('a', { version: 5, role: 'admin' }));
    winding.apply('w', aMember('a', { version: 4, role: 'end-user' }));
    expect(winding.digest('w')).toEqual(direct.digest('w'));
    expect(winding.member('w', 'b')).toMatchObject({ active: false, version: 2 });
    expect(winding.digest('other')).toEqual({ count: 0, digest: '0'.repeat(64) });
  });

  test('is replaced as a whole, with what came meanwhile; until then nothing changes', () => {
    const copy = createMemberCopy();
    // Newer than Rollcall has it, as after a restore from a backup.
    copy.apply('w', aMember('a', { version: 9 }));
    copy.apply('w', aMember('gone'));
    const fresh = copy.replace('w');
    fresh.apply(aMember('a', { version: 2 }));
    copy.apply('w', aMember('new', { version: 1 }));
    copy.apply('w', aMember('b', { version: 4 }));
    fresh.apply(aMember('b', { version: 3 }));
    expect(copy.member('w', 'a')?.version).toBe(9);
    fresh.commit();
    fresh.abandon();
    const versions = copy.members('w').map(({ userId, version }) => `${userId} ${version}`);
    expect(versions.sort()).toEqual(['a 2', 'b 4', 'new 1']);
    expect(copy.digest('w').count).toBe(3);
  });

  test('stays as it is when its replacement is abandoned or overtaken', () => {
    const copy = createMemberCopy();
    copy.apply('w', aMember('a'));
    copy.replace('w').abandon();
    const [slow, quick] = [copy.replace('w'), copy.replace('w')];
    slow.commit();
    expect(copy.members('w')).toHaveLength(1);
    quick.commit();
    expect(copy.members('w')).toEqual([]);
  });
});

describe('R40 reading a snapshot', () => {
  const head = { workspace: { id: 'w', slug: 'w' }, cursor: '7', taken_at: '2026-05-01T10:00:00.000Z', format: 1 };
  const line = (id: string, status = 'active') => ({
    user: { id, email: 'é@example.com', name: null, status: 'active' },
    role: 'builder',
    groups: [],
    status,
    version: 3,
  });
  const copy = createMemberCopy();
  copy.apply('w', aMember('a', { version: 3 }));
  const end = { end: true, members: 2, ...copy.digest('w') };
  const whole = [head, line('a'), line('b', 'removed'), end].map((each) => `${JSON.stringify(each)}\n`).join('');

  async function read(text: string, chunkBytes = 7) {
    const bytes = Buffer.from(text);
    const members: CopiedMember[] = [];
    async function* chunks() {
      for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
    }
    const { cursor } = await readSnapshot(chunks(), (member) => members.push(member));
    return { cursor, members };
  }

  test.each([1, 7, 10_000])('gives members and cursor, in chunks of %i bytes', async (chunkBytes) => {
    const { cursor, members } = await read(whole, chunkBytes);
    expect(cursor).toBe('7');
    expect(members).toEqual([
      aMember('a', { email: 'é@example.com', version: 3 }),
      aMember('b', { email: 'é@example.com', version: 3, active: false }),
    ]);
  });

  const lines = whole.split(/(?<=\n)/);
  test.each([
    ['cut within the last line', whole.slice(0, -2)],
    ['without its last line', lines.slice(0, -1).join('')],
    ['with a line missing', [lines[0], ...lines.slice(2)].join('')],
    ['with the line of a removed member missing', [...lines.slice(0, 2), lines[3]].join('')],
    ['with a line twice', [lines[0], lines[1], lines[1], lines[3]].join('')],
    ['with a changed line', whole.replace('builder', 'admin')],
    ['without its first line', lines.slice(1).join('')],
    ['with lines after its last', whole + lines[1]],
    ['that is empty', ''],
  ])('refuses one %s', async (_name, text) => {
    await expect(read(text)).rejects.toBeInstanceOf(SnapshotCut);
  });

  test('refuses a line that is none', async () => {
    await expect(read(whole.replace('"role"', '"rule"'))).rejects.toThrow();
  });
});
