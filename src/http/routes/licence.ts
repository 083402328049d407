import { Router } from 'express';
import { z } from 'zod';
import type { LicenceStore } from '../../login/licence-store.ts';
import { instanceScope } from '../admin-auth.ts';
import { parseBody } from '../request-input.ts';

export interface LicenceRouteDeps {
  readonly licences: Pick<LicenceStore, 'view' | 'set' | 'clear' | 'countUsers' | 'refresh'>;
}

/** The licence in force (R34), for keys of instance scope. */
export function createLicenceRoutes({ licences }: LicenceRouteDeps): Router {
  const router = Router();
  const view = async () => ({ ...licences.view(), active_users: await licences.countUsers() });
  router.use(instanceScope);

  router.get('/', async (_req, res) => {
    await licences.refresh({ announce: true });
    res.json(await view());
  });

  router.put('/', async (req, res) => {
    await licences.set(parseBody(licenceInput, req).token);
    res.json(await view());
  });

  router.delete('/', async (_req, res) => {
    await licences.clear();
    res.json(await view());
  });

  return router;
}

export const licenceInput = z.strictObject({ token: z.string().min(1).max(16_384) });
