-- Workspaces, connections, users, memberships, events. Every tenant table leads its keys with workspace_id where it has one.
-- Identifiers are UUID version 7, made by the application, so that keys grow with time.

CREATE TABLE workspaces (
  workspace_id uuid PRIMARY KEY,
  slug         text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  display_name text NOT NULL,
  status       text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived')),
  -- Grows with each change of the catalogue of app groups; caches compare it.
  catalogue_version bigint NOT NULL DEFAULT 1,
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app_groups (
  workspace_id  uuid NOT NULL REFERENCES workspaces,
  group_id      uuid NOT NULL,
  name          text NOT NULL,
  requires_role text,
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, group_id),
  UNIQUE (workspace_id, name)
);

CREATE TABLE connections (
  connection_id uuid PRIMARY KEY,
  workspace_id  uuid REFERENCES workspaces,      -- null: instance level
  display_name  text NOT NULL,
  enabled       boolean NOT NULL DEFAULT true,
  protocol      jsonb NOT NULL,                  -- SamlSettings | OidcSettings; secrets in it are sealed
  group_sync    jsonb NOT NULL,                  -- GroupSyncSettings
  just_in_time_provisioning boolean NOT NULL DEFAULT true,
  is_default    boolean NOT NULL DEFAULT false,  -- taken when a login names neither workspace nor connection
  version       bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX connections_by_workspace ON connections (workspace_id);
CREATE UNIQUE INDEX connections_one_default ON connections (is_default) WHERE is_default;
CREATE UNIQUE INDEX connections_display_name ON connections (coalesce(workspace_id, '00000000-0000-0000-0000-000000000000'), display_name);

-- The sync list of an instance-level connection (R5-R12). A null override inherits.
CREATE TABLE connection_workspaces (
  workspace_id  uuid NOT NULL REFERENCES workspaces,
  connection_id uuid NOT NULL REFERENCES connections,
  is_default    boolean NOT NULL DEFAULT false,
  enabled       boolean NOT NULL DEFAULT true,
  claim_name_override text,
  mapping_override    jsonb,
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, connection_id)
);
CREATE INDEX connection_workspaces_by_connection ON connection_workspaces (connection_id);
CREATE UNIQUE INDEX connection_workspaces_one_default ON connection_workspaces (connection_id) WHERE is_default;

CREATE TABLE users (
  user_id     uuid PRIMARY KEY,
  email       text,
  email_verified boolean NOT NULL DEFAULT false,
  name        text,
  given_name  text,
  family_name text,
  status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived')),
  -- SHA-256 over the profile as last received: an equal one means that a login need not write it again.
  profile_fingerprint text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_by_email ON users (lower(email));

-- R33: identity = connection + subject.
CREATE TABLE identities (
  connection_id  uuid NOT NULL REFERENCES connections,
  subject        text NOT NULL,
  issuer         text NOT NULL,
  user_id        uuid NOT NULL REFERENCES users,
  -- Groups of the last answer in which they were known, per claim name (simulate and plan read them; R38, R39).
  last_groups    jsonb,
  last_groups_at timestamptz,
  groups_fingerprint text,              -- SHA-256 over last_groups
  last_login_at  timestamptz,
  created_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (connection_id, subject)
);
CREATE INDEX identities_by_user ON identities (user_id);

CREATE TABLE memberships (
  workspace_id uuid NOT NULL REFERENCES workspaces,
  user_id      uuid NOT NULL REFERENCES users,
  role         text NOT NULL,
  group_ids    uuid[] NOT NULL DEFAULT '{}',
  status       text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'removed')),
  version      bigint NOT NULL DEFAULT 1,
  -- Reasons of every grant (R37), the login that gave the present state, and the connection it came by.
  reasons       jsonb NOT NULL DEFAULT '[]',
  warnings      jsonb NOT NULL DEFAULT '[]',
  connection_id uuid REFERENCES connections,
  login_id      uuid,
  -- SHA-256 over everything the last sync decided: an equal one means that a login changes nothing. Null after a manual edit.
  fingerprint   text,
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);
CREATE INDEX memberships_by_role ON memberships (workspace_id, role) WHERE status = 'active';

-- Replay protection: one row for each answer of an IdP that was accepted, until it could not be presented again anyway.
CREATE TABLE used_answers (
  connection_id uuid NOT NULL,
  answer_id     text NOT NULL,
  used_until    timestamptz NOT NULL,
  PRIMARY KEY (connection_id, answer_id)
);
CREATE INDEX used_answers_by_expiry ON used_answers (used_until);

-- What happened at each login, also the refused ones; the reference on an error page is the login_id.
CREATE TABLE login_traces (
  login_id      uuid PRIMARY KEY,
  connection_id uuid,
  user_id       uuid,
  outcome       text NOT NULL,          -- 'signed_in' or a code of the error table
  reason        text,
  detail        jsonb NOT NULL,
  occurred_at   timestamptz NOT NULL
);
CREATE INDEX login_traces_by_user ON login_traces (user_id, occurred_at);
CREATE INDEX login_traces_by_time ON login_traces (occurred_at);

