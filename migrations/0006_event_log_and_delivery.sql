-- The event log in partitions, a queue between commit and fan-out, attempts, health and background work of endpoints.
--
-- Safe while the previous version serves: its appends reach the new tables through the trigger, its fan-out finds nothing to do
-- (`fanned_out` is true from the start), and its worker goes on with the deliveries that exist.

LOCK TABLE events, deliveries IN ACCESS EXCLUSIVE MODE;
ALTER TABLE events RENAME TO events_before;
CREATE SEQUENCE event_positions;

-- One partition holds a week of `recorded_on`, by the clock of Postgres; maintenance makes them ahead and drops them after their retention.
CREATE TABLE events (
  recorded_on  date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
  position     bigint NOT NULL DEFAULT nextval('event_positions'),
  event_id     uuid NOT NULL,           -- webhook-id is 'evt_' and this, without dashes
  transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
  workspace_id uuid,
  user_id      uuid,
  order_key    text NOT NULL,
  type         text NOT NULL,
  -- The envelope as sent. json, not jsonb: it keeps the text byte for byte, so that every attempt sends and signs the same bytes.
  payload      json NOT NULL,
  occurred_at  timestamptz NOT NULL,
  -- Made for this endpoint alone (a snapshot, a test) and no part of the log; null: for all that want it.
  only_endpoint_id uuid,
  fanned_out   boolean NOT NULL DEFAULT true, -- read by the previous version only
  PRIMARY KEY (recorded_on, position)
) PARTITION BY RANGE (recorded_on);
ALTER SEQUENCE event_positions OWNED BY events.position;

-- What maintenance did not foresee still finds a place: a login never fails for want of a partition.
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- What was appended and not yet fanned out: narrow, nearly empty, and gone with its delivery's making.
CREATE TABLE outbox (
  position     bigint PRIMARY KEY,
  recorded_on  date NOT NULL,
  event_id     uuid NOT NULL,
  transaction_id xid8 NOT NULL,
  workspace_id uuid,
  user_id      uuid,
  order_key    text NOT NULL,
  type         text NOT NULL,
  only_endpoint_id uuid
);

-- The order in which events became known to readers. Fan-out gives the sequence, one pass at a time: it becomes visible without gaps,
-- whatever transaction commits late (R40).
CREATE TABLE event_log (
  sequence     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  position     bigint NOT NULL,
  recorded_on  date NOT NULL,
  event_id     uuid NOT NULL,
  workspace_id uuid,
  user_id      uuid,
  order_key    text NOT NULL,
  type         text NOT NULL
);
CREATE INDEX event_log_by_event ON event_log (event_id);
CREATE INDEX event_log_by_workspace ON event_log (workspace_id, sequence);
CREATE INDEX event_log_by_order_key ON event_log (order_key, sequence);

DO $$
DECLARE
  week date := date_trunc('week', (now() AT TIME ZONE 'UTC')::date)::date;
BEGIN
  FOR weeks IN 0..3 LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
                   'events_' || to_char(week + 7 * weeks, 'YYYYMMDD'), week + 7 * weeks, week + 7 * weeks + 7);
  END LOOP;
END $$;

-- Kept events count from the day of this migration.
INSERT INTO events (position, event_id, transaction_id, workspace_id, user_id, order_key, type, payload, occurred_at)
  SELECT position, event_id, transaction_id, workspace_id, user_id, order_key, type, payload, occurred_at FROM events_before;
INSERT INTO event_log (position, recorded_on, event_id, workspace_id, user_id, order_key, type)
  SELECT e.position, e.recorded_on, e.event_id, e.workspace_id, e.user_id, e.order_key, e.type
    FROM events e JOIN events_before b USING (position) WHERE b.fanned_out ORDER BY position;
INSERT INTO outbox (position, recorded_on, event_id, transaction_id, workspace_id, user_id, order_key, type)
  SELECT e.position, e.recorded_on, e.event_id, e.transaction_id, e.workspace_id, e.user_id, e.order_key, e.type
    FROM events e JOIN events_before b USING (position) WHERE NOT b.fanned_out;
SELECT setval('event_positions', coalesce((SELECT max(position) FROM events), 0) + 1, false);
DROP TABLE events_before;

CREATE INDEX events_by_user ON events (user_id);   -- erasing a user reaches every event about them

CREATE FUNCTION events_to_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO outbox (position, recorded_on, event_id, transaction_id, workspace_id, user_id, order_key, type, only_endpoint_id)
    SELECT position, recorded_on, event_id, transaction_id, workspace_id, user_id, order_key, type, only_endpoint_id FROM appended;
  -- Heard when the transaction commits, and not at all when it does not.
  PERFORM pg_notify('rollcall_events', '');
  RETURN NULL;
