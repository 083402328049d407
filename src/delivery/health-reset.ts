import type { Transaction } from '../infra/postgres.ts';
import { hurrySql } from './circuit-store.ts';

/** As if the endpoint had never failed: its circuit is closed, and what waits is due. What it last answered stays to be read. */
export async function resetHealth(tx: Transaction, endpointId: string): Promise<void> {
  await tx('endpoint_health')
    .where({ endpoint_id: endpointId })
    .update({ consecutive_failures: 0, failing_since: null, paused_until: null, failed_probes: 0 });
  await tx.raw(hurrySql, { endpointIds: [endpointId] });
}