-- Outbox. An event exists if and only if its change committed (law 3).
CREATE TABLE events (
  position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id     uuid NOT NULL UNIQUE,    -- webhook-id is 'evt_' and this, without dashes
  -- Orders readers behind transactions still open: a cursor never skips a late commit (R40).
  transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
  workspace_id uuid,
  user_id      uuid,
  order_key    text NOT NULL,
  type         text NOT NULL,
  -- The envelope as sent. json, not jsonb: it keeps the text byte for byte, so that every attempt sends and signs the same bytes.
  payload      json NOT NULL,
  occurred_at  timestamptz NOT NULL,
  fanned_out   boolean NOT NULL DEFAULT false
);
CREATE INDEX events_to_fan_out ON events (position) WHERE NOT fanned_out;
CREATE INDEX events_by_transaction ON events (transaction_id, position);
CREATE INDEX events_by_workspace ON events (workspace_id, position);

CREATE TABLE endpoints (
  endpoint_id   uuid PRIMARY KEY,
  url           text NOT NULL,
  description   text NOT NULL DEFAULT '',
  event_types   text[],                 -- null: all
  workspace_ids uuid[],                 -- null: all
  sealed_secrets jsonb NOT NULL,        -- newest first: [{ "sealed": "…", "expires_at": null }]
  enabled       boolean NOT NULL DEFAULT true,
  disabled_reason text CHECK (disabled_reason IN ('request', 'gone')), -- gone: the receiver answered 410
  -- An endpoint gets the events that its creation could not see: later ones, and those of transactions open at that moment.
  since_position bigint NOT NULL,
  since_snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
  deleted_at    timestamptz,            -- the row stays for its deliveries; its secrets do not
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX endpoints_by_url ON endpoints (url) WHERE deleted_at IS NULL;

-- A lane is the queue of one order key at one endpoint: it is leased as a whole, and a failing head holds back its own lane only.
CREATE TABLE delivery_lanes (
  endpoint_id   uuid NOT NULL REFERENCES endpoints,
  order_key     text NOT NULL,
  due_at        timestamptz,            -- null: nothing waits
  leased_by     uuid,
  leased_until  timestamptz,
  -- Grows whenever deliveries are added: whoever gives the lane back sees whether any came meanwhile.
  revision      bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (endpoint_id, order_key)
);
CREATE INDEX delivery_lanes_due ON delivery_lanes (endpoint_id, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE deliveries (
  endpoint_id  uuid NOT NULL,
  order_key    text NOT NULL,
  position     bigint NOT NULL,
  event_id     uuid NOT NULL,
  status       text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'delivered', 'exhausted')),
  attempts     integer NOT NULL DEFAULT 0,
  last_status  integer,                 -- HTTP status of the last attempt; null: no answer
  last_error   text,
  created_at   timestamptz NOT NULL DEFAULT now(),
  finished_at  timestamptz,
  PRIMARY KEY (endpoint_id, order_key, position),
  FOREIGN KEY (endpoint_id, order_key) REFERENCES delivery_lanes
);
CREATE INDEX deliveries_waiting ON deliveries (endpoint_id, order_key, position) WHERE status = 'waiting';
CREATE INDEX deliveries_by_event ON deliveries (event_id);

-- Clients of the OpenID Provider (the app), with sealed secrets.
CREATE TABLE oidc_clients (
  client_id  text PRIMARY KEY,
  sealed_client_secret text,
  metadata   jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- Key pairs of the instance: tokens (ES256, RS256), SAML signing and decryption. Private parts are sealed.
CREATE TABLE instance_keys (
  key_id      text PRIMARY KEY,
  purpose     text NOT NULL CHECK (purpose IN ('token-signing', 'saml-signing', 'saml-decryption')),
  algorithm   text NOT NULL,
  sealed_private_key text NOT NULL,     -- PKCS #8 PEM, sealed
  certificate text,                     -- PEM, for SAML
  created_at  timestamptz NOT NULL DEFAULT now(),
  retired_at  timestamptz
);

CREATE TABLE api_keys (
  key_id     uuid PRIMARY KEY,
  name       text NOT NULL,
  secret_hash bytea NOT NULL UNIQUE,    -- SHA-256 of the whole key; keys carry 256 random bits
  workspace_id uuid REFERENCES workspaces, -- null: instance scope (R13)
  read_only  boolean NOT NULL DEFAULT false,
  expires_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Stands in for Redis while it is away: pending logins and provider artifacts only, nothing that must survive a crash.
CREATE UNLOGGED TABLE expiring_values (
  key        text PRIMARY KEY,
  value      text NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX expiring_values_by_expiry ON expiring_values (expires_at);