END $$;
CREATE TRIGGER events_to_outbox AFTER INSERT ON events
  REFERENCING NEW TABLE AS appended FOR EACH STATEMENT EXECUTE FUNCTION events_to_outbox();

-- Deliveries that wait or rest as exhausted. A delivered one leaves the queue and stands in delivery_attempts.
ALTER TABLE deliveries ADD COLUMN recorded_on date;
UPDATE deliveries d SET recorded_on = e.recorded_on FROM events e WHERE e.position = d.position;
ALTER TABLE deliveries ALTER COLUMN recorded_on SET NOT NULL;
-- Each statement that makes deliveries makes or finds their lanes: checking every row of it again was a third of the cost of fan-out.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_endpoint_id_order_key_fkey;
CREATE INDEX deliveries_exhausted ON deliveries (endpoint_id, position) WHERE status = 'exhausted';

CREATE TABLE delivery_attempts (
  attempted_on date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
  attempt_id   bigint GENERATED ALWAYS AS IDENTITY,
  attempted_at timestamptz NOT NULL DEFAULT now(),
  endpoint_id  uuid NOT NULL,
  order_key    text NOT NULL,
  position     bigint NOT NULL,
  event_id     uuid NOT NULL,
  attempt      integer NOT NULL,        -- 1: the first
  outcome      text NOT NULL CHECK (outcome IN ('delivered', 'failed', 'exhausted')),
  status       integer,                 -- of HTTP; null: no answer
  error        text,
  duration_milliseconds integer NOT NULL,
  answer       text,                    -- the first KiB of the answer's body
  PRIMARY KEY (attempted_on, attempt_id)
) PARTITION BY RANGE (attempted_on);
CREATE TABLE delivery_attempts_default PARTITION OF delivery_attempts DEFAULT;
CREATE INDEX delivery_attempts_by_endpoint ON delivery_attempts (endpoint_id, attempt_id);
CREATE INDEX delivery_attempts_by_event ON delivery_attempts (event_id);

DO $$
DECLARE
  week date := date_trunc('week', (now() AT TIME ZONE 'UTC')::date)::date;
BEGIN
  FOR weeks IN 0..3 LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF delivery_attempts FOR VALUES FROM (%L) TO (%L)',
                   'delivery_attempts_' || to_char(week + 7 * weeks, 'YYYYMMDD'), week + 7 * weeks, week + 7 * weeks + 7);
  END LOOP;
END $$;

ALTER TABLE endpoints
  ADD COLUMN headers jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN rate_limit_per_second integer CHECK (rate_limit_per_second > 0),
  ADD COLUMN max_concurrency integer CHECK (max_concurrency > 0);
ALTER TABLE endpoints DROP CONSTRAINT endpoints_disabled_reason_check;
-- failing: not one success for as long as the schedule of attempts lasts.
ALTER TABLE endpoints ADD CONSTRAINT endpoints_disabled_reason_check CHECK (disabled_reason IN ('request', 'gone', 'failing'));

-- What the workers know of an endpoint. No row: nothing was tried yet.
CREATE TABLE endpoint_health (
  endpoint_id   uuid PRIMARY KEY REFERENCES endpoints,
  consecutive_failures integer NOT NULL DEFAULT 0,
  failing_since timestamptz,            -- the first failure after the last success
  last_success_at timestamptz,
  last_failure_at timestamptz,
  last_status   integer,
  last_error    text,
  -- The circuit is open until then; afterwards one lane probes.
  paused_until  timestamptz,
  failed_probes integer NOT NULL DEFAULT 0,
  -- Rate limit: the moment up to which sending is spoken for (generic cell rate algorithm).
  reserved_until timestamptz
);

-- Work for one endpoint that goes on in the background, batch after batch, and survives its process.
CREATE TABLE endpoint_tasks (
  task_id      uuid PRIMARY KEY,
  endpoint_id  uuid NOT NULL REFERENCES endpoints,
  kind         text NOT NULL CHECK (kind IN ('snapshot', 'replay')),
  filter       jsonb NOT NULL,
  progress     jsonb,                   -- where the next batch begins; moved in the transaction of each batch
  status       text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'done', 'failed')),
  deliveries   bigint NOT NULL DEFAULT 0,
  created_at   timestamptz NOT NULL,
  updated_at   timestamptz NOT NULL
);
CREATE INDEX endpoint_tasks_by_endpoint ON endpoint_tasks (endpoint_id, task_id);
CREATE INDEX endpoint_tasks_waiting ON endpoint_tasks (task_id) WHERE status = 'waiting';

ALTER TABLE instance_keys DROP CONSTRAINT instance_keys_purpose_check;
ALTER TABLE instance_keys ADD CONSTRAINT instance_keys_purpose_check
  CHECK (purpose IN ('token-signing', 'saml-signing', 'saml-decryption', 'webhook-signing'));
