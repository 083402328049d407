-- What logins go by (connections with sync list and domains, catalogues of app groups) carries a revision: caches compare it, and ask
-- once a second which ones are new. A random one, not a number: after a restore no two contents ever share it. Triggers give it, so
-- that every writer does, also the previous version and a hand at psql.

ALTER TABLE connections
  ADD COLUMN revision uuid NOT NULL DEFAULT gen_random_uuid(),
  ADD COLUMN revised_in xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE workspaces
  ADD COLUMN catalogue_revision uuid NOT NULL DEFAULT gen_random_uuid(),
  ADD COLUMN catalogue_revised_in xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX connections_by_revision ON connections (revised_in);
CREATE INDEX workspaces_by_catalogue_revision ON workspaces (catalogue_revised_in);

-- Any write of the row, whatever it changes.
CREATE FUNCTION revise_connection() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.revision := gen_random_uuid();
  NEW.revised_in := pg_current_xact_id();
  PERFORM pg_notify('rollcall_revisions', 'connection ' || NEW.connection_id || ' ' || NEW.revision);
  RETURN NEW;
END $$;
CREATE TRIGGER connections_revise BEFORE INSERT OR UPDATE ON connections
  FOR EACH ROW EXECUTE FUNCTION revise_connection();

-- A row that is gone has no revision to find: this is told by message alone, and counts at the latest when an entry is read anew for its age.
CREATE FUNCTION tell_connection_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('rollcall_revisions', 'connection ' || OLD.connection_id);
  RETURN NULL;
END $$;
CREATE TRIGGER connections_gone AFTER DELETE ON connections FOR EACH ROW EXECUTE FUNCTION tell_connection_gone();

-- Sync list and domains belong to the connection. Who changes a list holds the connection's lock already.
CREATE FUNCTION revise_connections_of() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE connections c SET revision = gen_random_uuid()
    FROM (SELECT DISTINCT connection_id FROM changed) AS owner WHERE owner.connection_id = c.connection_id;
  RETURN NULL;
END $$;
CREATE TRIGGER connection_workspaces_inserted AFTER INSERT ON connection_workspaces
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION revise_connections_of();
CREATE TRIGGER connection_workspaces_updated AFTER UPDATE ON connection_workspaces
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION revise_connections_of();
CREATE TRIGGER connection_workspaces_deleted AFTER DELETE ON connection_workspaces
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION revise_connections_of();
CREATE TRIGGER connection_domains_inserted AFTER INSERT ON connection_domains
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION revise_connections_of();
CREATE TRIGGER connection_domains_updated AFTER UPDATE ON connection_domains
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION revise_connections_of();
CREATE TRIGGER connection_domains_deleted AFTER DELETE ON connection_domains
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION revise_connections_of();

-- A workspace that is archived or gets another slug: its own connections, and those that list it.
CREATE FUNCTION revise_connections_of_workspace() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE connections c SET revision = gen_random_uuid()
    FROM (SELECT connection_id FROM connections WHERE workspace_id = NEW.workspace_id
          UNION SELECT connection_id FROM connection_workspaces WHERE workspace_id = NEW.workspace_id) AS serving
   WHERE serving.connection_id = c.connection_id;
  RETURN NULL;
END $$;
CREATE TRIGGER workspaces_revise_connections AFTER UPDATE OF status, slug ON workspaces
  FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.slug IS DISTINCT FROM NEW.slug)
  EXECUTE FUNCTION revise_connections_of_workspace();

-- Whoever changes app groups raises `catalogue_version` in the same transaction. (A trigger on app_groups would lock the workspace
-- earlier than its writers do, and let them meet crosswise.)
CREATE FUNCTION revise_catalogue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.catalogue_revision := gen_random_uuid();
  NEW.catalogue_revised_in := pg_current_xact_id();
  PERFORM pg_notify('rollcall_revisions', 'catalogue ' || NEW.workspace_id || ' ' || NEW.catalogue_revision);
  RETURN NEW;
END $$;
CREATE TRIGGER workspaces_revise_catalogue BEFORE UPDATE OF catalogue_version ON workspaces
  FOR EACH ROW WHEN (OLD.catalogue_version IS DISTINCT FROM NEW.catalogue_version)
  EXECUTE FUNCTION revise_catalogue();
