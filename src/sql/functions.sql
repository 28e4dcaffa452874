-- Makes functions.txt and operators.txt, on PostgreSQL 15:
--   psql -XAt -F ' ' -v what=functions -f functions.sql > functions.txt
--   psql -XAt -F ' ' -v what=operators -f functions.sql > operators.txt
--
-- functions.txt: `name mark`, sorted by bytes, one line per name of pg_catalog (overloads together):
--   r  reads only, and answers the same on every node
--   l  node-local: the answer differs from node to node
--   w  may write, or uses the state of the session
-- operators.txt: the names of pg_catalog's operators; none of their functions is volatile.
\set QUIET on
SELECT :'what' = 'operators' AS operators \gset
\if :operators
SELECT DISTINCT oprname COLLATE "C" FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace ORDER BY 1;
\else
WITH names AS (
    SELECT proname COLLATE "C" AS name, max(provolatile::text COLLATE "C") AS volatility
    FROM pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace
      AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
      AND proname ~ '^[a-z0-9_]+$'
    GROUP BY 1
)
SELECT name,
    CASE
    -- volatile, but they write nothing and need no session
    WHEN name IN ('random', 'clock_timestamp', 'timeofday', 'gen_random_uuid', 'pg_sleep', 'pg_sleep_for',
                  'pg_sleep_until', 'current_query', 'pg_partition_tree', 'pg_partition_ancestors',
                  'bernoulli', 'system') THEN 'r'
    -- not volatile, but they run queries of their own
    WHEN name ~ '^(table|schema|database)_to_xml' THEN 'w'
    -- not volatile, but they take a transaction id, or speak of the session
    WHEN name ~ ('^(txid_current|pg_current_xact_id|lo_|pg_listening_channels|pg_cursor|pg_prepared_statement'
             || '|pg_my_temp_schema|pg_is_other_temp_schema|pg_event_trigger'
             || '|pg_replication_origin_)') AND name !~ 'snapshot' THEN 'w'
    WHEN name ~ '^(pg_stat_reset|pg_stat_clear|pg_stat_force)' THEN 'w'
    WHEN name ~ ('^(pg_stat_|inet_client|inet_server|pg_ls_|pg_read_|pg_control_|pg_last_|pg_current_|pg_is_|pg_show_|pg_available_'
             || '|pg_get_wal|pg_walfile_name|pg_get_replication_slots|pg_get_shmem|pg_get_backend|pg_get_multixact'
             || '|pg_tablespace_|pg_blocking_pids|pg_safe_snapshot|pg_hba_|pg_ident_)')
      OR name ~ '_(size|collation_actual_version)$' AND name ~ '^pg_' AND name <> 'pg_column_size'
      OR name IN ('current_setting', 'pg_backend_pid', 'pg_conf_load_time', 'pg_postmaster_start_time',
                  'pg_lock_status', 'pg_config', 'pg_prepared_xact', 'pg_jit_available', 'txid_current_snapshot',
                  'pg_notification_queue_usage', 'pg_extension_update_paths', 'pg_xact_commit_timestamp',
                  'pg_xact_commit_timestamp_origin', 'pg_sequence_last_value') THEN 'l'
    WHEN volatility = 'v' THEN 'w'
    ELSE 'r'
    END
FROM names
UNION ALL
-- Of PostgreSQL 16, 17 and 18, written by hand: the harmless ones, and those that are not volatile but no plain reads.
SELECT unnest(string_to_array('any_value array_reverse array_sample array_shuffle array_sort casefold crc32 crc32c'
    ' date_add date_subtract erf erfc gamma has_largeobject_privilege icu_unicode_version lgamma'
    ' pg_basetype pg_column_toast_chunk_id pg_get_acl pg_get_wait_events pg_input_error_info pg_input_is_valid'
    ' pg_split_walfile_name random_normal to_bin to_oct to_regtypemod unicode_assigned unicode_version'
    ' uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 xmltext', ' ')) COLLATE "C", 'r'
UNION ALL
SELECT unnest(string_to_array('pg_available_wal_summaries pg_get_aios pg_get_loaded_modules pg_get_sequence_data'
    ' pg_get_shmem_allocations_numa pg_get_wal_summarizer_state pg_numa_available pg_wal_summary_contents', ' '))
    COLLATE "C", 'l'
ORDER BY 1;
\endif
