import type { Database } from '../../src/infra/postgres.ts';
import type { Target } from './delivery-world.ts';

const membersInBacklog = 50_000;

/**
 * Deliveries that wait for the target's endpoint: 50,000 members in turns, all due, as fan-out would have left them. Straight into the
 * tables: through fan-out it would take minutes, and be another measurement.
 */
export async function fillBacklog(db: Database, { workspaceId, endpointIds }: Target, deliveries: number): Promise<void> {
  await db.transaction(async (tx) => {
    // Without the trigger that hands events to fan-out.
    await tx.raw('SET LOCAL session_replication_role = replica');
    await tx.raw(
      `CREATE TEMPORARY TABLE backlog ON COMMIT DROP AS
       SELECT gen_random_uuid() AS event_id, format('member:%s:%s', :workspaceId::text, n % :members) AS order_key
       FROM generate_series(1, :deliveries) AS n`,
      { workspaceId, members: membersInBacklog, deliveries },
    );
    await tx.raw(
      `INSERT INTO events (event_id, workspace_id, order_key, type, payload, occurred_at)
       SELECT event_id, :workspaceId::uuid, order_key, 'membership.updated', :payload::json, now() FROM backlog`,
      { workspaceId, payload },
    );
    await tx.raw(
      `INSERT INTO event_log (position, recorded_on, event_id, workspace_id, order_key, type)
       SELECT position, recorded_on, event_id, workspace_id, order_key, type FROM events
       WHERE workspace_id = :workspaceId::uuid ORDER BY position`,
      { workspaceId },
    );
    await tx.raw(
      `INSERT INTO delivery_lanes (endpoint_id, order_key, due_at) SELECT :endpointId::uuid, order_key, now() FROM backlog GROUP BY order_key`,
      { endpointId: endpointIds[0] as string },
    );
    await tx.raw(
      `INSERT INTO deliveries (endpoint_id, order_key, position, recorded_on, event_id)
       SELECT :endpointId::uuid, order_key, position, recorded_on, event_id FROM events WHERE workspace_id = :workspaceId::uuid`,
      { endpointId: endpointIds[0] as string, workspaceId },
    );
  });
  // What autovacuum and the checkpointer would do later, in the midst of a measurement.
  for (const table of ['events', 'event_log', 'delivery_lanes', 'deliveries']) await db.raw(`VACUUM (ANALYZE) ${table}`);
  await db.raw('CHECKPOINT');
}

/** As long as a real one. */
const payload = JSON.stringify({
  type: 'membership.updated',
  timestamp: '2026-01-01T00:00:00.000Z',
  data: { user: { id: '018f0000-0000-7000-8000-000000000001' }, version: 1, filler: 'x'.repeat(600) },
});
