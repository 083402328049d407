import { type Request, Router } from 'express';
import { BrokerError } from '../../domain/broker-error.ts';
import { type ClientMetadata, clientIdPattern, clientMetadataSchema } from '../../provider/client-metadata.ts';
import type { ClientStore } from '../../provider/client-store.ts';
import { instanceScope } from '../admin-auth.ts';
import { checkIfMatch, sendTagged } from '../etag.ts';
import { invalidInput, jsonBody, parseInput } from '../request-input.ts';
import { inSnakeCase } from '../snake-case.ts';

/** Clients of the OpenID Provider: the app, and so the instance's. */
export function createClientRoutes({ clients }: { readonly clients: Pick<ClientStore, 'read' | 'list' | 'change'> }): Router {
  const router = Router();
  router.use(instanceScope);

  router.get('/', async (_req, res) => {
    res.json({ data: (await clients.list()).map(clientView), next_cursor: null });
  });

  router.get('/:client_id', async (req, res) => {
    const client = await clients.read(clientIdOf(req));
    if (!client) throw new BrokerError('not_found', 'there is no such client');
    sendTagged(req, res, clientView(client));
  });

  // Creates or replaces; a secret that is left out stays.
  router.put('/:client_id', async (req, res) => {
    const clientId = clientIdOf(req);
    const { client, created } = await clients.change(clientId, (stored) => {
      checkIfMatch(req, stored && clientView(stored));
      return parseInput(clientInputSchema, document(clientId, stored, jsonBody(req)));
    });
    res.status(created ? 201 : 200);
    sendTagged(req, res, clientView(client));
  });

  return router;
}

/** A client in snake_case; shared with the declarative file. */
export const clientInputSchema = inSnakeCase(clientMetadataSchema, [
  'client_id',
  'client_secret',
  'name',
  'redirect_uris',
  'post_logout_redirect_uris',
  'token_endpoint_auth_method',
  'id_token_signed_response_alg',
]);

function document(clientId: string, stored: ClientMetadata | null, body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  if ('client_id' in body && body.client_id !== clientId) {
    throw invalidInput([{ path: 'client_id', message: 'leave it out, or give the one of the address' }]);
  }
  const kept =
    stored?.clientSecret == null || 'client_secret' in body || isPublic(body) ? {} : { client_secret: stored.clientSecret };
  return { ...body, client_id: clientId, ...kept };
}

function isPublic(body: object): boolean {
  return 'token_endpoint_auth_method' in body && body.token_endpoint_auth_method === 'none';
}

function clientIdOf(req: Request): string {
  const { client_id: clientId } = req.params;
  if (typeof clientId === 'string' && clientIdPattern.test(clientId)) return clientId;
  throw new BrokerError('not_found', 'the path names no client');
}

export function clientView(client: Omit<ClientMetadata, 'clientSecret'>) {
  return {
    client_id: client.clientId,
    name: client.name,
    redirect_uris: client.redirectUris,
    post_logout_redirect_uris: client.postLogoutRedirectUris,
    token_endpoint_auth_method: client.tokenEndpointAuthMethod,
    id_token_signed_response_alg: client.idTokenSignedResponseAlg,
  };
}
