import { describe, expect, test } from 'vitest';
import { createDirectory, groupName } from '../../../src/demo/people.ts';
import { people } from '../../../src/demo/scenario.ts';

describe('directory', () => {
  test('finds the person whom a hint means, by id or e-mail in any case', () => {
    const directory = createDirectory(people);
    expect(directory.findByHint('ada')?.id).toBe('ada');
    expect(directory.findByHint('Bruno@Tidewater.example')?.id).toBe('bruno');
    expect(directory.findByHint('nobody@tidewater.example')).toBeNull();
    expect(directory.findByHint(null)).toBeNull();
  });

  test('names each group once, in order', () => {
    expect(createDirectory(people).groupNames()).toEqual(['All Staff', 'Engineering', 'Marketing Team', 'admin', 'analysts']);
  });

  test('changes the groups of one directory only', () => {
    const [one, other] = [createDirectory(people), createDirectory(people)];
    one.setGroups('emil', ['admin', 'admin']);
    expect(one.find('emil')?.groups).toEqual(['admin']);
    expect(other.find('emil')?.groups).toEqual([]);
    expect(() => one.setGroups('nobody', [])).toThrow(RangeError);
  });

  test('takes names as real directories have them, and none that XML cannot carry', () => {
    for (const name of ['R&D', 'Größe', '日本', 'a, "b" -> c', 'CN=Admins,OU=x', '👩‍💻'])
      expect(groupName.parse(name)).toBe(name);
    for (const name of ['', ' ', 'a\nb', 'a\u0000', '\ud800', '\uffff', 'x'.repeat(101)])
      expect(groupName.safeParse(name).success).toBe(false);
  });
});
