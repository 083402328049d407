import { type Command, Option } from 'commander';
import { BrokerError } from '../domain/broker-error.ts';
import { identityView } from '../http/routes/identities.ts';
import type { IdentityName, LinkedIdentity } from '../login/linking-store.ts';
import type { Settings } from '../settings/schema.ts';
import type { Stores } from '../stores.ts';
import type { createCommandAudit } from './audit.ts';
import { findConnection } from './connection-reference.ts';
import { userIdOf } from './member-reference.ts';
import { paintFor, renderTable, type Screen } from './text-table.ts';
import type { RevokeUser } from './token-revocation.ts';

interface Opened {
  readonly stores: Pick<Stores, 'db' | 'connections' | 'identities'>;
  readonly settings: Settings;
  readonly audit: ReturnType<typeof createCommandAudit>;
  /** What the user was given until now is worth nothing from here on. */
  readonly revokeUser: RevokeUser;
}

interface IdentityCommandDeps {
  readonly terminal: Screen;
  readonly withStores: (command: (opened: Opened) => Promise<void>) => Promise<void>;
  readonly examples: (...lines: string[]) => string;
}

interface Naming {
  readonly connection: string;
  readonly subject: string;
}

const connectionOption = () => new Option('--connection <connection>', 'id or display name').makeOptionMandatory();
const subjectOption = (text = 'what the identity provider calls the person') =>
  new Option('--subject <subject>', text).makeOptionMandatory();

/** `rollcall identities`: by which subjects of which connections a person signs in (R33). Memberships follow at the next login. */
export function addIdentities(program: Command, deps: IdentityCommandDeps): void {
  const identities = program.command('identities').description('How people sign in: their subjects at the connections.');
  addList(identities, deps);
  addMove(identities, deps);
  addRebind(identities, deps);
  addUnlink(identities, deps);
}

function addList(identities: Command, { terminal, withStores, examples }: IdentityCommandDeps): void {
  identities
    .command('list')
    .description('List the identities of a person.')
    .argument('<user>', 'id or e-mail address')
    .option('--json', 'for programs')
    .addHelpText('after', examples('rollcall identities list ann@example.com'))
    .action((user: string, { json = false }: { json?: boolean }) =>
      withStores(async ({ stores }) => {
        const found = await stores.identities.list(await userIdOf(stores.db, user));
        terminal.out(json ? `${JSON.stringify({ data: found.map(identityView) }, null, 2)}\n` : tableOf(found, terminal));
      }),
    );
}

function addMove(identities: Command, { terminal, withStores, examples }: IdentityCommandDeps): void {
  identities
    .command('move')
    .description('Give a subject of a connection to another person, who signs in by it from now on.')
    .addOption(connectionOption())
    .addOption(subjectOption())
    .requiredOption('--to <user>', 'id or e-mail address of the person who is to have it')
    .addHelpText('after', examples('rollcall identities move --connection "Acme Okta" --subject 00u1abcd --to ann@example.com'))
    .action(({ to, ...naming }: Naming & { to: string }) =>
      withStores(async (opened) => {
        const { stores } = opened;
        const name = await nameOf(stores, naming);
        const holder = await stores
          .db('identities')
          .where({ connection_id: name.connectionId, subject: name.subject })
          .first<{ user_id: string; issuer: string } | undefined>('user_id', 'issuer');
        if (!holder) throw new BrokerError('not_found', 'nobody has this subject at the connection');
        const userId = await userIdOf(stores.db, to);
        if (holder.user_id === userId) throw new BrokerError('conflict', 'the person has this subject already');
        await stores.identities.move(holder.user_id, userId, name);
        await recordAndRevoke(opened, 'move', name, { from: holder.user_id, to: userId });
        terminal.out(`The subject is ${to}'s from now on; memberships follow at the next login.\n`);
      }),
    );
}

function addRebind(identities: Command, { terminal, withStores, examples }: IdentityCommandDeps): void {
  identities
    .command('rebind')
    .description('The identity provider calls a person by another subject from now on.')
    .argument('<user>', 'id or e-mail address')
    .addOption(connectionOption())
    .addOption(subjectOption('the new subject'))
    .option('--previous-subject <subject>', 'where the person has several there')
    .option('--issuer <issuer>', "the connection's own unless given")
    .addHelpText('after', examples('rollcall identities rebind ann@example.com --connection "Acme Okta" --subject 00u9wxyz'))
    .action((user: string, options: Naming & { previousSubject?: string; issuer?: string }) =>
      withStores(async (opened) => {
        const { stores } = opened;
        const name = await nameOf(stores, options);
        const userId = await userIdOf(stores.db, user);
        const { previousSubject = null, issuer = null } = options;
        const rebound = await stores.identities.rebind(userId, { ...name, previousSubject, issuer });
        await recordAndRevoke(opened, 'rebind', name, { from: userId, to: userId });
        terminal.out(tableOf([rebound], terminal));
      }),
    );
}

function addUnlink(identities: Command, { terminal, withStores, examples }: IdentityCommandDeps): void {
  identities
    .command('unlink')
    .description('Take a subject of a connection from a person, who cannot sign in by it any more. Memberships stay.')
    .argument('<user>', 'id or e-mail address')
    .addOption(connectionOption())
    .addOption(subjectOption())
    .addHelpText('after', examples('rollcall identities unlink ann@example.com --connection "Acme Okta" --subject 00u1abcd'))
    .action((user: string, naming: Naming) =>
      withStores(async (opened) => {
        const { stores } = opened;
        const name = await nameOf(stores, naming);
        const userId = await userIdOf(stores.db, user);
        await stores.identities.unlink(userId, name);
        await recordAndRevoke(opened, 'unlink', name, { from: userId, to: null });
        terminal.out(`${user} cannot sign in by this subject any more.\n`);
      }),
    );
}

async function nameOf(stores: Opened['stores'], { connection, subject }: Naming): Promise<IdentityName> {
  const { connectionId } = await findConnection(stores, connection);
  return { connectionId, subject };
}

/** Whoever lost an identity may hold tokens that came by it. */
async function recordAndRevoke(
  { audit, revokeUser }: Opened,
  verb: string,
  { connectionId, subject }: IdentityName,
  users: { readonly from: string; readonly to: string | null },
): Promise<void> {
  const about = (userId: string | null) => userId && { user_id: userId, connection_id: connectionId, subject };
  const change = { before: about(users.from), after: about(users.to) };
  await audit.record({ action: `rollcall identities ${verb}`, resource: 'identities', resourceId: users.from, ...change });
  await revokeUser(users.from);
}

function tableOf(identities: readonly LinkedIdentity[], terminal: Screen): string {
  const rows = identities.map(({ connection, subject, issuer, lastLoginAt }) => [
    connection,
    subject,
    issuer,
    lastLoginAt?.toISOString() ?? 'never',
  ]);
  return renderTable(['connection', 'subject', 'issuer', 'last login'], rows, paintFor(terminal));
}
