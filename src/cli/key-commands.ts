import { randomBytes } from 'node:crypto';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type KeyPurpose, keyPurposes } from '../infra/instance-key-kinds.ts';
import type { InstanceKey } from '../infra/instance-key-rotation.ts';
import type { Stores } from '../stores.ts';
import type { createCommandAudit } from './audit.ts';
import { paintFor, renderTable, type Screen } from './text-table.ts';

interface KeyCommandDeps {
  readonly terminal: Screen;
  readonly withStores: (
    command: (opened: {
      readonly stores: Pick<Stores, 'instanceKeys' | 'instanceKeyRotation'>;
      readonly audit: ReturnType<typeof createCommandAudit>;
    }) => Promise<void>,
  ) => Promise<void>;
  readonly examples: (...lines: string[]) => string;
}

/** `rollcall keys`: keys for the settings, and the key pairs of the instance. */
export function addKeys(program: Command, deps: KeyCommandDeps): void {
  const keys = program.command('keys').description('Keys for the settings, and the key pairs of the instance.');
  addGenerate(keys, deps);
  addList(keys, deps);
  addRotate(keys, deps);
  addRetire(keys, deps);
}

function addGenerate(keys: Command, { terminal, examples }: KeyCommandDeps): void {
  keys
    .command('generate')
    .description('Print a new key for ROLLCALL_SEALING_KEYS or ROLLCALL_COOKIE_KEYS: "<id>:<32 random bytes in base64>".')
    .option('--id <id>', 'the name that sealed values carry; random unless given', keyName)
    .addHelpText(
      'after',
      examples('export ROLLCALL_SEALING_KEYS="$(rollcall keys generate)"', 'rollcall keys generate --id 2026-07'),
    )
    .action(({ id }: { id?: string }) => {
      terminal.out(`${id ?? `k${randomBytes(4).toString('hex')}`}:${randomBytes(32).toString('base64')}\n`);
    });
}

function addList(keys: Command, { terminal, withStores, examples }: KeyCommandDeps): void {
  keys
    .command('list')
    .description('List the key pairs of the instance: what each is for, and what it does now. Private keys are never shown.')
    .option('--all', 'also those that are retired')
    .option('--json', 'for programs')
    .addHelpText('after', examples('rollcall keys list', 'rollcall keys list --all --json'))
    .action(({ all = false, json = false }: { all?: boolean; json?: boolean }) =>
      withStores(async ({ stores }) => {
        await stores.instanceKeys.ensure();
        const shown = (await stores.instanceKeyRotation.list()).filter(({ state }) => all || state !== 'retired');
        terminal.out(json ? `${JSON.stringify({ data: shown.map(keyView) }, null, 2)}\n` : tableOf(shown, terminal));
      }),
    );
}

function addRotate(keys: Command, { terminal, withStores, examples }: KeyCommandDeps): void {
  keys
    .command('rotate')
    .description('Make a new key pair beside the one in force. Nothing stops working: "keys retire" ends the old one later.')
    .addOption(new Option('--purpose <purpose>', 'what the key is for').choices(keyPurposes).makeOptionMandatory())
    .option('--json', 'for programs')
    .addHelpText(
      'after',
      `
What happens next, by purpose. Running processes follow by themselves, within half a minute:
  token-signing    the new key is in the JWKS at once and signs after provider.signingKeyPublishSeconds (one hour), when apps have
                   read it. Tokens of the old one verify until it is retired: see "needed until" in "keys list".
  saml-signing     the new certificate is in the metadata at once; the old key signs until it is retired. Give the metadata to the
                   identity providers that check signed requests, then retire the old key.
  saml-decryption  the new certificate is in the metadata at once, and both keys open assertions. Give the metadata to the identity
                   providers that encrypt, then retire the old key.
  webhook-signing  the new key signs at once, beside the old one, until that is retired. Give its public key to the receivers first
                   if they know only the old one.
${examples('rollcall keys rotate --purpose token-signing', 'rollcall keys rotate --purpose saml-decryption')}`,
    )
    .action(({ purpose, json = false }: { purpose: KeyPurpose; json?: boolean }) =>
      withStores(async ({ stores, audit }) => {
        await stores.instanceKeys.ensure();
        const made = await stores.instanceKeyRotation.rotate(purpose);
        for (const key of made) {
          const change = { resource: 'instance-keys', resourceId: key.keyId, after: keyView(key) };
          await audit.record({ action: 'rollcall keys rotate', ...change });
        }
        terminal.out(json ? `${JSON.stringify({ data: made.map(keyView) }, null, 2)}\n` : tableOf(made, terminal));
      }),
    );
}

function addRetire(keys: Command, { terminal, withStores, examples }: KeyCommandDeps): void {
  keys
    .command('retire')
    .description('Take an old key pair out of force, once nobody needs it any more. There is no way back.')
    .argument('<key id>', 'as "keys list" shows it')
    .option('--force', 'at once, although it is needed: for a private key that others may have')
    .addHelpText(
      'after',
      `
An id that begins with a dash goes behind "--". The last key of its kind stays: rotate first. A leaked key is replaced by
"keys rotate" and "keys retire --force".
${examples('rollcall keys retire oKTVhDxGZ7hYlVYd3N5SAwCMKK4V8yMcGLPMGOWJrMs')}`,
    )
    .action((keyId: string, { force = false }: { force?: boolean }) =>
      withStores(async ({ stores, audit }) => {
        const before = (await stores.instanceKeyRotation.list()).find((key) => key.keyId === keyId);
        const after = await stores.instanceKeyRotation.retire(keyId, { force });
        const change = { before: before && keyView(before), after: keyView(after) };
        await audit.record({ action: 'rollcall keys retire', resource: 'instance-keys', resourceId: keyId, ...change });
        terminal.out(`Key ${keyId} (${after.purpose}) is retired; running processes follow within half a minute.\n`);
      }),
    );
}

const states = {
  in_use: 'in use',
  published: 'published, not in use yet',
  verifies: 'accepted, not in use any more',
  retired: 'retired',
} as const satisfies Record<InstanceKey['state'], string>;

function tableOf(keys: readonly InstanceKey[], terminal: Screen): string {
  const rows = keys.map((key) => [
    key.purpose,
    key.algorithm,
    key.keyId,
    key.createdAt.toISOString(),
    `${states[key.state]}${untilText(key)}`,
  ]);
  return renderTable(['purpose', 'algorithm', 'key id', 'made', 'state'], rows, paintFor(terminal));
}

function untilText({ signsFrom, neededUntil, retiredAt }: InstanceKey): string {
  if (retiredAt !== null) return ` ${retiredAt.toISOString()}`;
  if (signsFrom !== null) return `; signs from ${signsFrom.toISOString()}`;
  return neededUntil === null ? '' : `; needed until ${neededUntil.toISOString()}`;
}

function keyView(key: InstanceKey) {
  const { keyId, purpose, algorithm, state } = key;
  const at = (date: Date | null) => date?.toISOString() ?? null;
  return {
    key_id: keyId,
    purpose,
    algorithm,
    state,
    created_at: at(key.createdAt),
    signs_from: at(key.signsFrom),
    needed_until: at(key.neededUntil),
    retired_at: at(key.retiredAt),
  };
}

function keyName(value: string): string {
  if (/^[A-Za-z0-9_-]{1,32}$/.test(value)) return value;
  throw new InvalidArgumentError('give 1 to 32 letters, digits, "_" or "-"');
}
