import { Router } from 'express';
import type { DeclaredOperation } from '../api-schema.ts';
import { openApiDocument } from '../openapi.ts';

/** The API's own description; public, as it tells nothing about anybody. */
export function createOpenApiRoutes(deps: {
  readonly publicUrl: string;
  readonly operations: readonly DeclaredOperation[];
}): Router {
  const router = Router();
  let document: string | undefined;

  router.get('/openapi.json', (_req, res) => {
    document ??= JSON.stringify(openApiDocument(deps.operations, deps));
    res.type('json').send(document);
  });

  return router;
}
