import type { Database } from '../../src/infra/postgres.ts';

const tables = [
  'memberships',
  'events',
  'outbox',
  'event_log',
  'delivery_lanes',
  'deliveries',
  'delivery_attempts',
  'endpoint_health',
] as const;

/**
 * From now on COMMIT of that percentage of the transactions that write what events and deliveries are made of fails with disk_full: a
 * deferred constraint trigger raises it after everything was written and every statement had succeeded. Which ones is a matter of seed and
 * transaction id. A sequence counts them: it keeps its value when the transaction is undone.
 */
export async function failCommits(db: Database, options: { readonly percent: number; readonly seed: number }): Promise<void> {
  await db.raw('CREATE SEQUENCE failed_commits');
  await db.raw(`
    CREATE FUNCTION fail_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF abs(hashint8extended(txid_current(), ${options.seed}) % 100) < ${options.percent} THEN
        PERFORM nextval('failed_commits');
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
      END IF;
      RETURN NULL;
    END $$`);
  for (const table of tables) {
    await db.raw(`
      CREATE CONSTRAINT TRIGGER fail_commit AFTER INSERT OR UPDATE OR DELETE ON ${table}
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_commit()`);
  }
}

export async function healCommits(db: Database): Promise<void> {
  for (const table of tables) await db.raw(`DROP TRIGGER fail_commit ON ${table}`);
}

export async function countFailedCommits(db: Database): Promise<number> {
  const { rows } = await db.raw<{ rows: { n: number }[] }>(
    'SELECT CASE WHEN is_called THEN last_value ELSE 0 END::int AS n FROM failed_commits',
  );
  return rows[0]?.n ?? 0;
}
