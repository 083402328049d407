-- Sync lists as resources, archived workspaces, deleted users.

-- A workspace that was deleted stays for its events and versions; its slug stays taken.
ALTER TABLE workspaces ADD COLUMN archived_at timestamptz;

-- A deleted user's row stays without personal data, for the memberships and events that refer to it. It is archived as well, so that
-- a version that does not know the column treats it as someone who cannot log in.
ALTER TABLE users ADD COLUMN deleted_at timestamptz;
ALTER TABLE users ADD CONSTRAINT users_deleted_are_archived CHECK (deleted_at IS NULL OR status = 'archived');

-- Prefix searches.
CREATE INDEX users_by_email_prefix ON users (lower(email) text_pattern_ops);
CREATE INDEX users_by_name_prefix ON users (lower(name) text_pattern_ops);

-- Erasing a user reaches every event about them.
CREATE INDEX events_by_user ON events (user_id, position);
CREATE INDEX memberships_by_connection ON memberships (workspace_id, connection_id, user_id) WHERE status = 'active';
