-- Licence set through the API, allowed e-mail domains of connections, linking by e-mail. The previous version reads none of it.

-- At most one row. The version in force on every replica is the one here: each reads it once a second.
CREATE TABLE licence (
  only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  token             text,               -- set through the API; null: the settings' one is in force
  -- SHA-256 of the licence that the last licence.changed told of: of many replicas that see a change one tells it.
  announced_digest  text,
  limit_announced_at timestamptz,
  limit_announced   integer,
  updated_at        timestamptz NOT NULL DEFAULT now()
);
INSERT INTO licence DEFAULT VALUES;

-- Seats in use are counted along this index, and no further than the limit.
CREATE INDEX users_active ON users (user_id) WHERE status = 'active';

ALTER TABLE connections ADD COLUMN linking text NOT NULL DEFAULT 'none' CHECK (linking IN ('none', 'verified-email'));

-- pending: not in force, waits for the DNS record. allowed: set by a super admin. verified: the domain is this connection's own.
CREATE TABLE connection_domains (
  connection_id uuid NOT NULL REFERENCES connections,
  domain        text NOT NULL CHECK (domain = lower(domain)),
  status        text NOT NULL CHECK (status IN ('pending', 'allowed', 'verified')),
  verified_by   text CHECK (verified_by IN ('dns', 'admin')),
  verified_at   timestamptz,
  token         text NOT NULL,          -- of the TXT record; public by nature
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (connection_id, domain),
  CHECK ((status = 'verified') = (verified_by IS NOT NULL))
);
-- Home-realm discovery: the connections of a domain.
CREATE INDEX connection_domains_by_domain ON connection_domains (domain) WHERE status <> 'pending';
