-- What pgherd needs in PostgreSQL (12 to 18). Run it once as a superuser, on the primary, in the database that
-- auth.database names (default: postgres); standbys get it by replication. Running it again does no harm:
--   pgherd setup-sql | psql -X -v ON_ERROR_STOP=1 -d postgres
-- Then give the monitor role its password, the one of monitor.password, with psql's \password or with
--   ALTER ROLE "pgherd" PASSWORD '...';

BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;

-- The role that probes the nodes and fetches verifiers: it sees the statistics (pg_monitor), it cannot read your tables.
DO $setup$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgherd') THEN
    CREATE ROLE "pgherd";
  END IF;
  EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), 'pgherd');
END
$setup$;
ALTER ROLE "pgherd" LOGIN REPLICATION;
GRANT pg_monitor TO "pgherd";

-- A schema of somebody else's making could hold anything: what the function answers decides who gets in.
CREATE SCHEMA IF NOT EXISTS pgherd;
DO $setup$
BEGIN
  IF NOT (SELECT r.rolsuper FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
          WHERE n.nspname = 'pgherd') THEN
    RAISE EXCEPTION 'schema "pgherd" exists already and belongs to a role that is no superuser'
      USING HINT = 'Drop it, or ALTER SCHEMA pgherd OWNER TO a superuser, once you know what is in it.';
  END IF;
END
$setup$;
REVOKE ALL ON SCHEMA pgherd FROM PUBLIC;
GRANT USAGE ON SCHEMA pgherd TO "pgherd";

-- The password verifier of one role that may log in now. Dropped first, so that neither an old owner nor old grants stay.
DROP FUNCTION IF EXISTS pgherd.lookup(text);
CREATE FUNCTION pgherd.lookup(role_name text)
RETURNS TABLE (rolname text, verifier text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $lookup$
  SELECT a.rolname::text, a.rolpassword
    FROM pg_catalog.pg_authid AS a
   WHERE a.rolname = role_name
     AND a.rolcanlogin
     AND a.rolpassword IS NOT NULL
     AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil > pg_catalog.now())
     -- No superuser through the proxy; `pgherd setup-sql --allow-superusers` prints this without the next line.
     AND NOT a.rolsuper
$lookup$;
REVOKE ALL ON FUNCTION pgherd.lookup(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgherd.lookup(text) TO "pgherd";

COMMIT;
