-- Rotation and last use of API keys, stored answers of repeated requests, the audit log.

-- A replaced secret stays valid until the overlap ends. The previous version of Rollcall knows the newest secret only.
ALTER TABLE api_keys
  ADD COLUMN previous_secret_hash bytea UNIQUE,
  ADD COLUMN previous_valid_until timestamptz,
  ADD COLUMN rotated_at timestamptz,
  ADD COLUMN last_used_at timestamptz;      -- written at most once a minute
CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id, key_id);

CREATE TABLE idempotency_keys (
  api_key_id    text NOT NULL,              -- or 'bootstrap'
  key_hash      bytea NOT NULL,             -- SHA-256 of the Idempotency-Key
  -- SHA-256 over method, path, query and body: the same key with another request is refused.
  request_hash  bytea NOT NULL,
  method        text NOT NULL,
  path          text NOT NULL,
  -- Fences the answer: a request that lost its claim stores nothing.
  claim_id      uuid NOT NULL UNIQUE,
  status        integer,                    -- null: under way
  sealed_answer text,                       -- headers and body, sealed: answers may show a secret once
  started_at    timestamptz NOT NULL,
  expires_at    timestamptz NOT NULL,
  PRIMARY KEY (api_key_id, key_hash)
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

CREATE TABLE audit_log (
  entry_id      uuid PRIMARY KEY,           -- UUIDv7: in the order of time
  workspace_id  uuid,                       -- null: the instance; no reference, entries outlive what they tell of
  actor_kind    text NOT NULL CHECK (actor_kind IN ('api_key', 'command_line')),
  actor_id      text,                       -- id of the API key, or name of the user at the terminal
  action        text NOT NULL,              -- 'PATCH /connections/{connection_id}', 'rollcall apply'
  resource      text NOT NULL,
  resource_id   text,
  -- started: opened before the change and never closed, so that the process died in between.
  outcome       text NOT NULL CHECK (outcome IN ('started', 'done', 'refused', 'failed')),
  status        integer,
  code          text,
  before        jsonb,
  after         jsonb,
  request_id    text,
  at            timestamptz NOT NULL
);
CREATE INDEX audit_log_by_workspace ON audit_log (workspace_id, entry_id);
CREATE INDEX audit_log_by_resource ON audit_log (resource, resource_id, entry_id);
