import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { TestWorkspace } from '../../support/broker-api.ts';
import type { SamlConnection } from '../../support/broker-login.ts';
import { type LevelsWorld, startLevelsWorld } from '../../support/levels-world.ts';

/**
 * The contract of the caches: whoever changes app groups raises `catalogue_version` in the same transaction, which renews the revision.
 * A trigger of this test alone sees every write of app groups, and compares at commit.
 */
const watch = `
  CREATE TABLE forgotten (workspace_id uuid NOT NULL);
  CREATE FUNCTION check_revised() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO forgotten SELECT workspace_id FROM workspaces
     WHERE workspace_id IN (NEW.workspace_id, OLD.workspace_id) AND catalogue_revised_in <> pg_current_xact_id();
    RETURN NULL;
  END $$;
  CREATE CONSTRAINT TRIGGER app_groups_revised AFTER INSERT OR UPDATE OR DELETE ON app_groups
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_revised();`;

let levels: LevelsWorld;
let acme: TestWorkspace;
let connection: SamlConnection;

beforeAll(async () => {
  levels = await startLevelsWorld();
  await levels.world.stores.db.raw(watch);
});
afterAll(() => levels?.stop());
beforeEach(async () => {
  acme = await levels.workspace({ engineers: null, support: null });
  connection = await levels.connect({
    workspace: acme.id,
    groupSync: { create_missing_groups: true, mapping: 'New -> brand new' },
  });
  await levels.logIn(connection, 'ada', ['engineers']);
});

const api = () => levels.world.api;
const groups = () => `/v1/workspaces/${acme.id}/app-groups`;
const revision = async (): Promise<string> => {
  const row = await levels.world.stores.db('workspaces').where({ workspace_id: acme.id }).first('catalogue_revision');
  return row.catalogue_revision;
};
const planned = async (change: object) => {
  const made = await api().post<{ plan_id: string; hash: string }>('/v1/plans', { change });
  await api().post(`/v1/plans/${made.plan_id}/apply`, { hash: made.hash, force: true });
};

describe('whoever changes app groups renews the revision of the catalogue in the same transaction:', () => {
  test.each<[string, () => Promise<unknown>]>([
    ['a push', () => api().put(groups(), { groups: [{ name: 'sales', requires_role: null }] })],
    [
      'a push that swaps two names',
      () =>
        api().put(groups(), {
          groups: [
            { group_id: acme.groups.engineers, name: 'support', requires_role: null },
            { group_id: acme.groups.support, name: 'engineers', requires_role: null },
          ],
        }),
    ],
    ['a new name', () => api().patch(`${groups()}/${acme.groups.engineers}`, { name: 'makers' })],
    [
      'another requirement, with its members re-evaluated',
      () => api().patch(`${groups()}/${acme.groups.engineers}?apply=now`, { requires_role: 'builder' }),
    ],
    ['a deletion', () => levels.confirmed(`${groups()}/${acme.groups.engineers}`)],
    ['a login that makes a missing group', () => levels.logIn(connection, 'ada', ['engineers', 'New'])],
    [
      'a plan that adds and deletes',
      () =>
        planned({
          kind: 'catalogue',
          workspace: acme.id,
          upsert: [{ name: 'sales', requires_role: null }],
          delete: [acme.groups.engineers],
        }),
    ],
  ])('%s', async (_, act) => {
    const before = await revision();
    await act();
    expect(await revision()).not.toBe(before);
    expect(await levels.world.stores.db('forgotten')).toEqual([]);
  });

  test('(proof of the watch: a write that forgets it is noticed)', async () => {
    await levels.world.stores.db('app_groups').where({ workspace_id: acme.id, name: 'support' }).update({ name: 'by hand' });
    expect(await levels.world.stores.db('forgotten').delete()).toBe(1);
  });
});
