import { type Command, Option } from 'commander';
import { parseInput } from '../http/request-input.ts';
import { domainInput, domainView } from '../http/routes/domains.ts';
import type { ConnectionDomain, DomainStatus } from '../login/domains.ts';
import type { Stores } from '../stores.ts';
import type { createCommandAudit } from './audit.ts';
import { findConnection } from './connection-reference.ts';
import { paintFor, printable, renderTable, type Screen } from './text-table.ts';

interface DomainCommandDeps {
  readonly terminal: Screen;
  readonly withStores: (
    command: (opened: {
      readonly stores: Pick<Stores, 'db' | 'connections' | 'domains'>;
      readonly audit: ReturnType<typeof createCommandAudit>;
    }) => Promise<void>,
  ) => Promise<void>;
  readonly examples: (...lines: string[]) => string;
}

const maxDomains = 10_000;
const connectionOption = () => new Option('--connection <connection>', 'id or display name').makeOptionMandatory();
const statuses: readonly DomainStatus[] = ['pending', 'allowed', 'verified'];

/** `rollcall domains`: the e-mail domains that a connection may speak for (R33). */
export function addDomains(program: Command, deps: DomainCommandDeps): void {
  const domains = program.command('domains').description('E-mail domains that a connection may speak for.');
  addList(domains, deps);
  addAdd(domains, deps);
  addVerify(domains, deps);
  addRemove(domains, deps);
}

function addList(domains: Command, { terminal, withStores, examples }: DomainCommandDeps): void {
  domains
    .command('list')
    .description('List the domains of a connection, each with the TXT record that proves it.')
    .addOption(connectionOption())
    .option('--json', 'for programs')
    .addHelpText('after', examples('rollcall domains list --connection "Acme Okta"'))
    .action(({ connection, json = false }: { connection: string; json?: boolean }) =>
      withStores(async ({ stores }) => {
        const { connectionId } = await findConnection(stores, connection);
        const found = await stores.domains.list(connectionId, { after: null, limit: maxDomains });
        terminal.out(json ? `${JSON.stringify({ data: found.map(domainView) }, null, 2)}\n` : tableOf(found, terminal));
      }),
    );
}

function addAdd(domains: Command, { terminal, withStores, examples }: DomainCommandDeps): void {
  domains
    .command('add')
    .description('Add a domain to a connection, or give a known one another status.')
    .argument('<domain>', 'such as example.com')
    .addOption(connectionOption())
    .addOption(
      new Option('--status <status>', 'allowed: in force; verified: also its own; pending: waits for the TXT record')
        .choices(statuses)
        .default('allowed'),
    )
    .addHelpText(
      'after',
      examples(
        'rollcall domains add acme.com --connection "Acme Okta"',
        'rollcall domains add acme.com --connection "Acme Okta" --status pending',
      ),
    )
    .action((name: string, { connection, status }: { connection: string; status: DomainStatus }) =>
      withStores(async ({ stores, audit }) => {
        const { domain } = parseInput(domainInput, { domain: name });
        const { connectionId, workspaceId } = await findConnection(stores, connection);
        const before = (await stores.domains.get(connectionId, domain).catch(() => null)) ?? null;
        const after = await stores.domains.put(connectionId, domain, status);
        const change = { before: before && domainView(before), after: domainView(after) };
        await audit.record({
          action: 'rollcall domains add',
          resource: 'domains',
          resourceId: connectionId,
          workspaceId,
          ...change,
        });
        terminal.out(tableOf([after], terminal));
      }),
    );
}

function addVerify(domains: Command, { terminal, withStores, examples }: DomainCommandDeps): void {
  domains
    .command('verify')
    .description('Look for the TXT record of a domain; whoever can write it holds the domain.')
    .argument('<domain>', 'as "domains list" shows it')
    .addOption(connectionOption())
    .addHelpText('after', examples('rollcall domains verify acme.com --connection "Acme Okta"'))
    .action((name: string, { connection }: { connection: string }) =>
      withStores(async ({ stores, audit }) => {
        const { connectionId, workspaceId } = await findConnection(stores, connection);
        const before = await stores.domains.get(connectionId, name);
        const after = await stores.domains.verify(connectionId, name);
        const change = { before: domainView(before), after: domainView(after) };
        await audit.record({
          action: 'rollcall domains verify',
          resource: 'domains',
          resourceId: connectionId,
          workspaceId,
          ...change,
        });
        terminal.out(tableOf([after], terminal));
      }),
    );
}

function addRemove(domains: Command, { terminal, withStores, examples }: DomainCommandDeps): void {
  domains
    .command('remove')
    .description('Take a domain from a connection. Who has access keeps it.')
    .argument('<domain>', 'as "domains list" shows it')
    .addOption(connectionOption())
    .addHelpText('after', examples('rollcall domains remove acme.com --connection "Acme Okta"'))
    .action((name: string, { connection }: { connection: string }) =>
      withStores(async ({ stores, audit }) => {
        const { connectionId, workspaceId, displayName } = await findConnection(stores, connection);
        const before = domainView(await stores.domains.get(connectionId, name));
        await stores.domains.remove(connectionId, name);
        await audit.record({
          action: 'rollcall domains remove',
          resource: 'domains',
          resourceId: connectionId,
          workspaceId,
          before,
        });
        terminal.out(`${printable(displayName)} may not speak for ${before.domain} any more.\n`);
      }),
    );
}

function tableOf(domains: readonly ConnectionDomain[], terminal: Screen): string {
  const rows = domains.map(({ domain, status, verifiedBy, record }) => [
    domain,
    verifiedBy === null ? status : `${status} by ${verifiedBy}`,
    record,
  ]);
  return renderTable(['domain', 'status', 'TXT record'], rows, paintFor(terminal));
}
