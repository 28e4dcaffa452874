//! The SQL an operator installs once on the primary: the monitor role and the function that fetches password verifiers.
//! The standbys get both by replication.

/// What `auth.query` is by default: asks for the name and the verifier of one role.
pub const LOOKUP_QUERY: &str = "SELECT rolname, verifier FROM pgherd.lookup($1)";

/// Makes the table that takes the first write of each new primary.
pub const EPOCH_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS pgherd.epoch (epoch bigint NOT NULL, primary_name text NOT NULL, timeline int NOT NULL, \
opened_at timestamptz NOT NULL DEFAULT pg_catalog.now())";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupSql {
    /// The monitor role: `monitor.user` of the configuration. See `valid_role`.
    pub user: String,
    /// Superusers may log in through the proxy too.
    pub allow_superusers: bool,
    /// The rights a failover needs, too.
    pub failover: bool,
}

/// Idempotent SQL, to be run as a superuser in the database `auth.database` names; works on PostgreSQL 12 to 18.
///
/// It sets no password: `ALTER ROLE … PASSWORD` is the operator's (the text says how).
pub fn setup_sql(options: &SetupSql) -> String {
    let superusers = if options.allow_superusers { "" } else { NO_SUPERUSERS };
    TEMPLATE
        .trim_start()
        .replace("@failover@", if options.failover { FAILOVER } else { "" })
        .replace("@epoch@", EPOCH_TABLE)
        .replace("@superusers@", superusers)
        .replace("@literal@", &quoted(&options.user, '\''))
        .replace("@role@", &quoted(&options.user, '"'))
}

/// Is this a name `setup_sql` can write? One line, at most PostgreSQL's 63 bytes, and no `$`, `@` or `\` (the SQL is
/// dollar-quoted, and should not depend on `standard_conforming_strings`).
pub fn valid_role(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("a role needs a name"),
        _ if name.len() > 63 => Err("PostgreSQL's names have at most 63 bytes"),
        _ if name.contains(|c: char| c.is_control() || matches!(c, '$' | '@' | '\\')) => {
            Err("control characters, `$`, `@` and `\\` are not possible here")
        }
        _ => Ok(()),
    }
}

impl Default for SetupSql {
    fn default() -> Self {
        Self { user: "pgherd".to_owned(), allow_superusers: false, failover: false }
    }
}

fn quoted(name: &str, quote: char) -> String {
    let doubled = name.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}

const NO_SUPERUSERS: &str = "
     -- No superuser through the proxy; `pgherd setup-sql --allow-superusers` prints this without the next line.
     AND NOT a.rolsuper";

const TEMPLATE: &str = r#"
-- What pgherd needs in PostgreSQL (12 to 18). Run it once as a superuser, on the primary, in the database that
-- auth.database names (default: postgres); standbys get it by replication. Running it again does no harm:
--   pgherd setup-sql | psql -X -v ON_ERROR_STOP=1 -d postgres
-- Then give the monitor role its password, the one of monitor.password, with psql's \password or with
--   ALTER ROLE @role@ PASSWORD '...';

BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;

-- The role that probes the nodes and fetches verifiers: it sees the statistics (pg_monitor), it cannot read your tables.
DO $setup$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = @literal@) THEN
    CREATE ROLE @role@;
  END IF;
  EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), @literal@);
END
$setup$;
ALTER ROLE @role@ LOGIN REPLICATION;
GRANT pg_monitor TO @role@;

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
GRANT USAGE ON SCHEMA pgherd TO @role@;

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
     AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil > pg_catalog.now())@superusers@
$lookup$;
REVOKE ALL ON FUNCTION pgherd.lookup(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgherd.lookup(text) TO @role@;
@failover@
COMMIT;
"#;

/// In the middle of `TEMPLATE`. Grants live in the database, so the standbys get these, too.
const FAILOVER: &str = r#"
-- What failover.mode = "automatic" needs: to promote a standby, and to point the others to it (PostgreSQL 13 and newer).
GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) TO @role@;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO @role@;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_wal_replay_resume() TO @role@;
-- Readers that a promotion would have to wait for are ended; superusers can't be.
GRANT pg_signal_backend TO @role@;
DO $setup$
BEGIN
  IF pg_catalog.current_setting('server_version_num')::int >= 150000 THEN
    EXECUTE pg_catalog.format('GRANT ALTER SYSTEM ON PARAMETER primary_conninfo TO %I', @literal@);
  ELSE
    RAISE WARNING 'before PostgreSQL 15 only a superuser may point a standby to another primary: ALTER ROLE % SUPERUSER',
      pg_catalog.quote_ident(@literal@);
  END IF;
END
$setup$;
-- The first write of each new primary: that it is acknowledged proves that its standbys follow.
@epoch@;
REVOKE ALL ON TABLE pgherd.epoch FROM PUBLIC;
GRANT SELECT, INSERT, DELETE ON TABLE pgherd.epoch TO @role@;
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_identifier_and_as_literal() {
        let sql = setup_sql(&SetupSql { user: r#"o'b"x"#.to_owned(), allow_superusers: false, failover: false });
        assert!(sql.contains(r#"ALTER ROLE "o'b""x" LOGIN REPLICATION;"#));
        assert!(sql.contains("WHERE rolname = 'o''b\"x'"));
    }

    #[test]
    fn superusers_are_left_out_unless_asked_for() {
        let allow = |allow_superusers| setup_sql(&SetupSql { allow_superusers, ..SetupSql::default() });
        assert!(allow(false).contains("AND NOT a.rolsuper\n$lookup$"));
        assert!(!allow(true).contains("rolsuper\n"));
        let failover = setup_sql(&SetupSql { failover: true, ..SetupSql::default() });
        assert!(failover.contains("TO \"pgherd\";") && failover.contains("pg_promote") && !failover.contains('@'));
        assert!(!allow(true).contains("pg_promote"));
        assert!(!allow(true).contains('@') && !allow(false).contains('@'), "a placeholder is left");
    }

    #[test]
    fn a_role_name_that_could_break_out_is_refused() {
        for name in ["", "a\nb", "a$setup$", "@role@", "a\\b", &"x".repeat(64)] {
            assert!(valid_role(name).is_err(), "{name:?}");
        }
        assert_eq!(valid_role("Überwacher 1"), Ok(()));
    }
}
