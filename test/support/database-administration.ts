import { createDatabase } from '../../src/infra/postgres.ts';

/** Statements that are about databases, on a connection of its own. */
export async function administer(adminUrl: string, ...statements: readonly string[]): Promise<void> {
  const db = createDatabase({ url: adminUrl, poolSize: 1, statementTimeoutSeconds: 30 });
  try {
    for (const statement of statements) await db.raw(statement);
  } finally {
    await db.destroy();
  }
}

export function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
