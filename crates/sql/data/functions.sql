-- Writes functions.txt: every function of pg_catalog by name, with what analysis may assume of it.
--   psql -XAtq -f functions.sql postgres | LC_ALL=C sort > functions.txt      (a server of version 15, no extensions)
-- Line: name <tab> flags <tab> columns. Flags: safe (no effect, reads nothing but its arguments and metadata), total (raises no error that
-- depends on the value of an argument; total1: with one argument; totalc: where all but the first are literals), counts (says nothing of the value), set (returns rows), texts (makes text, bytes or JSON in which a mask shows). No flag: known and not safe.
-- A name is judged by its worst overload. Names absent from the file are unknown, which is not safe either.
\pset fieldsep '\t'
WITH kept(name) AS (
  -- Volatile, yet without an effect.
  SELECT unnest(string_to_array('clock_timestamp timeofday random gen_random_uuid pg_relation_size pg_table_size pg_total_relation_size pg_indexes_size pg_database_size pg_tablespace_size pg_is_in_recovery pg_jit_available pg_partition_ancestors pg_partition_tree pg_collation_actual_version pg_database_collation_actual_version', ' '))
), refused(pattern) AS (
  -- Declared stable or immutable, yet they run text as SQL, read relations by name, show other sessions, settings, files or statistics,
  -- assign transaction ids, or belong to the machinery of types, planners and triggers.
  SELECT unnest(string_to_array('(database|schema|table|query|cursor)_to_xml.* ts_rewrite ts_stat current_setting pg_config pg_show_.* pg_stat_.* pg_event_trigger_.* pg_cursor pg_prepared_.* pg_get_replication_slots pg_listening_channels pg_mcv_.* pg_current_xact_id(_if_assigned)? txid_current(_if_assigned)? pg_relation_filepath pg_tablespace_databases pg_replication_.* pg_conf_load_time pg_postmaster_start_time .*_validator shell_.* .*(sel|_typanalyze|_transfn|_finalfn|_support|_recv|_send|_in|_out|recv|typmodin|typmodout) (pg_filenode_relation|pg_relation_filenode) binary_upgrade_.* satisfies_hash_partition currtid2', ' '))
), total(flag, name) AS (
  -- No value of a text, number, time or json argument makes these raise; absent on purpose: whatever checks a range, a format, an encoding,
  -- a key, a unit or an array's shape.
  SELECT flag, unnest(string_to_array(names, ' ')) FROM (VALUES
    ('total', 'lower upper initcap concat concat_ws to_json row_to_json json_build_array json_agg string_agg max min quote_ident quote_literal quote_nullable reverse left right btrim ltrim rtrim replace translate strpos position string_to_array array_to_string array_to_json sign floor ceil ceiling lag lead first_value last_value count pg_typeof'),
    ('total1', 'md5 sha224 sha256 sha384 sha512 length char_length character_length octet_length bit_length text varchar bpchar name'),
    ('totalc', 'encode substr substring split_part lpad rpad regexp_replace regexp_match')) v(flag, names)
), texts(name) AS (
  SELECT unnest(string_to_array('encode convert_to to_jsonb json_object_agg jsonb_object_agg json_build_object jsonb_build_object jsonb_build_array jsonb_agg array_agg format md5 sha224 sha256 sha384 sha512 jsonb_pretty array_append array_prepend array_cat json_object jsonb_object jsonb_set jsonb_insert json_extract_path json_extract_path_text jsonb_extract_path jsonb_extract_path_text', ' '))
), procs AS (
  SELECT p.*, EXISTS (SELECT FROM kept WHERE name = p.proname)
      OR p.provolatile IN ('i', 's') AND NOT EXISTS (SELECT FROM refused WHERE p.proname ~ ('^(' || pattern || ')$'))
         AND NOT ('internal'::regtype = ANY (p.proargtypes::oid[])) AND p.prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype) AS safe,
    (SELECT string_agg(n, ',' ORDER BY i) FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY o(n, m, i) WHERE m IN ('o', 't', 'b')) AS outs
  FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace
)
SELECT proname,
  CASE WHEN bool_and(safe) THEN 'safe'
    || coalesce((SELECT ',' || flag FROM total WHERE name = proname), '')
    || CASE WHEN proname IN ('count', 'pg_typeof') THEN ',counts' ELSE '' END
    || CASE WHEN bool_or(proretset) THEN ',set' ELSE '' END
    || CASE WHEN proname IN (SELECT name FROM texts) THEN ',texts' ELSE '' END ELSE '' END,
  CASE WHEN bool_and(safe) THEN
    CASE WHEN count(DISTINCT coalesce(outs, '')) = 1 THEN coalesce(min(outs), '') ELSE '*' END ELSE '' END
FROM procs GROUP BY proname
UNION ALL SELECT name, 'safe', '' FROM unnest(string_to_array('date_add date_subtract array_reverse array_sort casefold crc32 crc32c erf erfc gamma lgamma to_bin to_oct uuidv4 uuidv7 uuid_extract_timestamp uuid_extract_version pg_basetype pg_get_acl unicode_version icu_unicode_version unicode_assigned pg_input_is_valid random_normal array_sample array_shuffle', ' ')) name
UNION ALL SELECT 'any_value', 'safe,total', ''
UNION ALL SELECT name, '', '' FROM unnest(string_to_array('pg_set_attribute_stats pg_clear_attribute_stats pg_restore_attribute_stats pg_set_relation_stats pg_clear_relation_stats pg_restore_relation_stats pg_get_wal_summarizer_state pg_wal_summary_contents pg_available_wal_summaries pg_sync_replication_slots pg_log_standby_snapshot pg_ls_summariesdir pg_get_aios pg_split_walfile_name pg_stat_get_io pg_get_loaded_modules pg_start_backup pg_stop_backup pg_numa_available pg_get_shmem_allocations_numa system_user pg_file_write pg_file_sync pg_file_rename pg_file_unlink pg_logdir_ls', ' ')) name
UNION ALL SELECT 'information_schema.' || proname, CASE WHEN proretset THEN 'safe,set' ELSE 'safe' END, CASE WHEN proretset THEN 'x,n' ELSE '' END
  FROM pg_catalog.pg_proc WHERE pronamespace = 'information_schema'::regnamespace
ORDER BY 1;
