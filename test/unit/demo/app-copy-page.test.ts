import { describe, expect, test } from 'vitest';
import { type CopyView, copyPage } from '../../../src/demo/app-copy-page.ts';

const digest = (letter: string) => ({ count: 2, digest: letter.repeat(64) });

function page(view: Partial<CopyView> = {}): string {
  const comparison = { inStep: true, own: digest('a'), rollcall: { ...digest('a'), cursor: '7' } };
  const ada = { userId: 'u1', email: null, name: '<b>Ada</b>', role: 'admin', active: true, version: 3 };
  const members = [
    { ...ada, groups: [{ id: 'g', name: 'engineering' }] },
    { ...ada, userId: 'u2', name: null, email: 'bob@tidewater.example', groups: [], active: false, version: 4 },
  ];
  return copyPage([{ workspaceId: 'w1', workspace: 'tidewater', comparison, members, ...view }]);
}
const text = (html: string) => html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');

describe('R40 the page about the copy of the demo app', () => {
  test('says that the copy is in step, with both digests and the rows', () => {
    expect(text(page())).toMatch(/Workspace tidewater in step .* This app 2 aaaaaaaa…aaaaaaaa Rollcall 2 aaaaaaaa…aaaaaaaa/);
    expect(text(page())).toContain('admin engineering version 3 bob@tidewater.example removed version 4');
    expect(text(page())).not.toContain('drift');
  });

  test('says that it is not, and offers to make it anew first', () => {
    const rollcall = { ...digest('b'), cursor: '7' };
    const drifted = page({ comparison: { inStep: false, own: digest('a'), rollcall } });
    expect(text(drifted)).toMatch(/Workspace tidewater drift The copy is not what Rollcall has/);
    expect(drifted).toContain('<button>Make the copy anew</button>');
    expect(page()).toContain('<button class="second">Make the copy anew</button>');
  });

  test('writes what others chose as text', () => {
    expect(page()).not.toContain('<b>Ada');
  });

  test('shows the first rows of many', () => {
    const many = Array.from({ length: 60 }, (_, n) => ({
      userId: `u${n}`,
      email: null,
      name: null,
      role: 'builder',
      groups: [],
      active: true,
      version: 1,
    }));
    expect(text(page({ members: many }))).toMatch(/Rows \(60\) .* u49 builder version 1 and 10 more/);
  });

  test('says that Rollcall did not answer', () => {
    expect(text(copyPage(null))).toContain('Rollcall did not answer The copy cannot be compared at the moment.');
  });
});
