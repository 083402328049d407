-- Plans (R39): what a change of mapping, settings or catalogue would do to everyone, and how far it was carried out.

CREATE TABLE plans (
  plan_id      uuid PRIMARY KEY,
  workspace_id uuid REFERENCES workspaces,      -- the one workspace that it concerns; null: for keys of instance scope
  status       text NOT NULL CHECK (status IN ('evaluating', 'ready', 'failed', 'applying', 'applied')),
  change       jsonb NOT NULL,                  -- as the API took it
  -- Versions and digests of everything that the evaluation went by, and the SHA-256 over change and world that apply carries.
  world        jsonb,
  hash         text,
  summary      jsonb,
  -- Where the next batch of an apply begins; moved in the transaction of each batch.
  progress     jsonb,
  created_at   timestamptz NOT NULL,
  updated_at   timestamptz NOT NULL
);
CREATE INDEX plans_by_workspace ON plans (workspace_id, plan_id);

-- One row for each membership that the plan would change.
CREATE TABLE plan_members (
  plan_id      uuid NOT NULL REFERENCES plans,
  position     bigint NOT NULL,
  workspace_id uuid NOT NULL,
  user_id      uuid NOT NULL,
  type         text NOT NULL,                   -- of the event that it would cause
  gains        boolean NOT NULL,
  loses        boolean NOT NULL,
  admin        text CHECK (admin IN ('gains', 'loses', 'kept')),
  role_before  text,                            -- null: no access
  role_after   text,
  added        jsonb NOT NULL,
  removed      jsonb NOT NULL,
  PRIMARY KEY (plan_id, position)
);
CREATE INDEX plan_members_by_user ON plan_members (plan_id, user_id);

-- A plan walks the users of a connection in the order of their ids.
CREATE INDEX identities_by_connection_user ON identities (connection_id, user_id);
