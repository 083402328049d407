import type { Express } from 'express';
import { type CopyView, copyPage } from './app-copy-page.ts';
import type { MemberCopy } from './app-member-copy.ts';
import type { Reconciler } from './app-reconcile.ts';
import type { MemberSource } from './app-rollcall-api.ts';
import { refuseForeignForms } from './local-server.ts';

/** The page that compares the app's copy with Rollcall, and its buttons. */
export function addCopyRoutes(
  app: Express,
  parts: {
    readonly url: string;
    readonly copy: MemberCopy;
    readonly source: Pick<MemberSource, 'workspaces'>;
    readonly reconciler: Reconciler;
    readonly reportError: (error: unknown) => void;
  },
): void {
  const { url, copy, source, reconciler, reportError } = parts;

  async function views(): Promise<readonly CopyView[] | null> {
    try {
      const workspaces = await source.workspaces();
      return await Promise.all(
        workspaces.map(async ({ id, slug }) => ({
          workspaceId: id,
          workspace: slug,
          comparison: await reconciler.check(id),
          members: copy.members(id),
        })),
      );
    } catch (error) {
      reportError(error);
      return null;
    }
  }

  app.get('/copy', async (_request, response) => {
    const workspaces = await views();
    response.set('Cache-Control', 'no-store');
    response.status(workspaces === null ? 502 : 200).send(copyPage(workspaces));
  });

  app.post('/copy/:workspace/reconcile', refuseForeignForms(url), async (request, response) => {
    try {
      await reconciler.reconcile(String(request.params.workspace));
    } catch (error) {
      // The page says how things stand.
      reportError(error);
    }
    response.redirect(303, '/copy');
  });

  app.post('/copy/:workspace/spoil', refuseForeignForms(url), (request, response) => {
    copy.spoil(String(request.params.workspace));
    response.redirect(303, '/copy');
  });
}
