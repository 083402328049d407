import { type Command, InvalidArgumentError } from 'commander';
import { BrokerError } from '../domain/broker-error.ts';
import type { Stores } from '../stores.ts';
import type { createCommandAudit } from './audit.ts';

export interface ApiKeyCommandDeps {
  readonly terminal: { readonly out: (text: string) => void; readonly err: (text: string) => void };
  /** Opens what the settings name, runs the command and closes all. */
  readonly withStores: (
    command: (opened: {
      readonly stores: Pick<Stores, 'apiKeys' | 'workspaces'>;
      readonly audit: ReturnType<typeof createCommandAudit>;
    }) => Promise<void>,
  ) => Promise<void>;
  readonly examples: (...lines: string[]) => string;
  readonly now: () => Date;
}

/** `rollcall api-keys`: the keys of the REST API. */
export function addApiKeys(program: Command, { terminal, withStores, examples, now }: ApiKeyCommandDeps): void {
  const apiKeys = program.command('api-keys').description('Keys of the REST API.');
  apiKeys
    .command('create')
    .description('Make an API key and print it, this once.')
    .requiredOption('--name <name>', 'what it is for')
    .option('--workspace <slug or id>', 'only for this workspace; the whole instance unless given')
    .option('--read-only', 'may read, and change nothing')
    .option('--expires-in-days <days>', 'valid for so long; for ever unless given', days)
    .addHelpText(
      'after',
      examples('rollcall api-keys create --name ci', 'rollcall api-keys create --name acme --workspace acme --read-only'),
    )
    .action((options: { name: string; workspace?: string; readOnly?: boolean; expiresInDays?: number }) =>
      withStores(async ({ stores, audit }) => {
        const workspaceId = await workspaceIdOf(stores, options.workspace);
        const { keyId, key, apiKey } = await stores.apiKeys.create({
          name: options.name,
          workspaceId,
          readOnly: options.readOnly ?? false,
          expiresAt: options.expiresInDays === undefined ? null : new Date(now().getTime() + options.expiresInDays * 86_400_000),
        });
        const action = 'rollcall api-keys create';
        await audit.record({ action, resource: 'api-keys', resourceId: keyId, workspaceId, after: apiKey });
        // The key alone on standard output, so that it can be piped into a store of secrets.
        terminal.err(`API key ${keyId}, shown this once:\n`);
        terminal.out(`${key}\n`);
      }),
    );
  apiKeys
    .command('revoke')
    .description('Make an API key worth nothing, at once.')
    .argument('<id>', 'as "api-keys create" told it')
    .addHelpText('after', examples('rollcall api-keys revoke 0190…'))
    .action((keyId: string) =>
      withStores(async ({ stores, audit }) => {
        if (!(await stores.apiKeys.revoke(keyId))) throw new BrokerError('not_found', `there is no valid API key ${keyId}`);
        const after = await stores.apiKeys.get(keyId);
        const { workspaceId = null } = after ?? {};
        await audit.record({ action: 'rollcall api-keys revoke', resource: 'api-keys', resourceId: keyId, workspaceId, after });
        terminal.out(`API key ${keyId} is revoked.\n`);
      }),
    );
  apiKeys
    .command('rotate')
    .description('Give an API key a new secret and print it, this once. The secret in force until now goes on for the overlap.')
    .argument('<id>', 'as "api-keys create" told it')
    .option('--overlap-hours <hours>', 'how long both are valid', hours, 24)
    .addHelpText('after', examples('rollcall api-keys rotate 0190… --overlap-hours 48'))
    .action((keyId: string, { overlapHours }: { overlapHours: number }) =>
      withStores(async ({ stores, audit }) => {
        const { key, apiKey: after } = await stores.apiKeys.rotate(keyId, { overlapSeconds: overlapHours * 3_600 });
        const { workspaceId } = after;
        await audit.record({ action: 'rollcall api-keys rotate', resource: 'api-keys', resourceId: keyId, workspaceId, after });
        terminal.err(`New secret of API key ${keyId}, shown this once; the one before ends in ${overlapHours} h:\n`);
        terminal.out(`${key}\n`);
      }),
    );
}

async function workspaceIdOf(stores: Pick<Stores, 'workspaces'>, reference: string | undefined): Promise<string | null> {
  if (reference === undefined) return null;
  const workspace = await stores.workspaces.find(reference);
  if (!workspace) throw new BrokerError('not_found', `there is no workspace ${reference}`);
  return workspace.workspaceId;
}

function days(value: string): number {
  if (/^[1-9][0-9]{0,4}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('give a whole number of days, at least 1');
}

function hours(value: string): number {
  if (/^[0-9]{1,3}$/.test(value) && Number(value) <= 168) return Number(value);
  throw new InvalidArgumentError('give a whole number of hours, at most 168');
}
