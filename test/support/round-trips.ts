import pg from 'pg';

/** The statements that `run` sends to Postgres, BEGIN and COMMIT among them, from connections of whatever pool. One after the other, each is a round trip. */
export async function statementsOf<T>(
  run: () => Promise<T>,
): Promise<{ readonly result: T; readonly statements: readonly string[] }> {
  const statements: string[] = [];
  // Below pg's queue of queries and above its wire: knex and everything around it have done their part here.
  const original = pg.Query.prototype.submit;
  pg.Query.prototype.submit = function submit(connection) {
    statements.push((this as unknown as { text: string }).text);
    return original.call(this, connection);
  };
  try {
    return { result: await run(), statements };
  } finally {
    pg.Query.prototype.submit = original;
  }
}
