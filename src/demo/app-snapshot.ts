import { digestOf, digestPart } from './app-digest.ts';
import type { CopiedMember } from './app-member-copy.ts';
import { readSnapshotLine } from './app-membership-event.ts';

/** The snapshot did not come whole: nothing of it may be used. */
export class SnapshotCut extends Error {}

/**
 * Reads a snapshot line by line, whatever its size: only one line and what the network delivered last are held.
 * @param chunks the body as it comes, UTF-8
 * @returns the cursor from which to read the event log
 * @throws SnapshotCut unless the last line is there and agrees with what was read
 */
export async function readSnapshot(
  chunks: AsyncIterable<Uint8Array>,
  onMember: (member: CopiedMember) => void,
): Promise<{ readonly cursor: string }> {
  let cursor: string | null = null;
  let [members, count, sum] = [0, 0, 0n];
  let ended = false;
  for await (const text of linesOf(chunks)) {
    const line = readSnapshotLine(text);
    if (ended || (line.kind === 'head') !== (cursor === null))
      throw new SnapshotCut('the lines of the snapshot are out of order');
    switch (line.kind) {
      case 'head':
        cursor = line.cursor;
        break;
      case 'member':
        members += 1;
        if (line.member.active) {
          count += 1;
          sum += digestPart(line.member);
        }
        onMember(line.member);
        break;
      case 'end':
        if (line.members !== members || line.count !== count || line.digest !== digestOf(sum)) {
          throw new SnapshotCut('the snapshot does not hold what its last line says');
        }
        ended = true;
        break;
      default:
        line satisfies never;
    }
  }
  if (!ended || cursor === null) throw new SnapshotCut('the snapshot broke off');
  return { cursor };
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  // A last line without its line break is half a line.
  if (rest !== '') throw new SnapshotCut('the snapshot broke off within a line');
}
