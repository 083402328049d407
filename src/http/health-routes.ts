import { Router } from 'express';
import type { Metrics } from '../infra/metrics.ts';

export interface HealthDeps {
  /** Resolves when Postgres answers. */
  readonly checkDatabase: () => Promise<unknown>;
  /** True once the process was told to stop: load balancers send nothing more. */
  readonly isDraining: () => boolean;
  readonly metrics: Pick<Metrics, 'text' | 'contentType'>;
}

const checkMilliseconds = 2_000;

/** `/livez`: the process turns. `/readyz`: it can serve logins. Redis is not asked: without it logins still work (law 1). */
export function createHealthRoutes({ checkDatabase, isDraining, metrics }: HealthDeps): Router {
  const router = Router();
  router.get('/livez', (_req, res) => {
    res.type('text').send('ok');
  });
  router.get('/readyz', async (_req, res) => {
    const postgres = isDraining() ? 'not asked' : await answersInTime(checkDatabase);
    const ready = postgres === 'ok';
    res.setHeader('cache-control', 'no-store');
    if (!ready) res.setHeader('retry-after', '5');
    res
      .status(ready ? 200 : 503)
      .json({ status: isDraining() ? 'draining' : ready ? 'ready' : 'not ready', checks: { postgres } });
  });
  router.get('/metrics', async (_req, res) => {
    res.type(metrics.contentType).send(await metrics.text());
  });
  return router;
}

async function answersInTime(check: () => Promise<unknown>): Promise<'ok' | 'unavailable'> {
  const { promise: late, resolve } = Promise.withResolvers<'unavailable'>();
  const timer = setTimeout(() => resolve('unavailable'), checkMilliseconds);
  const answer = check().then(
    () => 'ok' as const,
    () => 'unavailable' as const,
  );
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
