import fc from 'fast-check';
import { expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';
import { accessIn, loginsOn } from '../../support/plan-world.ts';

const api = useApi();

const idpGroups = ['Eng', 'Help', 'Boss', 'engineers', 'support', 'builder'] as const;
const targets = ['admin', 'builder', 'end-user', 'engineers', 'support', 'nowhere'] as const;
const rules = fc.array(
  fc.record({
    from: fc.constantFrom(...idpGroups, 'E*'),
    to: fc.constantFrom(...targets),
  }),
  { maxLength: 5 },
);
const mapping = fc.record({ rules, one_to_one: fc.boolean() }).map((made) => ({
  one_to_one: made.one_to_one,
  rules: made.rules.map((rule) => ({ ...rule, match: rule.from.includes('*') ? 'glob' : 'exact' })),
}));
const settings = fc.record({
  mapping,
  no_match: fc.constantFrom('fallback', 'deny', 'keep'),
  mode: fc.constantFrom('authoritative', 'managed-only'),
});
const people = fc.array(fc.subarray([...idpGroups]), { minLength: 1, maxLength: 6 });
const requirement = fc.constantFrom('admin', 'builder', null);

it('R39 apply gives exactly the memberships that a login of everyone with their last-seen groups gives', async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(people, settings, settings, requirement, async (groupsOf, before, after, requiresRole) => {
      runs += 1;
      // The same people and history in two workspaces: a plan changes the one, logins the other.
      const twins = await Promise.all(['planned', 'logged'].map((name) => aTwin(`${name}-${runs}`, groupsOf, before)));
      const [planned, logged] = twins as [Twin, Twin];
      const change = { kind: 'connection', connection_id: planned.connectionId, group_sync: { ...after, enabled: true } };
      await api.put(`/v1/workspaces/${planned.workspaceId}/app-groups`, catalogue(requiresRole));
      await api.put(`/v1/workspaces/${logged.workspaceId}/app-groups`, catalogue(requiresRole));
      const plan = await api.post('/v1/plans', { change });
      expect(plan.status, JSON.stringify(plan.body)).toBe(201);
      const rows = await api.get(`/v1/plans/${plan.body.plan_id}/members`);
      const was = await access(planned);
      const applied = await api.post(`/v1/plans/${plan.body.plan_id}/apply`, { hash: plan.body.hash, force: true });
      expect(applied.status, JSON.stringify(applied.body)).toBe(200);

      await api.patch(`/v1/connections/${logged.connectionId}`, { group_sync: after });
      await logInAll(logged, groupsOf);
      const is = await access(planned);
      expect(is).toEqual(await access(logged));

      const changed = Object.keys({ ...was, ...is }).filter((name) => was[name] !== is[name]);
      expect(rows.body.data.map((row: { user: { name: string } }) => nameOf(row.user.name)).sort()).toEqual(changed.sort());
      // A login after the plan finds nothing to do.
      await logInAll(planned, groupsOf);
      expect(await access(planned)).toEqual(is);
    }),
    { numRuns: 25 },
  );
}, 120_000);

interface Twin {
  readonly name: string;
  readonly workspaceId: string;
  readonly connectionId: string;
}

const catalogue = (requiresRole: string | null) => ({
  groups: [{ name: 'engineers', requires_role: requiresRole }, { name: 'support' }],
});

async function aTwin(name: string, groupsOf: readonly string[][], before: object): Promise<Twin> {
  const workspace = await api.post('/v1/workspaces', { slug: name });
  const workspaceId = workspace.body.workspace_id as string;
  await api.put(`/v1/workspaces/${workspaceId}/app-groups`, catalogue(null));
  const made = await api.post('/v1/connections', {
    workspace: workspaceId,
    display_name: name,
    protocol: samlProtocol,
    // Which of several admins is the last depends on the order of the logins.
    group_sync: { ...before, enabled: true, keep_last_admin: false },
  });
  const twin = { name, workspaceId, connectionId: made.body.connection_id as string };
  await logInAll(twin, groupsOf, true);
  return twin;
}

async function logInAll({ name, connectionId }: Twin, groupsOf: readonly string[][], first = false): Promise<void> {
  const logIn = loginsOn(api.database.db);
  const known = await api.database.db('identities').where({ connection_id: connectionId }).pluck<string[]>('subject');
  for (const [index, groups] of groupsOf.entries()) {
    const subject = `p${index}.${name}`;
    // A first login that is denied leaves no user, and so no groups that were seen.
    if (first || known.includes(subject)) await logIn(connectionId, subject, groups).catch(() => undefined);
  }
}

async function access({ workspaceId }: Twin): Promise<Record<string, string>> {
  const all = await accessIn(api.database.db, workspaceId);
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, held]) => (held === 'none' ? [] : [[nameOf(name), held] as const])),
  );
}

function nameOf(subject: string): string {
  return subject.split('.')[0] ?? '';
}
