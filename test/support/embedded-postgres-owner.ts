/**
 * A process of its own that owns an embedded server, for tests that kill it: `node embedded-postgres-owner.ts <options as JSON>`.
 * Prints one line of JSON, `{ url }` or `{ message, reason }`, and stays until it is told to end.
 */
import { startEmbeddedPostgres } from '../../src/infra/embedded-postgres.ts';
import { createLog } from '../../src/infra/log.ts';

interface Options {
  readonly dataFolder: string;
  readonly binariesFolder?: string;
  readonly reachableFolders?: readonly string[];
  /** Becomes this user once all code is loaded: the project may stand where only root can read it. */
  readonly uid?: number;
}

const { uid, ...options } = JSON.parse(process.argv[2] ?? '{}') as Options;
if (uid !== undefined) {
  process.setgroups?.([uid]);
  process.setgid?.(uid);
  process.setuid?.(uid);
}
try {
  const server = await startEmbeddedPostgres({ ...options, durable: false, log: createLog({ level: 'silent' }) });
  console.log(JSON.stringify({ url: server.url }));
  process.once('SIGTERM', () => server.stop().then(() => process.exit(0)));
  setInterval(() => {}, 60_000);
} catch (error) {
  const { message, reason } = error as { message: string; reason?: string };
  console.log(JSON.stringify({ message, reason }));
}
