import { describe, expect, it } from 'vitest';
import { paintFor, printable, renderTable } from '../../../src/cli/text-table.ts';

describe('the table of the command line', () => {
  it('R39 paints on a terminal only, and never with NO_COLOR', () => {
    const painted = (isTerminal: boolean, env: Record<string, string> = {}) => paintFor({ isTerminal, env }).gain('x');
    expect(painted(true)).toBe('\u001b[32mx\u001b[0m');
    expect(painted(false)).toBe('x');
    expect(painted(true, { NO_COLOR: '1' })).toBe('x');
    expect(painted(true, { NO_COLOR: '' })).toBe('\u001b[32mx\u001b[0m');
    expect(painted(true, { TERM: 'dumb' })).toBe('x');
  });

  it('aligns by what is seen, not by the colours', () => {
    const marked = (text: string) => `<${text}>`;
    const paint = { gain: marked, loss: marked, strong: marked };
    const rows = [
      [{ text: 'a', paint: paint.loss }, 'b'],
      ['ccc', 'd'],
    ];
    expect(renderTable(['x', 'y'], rows, paint)).toBe('<x>    <y>\n<a>    b\nccc  d\n');
  });

  it('lets no name of a group move the cursor or turn the text', () => {
    expect(printable('a\u001b[2Jb\r\nc\u202ed')).toBe('a\ufffd[2Jb\ufffd\ufffdc\ufffdd');
    expect(printable('Größe 🚀')).toBe('Größe 🚀');
  });
});
