import { describe, expect, test } from 'vitest';
import { createNewsFilter, parseRevisionMessage, revisionMessage } from '../../../src/login/revisions.ts';

const id = '01890a5d-ac96-774b-bcce-b302099a8057';
const revision = '6c1f3f56-9a6e-4b4e-8a57-8f2f3f8f4a11';

describe('messages of revisions', () => {
  test.each([
    { kind: 'connection', id, revision },
    { kind: 'catalogue', id, revision: null },
  ] as const)('$kind with revision $revision comes back as it was sent', (revised) => {
    expect(parseRevisionMessage(revisionMessage(revised))).toEqual(revised);
  });

  test.each([
    '',
    'connection',
    `user ${id}`,
    `connection ${id.toUpperCase()}`,
    `connection ${id} ${revision} more`,
    `connection ${id} ${'x'.repeat(100)}`,
    `connection ${id} `,
    `connection  ${id}`,
    '{}',
  ])('%j is not ours', (message) => expect(parseRevisionMessage(message)).toBeNull());
});

describe('news', () => {
  test('a revision is news once, another one of the same id again, and an unknown one always', () => {
    const isNews = createNewsFilter();
    const told = (given: string | null) => isNews({ kind: 'connection', id, revision: given });
    expect([told('1'), told('1'), told('2'), told('2'), told('1'), told(null), told(null), told('1')]).toEqual([
      true,
      false,
      true,
      false,
      true,
      true,
      true,
      false,
    ]);
    expect(isNews({ kind: 'catalogue', id, revision: '1' })).toBe(true);
  });
});
