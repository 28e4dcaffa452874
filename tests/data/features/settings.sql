-- Settings: each of them, set in each way. One line is one request; the answers must be PostgreSQL's.

-- case: DateStyle: set and reset
SET DateStyle = 'German, DMY'
SELECT date '2026-02-01'
SHOW DateStyle
SET DateStyle = 'SQL, MDY'
SELECT date '2026-02-01'
RESET DateStyle
SELECT date '2026-02-01'

-- case: DateStyle: within a transaction
SET DateStyle = 'German, DMY'
BEGIN
SET LOCAL DateStyle = 'SQL, MDY'
SELECT date '2026-02-01'
COMMIT
SELECT date '2026-02-01'
SHOW DateStyle

-- case: DateStyle: rolled back
SET DateStyle = 'German, DMY'
BEGIN
SET DateStyle = 'SQL, MDY'
SELECT date '2026-02-01'
ROLLBACK
SELECT date '2026-02-01'

-- case: DateStyle: to a savepoint
BEGIN
SET DateStyle = 'German, DMY'
SAVEPOINT s
SET DateStyle = 'SQL, MDY'
SELECT date '2026-02-01'
ROLLBACK TO s
SELECT date '2026-02-01'
RELEASE s
COMMIT
SELECT date '2026-02-01'

-- case: DateStyle: a failed transaction keeps nothing
SET DateStyle = 'German, DMY'
BEGIN
SET DateStyle = 'SQL, MDY'
SELECT 1 / 0
SHOW DateStyle
COMMIT
SELECT date '2026-02-01'

-- case: DateStyle: set_config
SELECT set_config('DateStyle', 'German, DMY', false)
SELECT date '2026-02-01'
BEGIN
SELECT set_config('DateStyle', 'SQL, MDY', true)
SELECT date '2026-02-01'
COMMIT
SELECT date '2026-02-01'

-- case: DateStyle: several in one request
SET DateStyle = 'German, DMY'; SELECT date '2026-02-01'
SELECT date '2026-02-01'
SET DateStyle = 'SQL, MDY'; SELECT 1 / 0
SELECT date '2026-02-01'

-- case: DateStyle: reset and discard all
SET DateStyle = 'German, DMY'
RESET ALL
SELECT date '2026-02-01'
SET DateStyle = 'SQL, MDY'
DISCARD ALL
SELECT date '2026-02-01'

-- case: TimeZone: set and reset
SET TimeZone = 'Asia/Tokyo'
SELECT timestamptz '2026-02-01 12:00+00'
SHOW TimeZone
SET TimeZone = 'America/New_York'
SELECT timestamptz '2026-02-01 12:00+00'
RESET TimeZone
SELECT timestamptz '2026-02-01 12:00+00'

-- case: TimeZone: within a transaction
SET TimeZone = 'Asia/Tokyo'
BEGIN
SET LOCAL TimeZone = 'America/New_York'
SELECT timestamptz '2026-02-01 12:00+00'
COMMIT
SELECT timestamptz '2026-02-01 12:00+00'
SHOW TimeZone

-- case: TimeZone: rolled back
SET TimeZone = 'Asia/Tokyo'
BEGIN
SET TimeZone = 'America/New_York'
SELECT timestamptz '2026-02-01 12:00+00'
ROLLBACK
SELECT timestamptz '2026-02-01 12:00+00'

-- case: TimeZone: to a savepoint
BEGIN
SET TimeZone = 'Asia/Tokyo'
SAVEPOINT s
SET TimeZone = 'America/New_York'
SELECT timestamptz '2026-02-01 12:00+00'
ROLLBACK TO s
SELECT timestamptz '2026-02-01 12:00+00'
RELEASE s
COMMIT
SELECT timestamptz '2026-02-01 12:00+00'

-- case: TimeZone: a failed transaction keeps nothing
SET TimeZone = 'Asia/Tokyo'
BEGIN
SET TimeZone = 'America/New_York'
SELECT 1 / 0
SHOW TimeZone
COMMIT
SELECT timestamptz '2026-02-01 12:00+00'

-- case: TimeZone: set_config
SELECT set_config('TimeZone', 'Asia/Tokyo', false)
SELECT timestamptz '2026-02-01 12:00+00'
BEGIN
SELECT set_config('TimeZone', 'America/New_York', true)
SELECT timestamptz '2026-02-01 12:00+00'
COMMIT
SELECT timestamptz '2026-02-01 12:00+00'

-- case: TimeZone: several in one request
SET TimeZone = 'Asia/Tokyo'; SELECT timestamptz '2026-02-01 12:00+00'
SELECT timestamptz '2026-02-01 12:00+00'
SET TimeZone = 'America/New_York'; SELECT 1 / 0
SELECT timestamptz '2026-02-01 12:00+00'

-- case: TimeZone: reset and discard all
SET TimeZone = 'Asia/Tokyo'
RESET ALL
SELECT timestamptz '2026-02-01 12:00+00'
SET TimeZone = 'America/New_York'
DISCARD ALL
SELECT timestamptz '2026-02-01 12:00+00'

-- case: search_path: set and reset
SET search_path = pg_catalog, public
SELECT current_schemas(false)
SHOW search_path
SET search_path = public
SELECT current_schemas(false)
RESET search_path
SELECT current_schemas(false)

-- case: search_path: within a transaction
SET search_path = pg_catalog, public
BEGIN
SET LOCAL search_path = public
SELECT current_schemas(false)
COMMIT
SELECT current_schemas(false)
SHOW search_path

-- case: search_path: rolled back
SET search_path = pg_catalog, public
BEGIN
SET search_path = public
SELECT current_schemas(false)
ROLLBACK
SELECT current_schemas(false)

-- case: search_path: to a savepoint
BEGIN
SET search_path = pg_catalog, public
SAVEPOINT s
SET search_path = public
SELECT current_schemas(false)
ROLLBACK TO s
SELECT current_schemas(false)
RELEASE s
COMMIT
SELECT current_schemas(false)

-- case: search_path: a failed transaction keeps nothing
SET search_path = pg_catalog, public
BEGIN
SET search_path = public
SELECT 1 / 0
SHOW search_path
COMMIT
SELECT current_schemas(false)

-- case: search_path: set_config
SELECT set_config('search_path', 'pg_catalog, public', false)
SELECT current_schemas(false)
BEGIN
SELECT set_config('search_path', 'public', true)
SELECT current_schemas(false)
COMMIT
SELECT current_schemas(false)

-- case: search_path: several in one request
SET search_path = pg_catalog, public; SELECT current_schemas(false)
SELECT current_schemas(false)
SET search_path = public; SELECT 1 / 0
SELECT current_schemas(false)

-- case: search_path: reset and discard all
SET search_path = pg_catalog, public
RESET ALL
SELECT current_schemas(false)
SET search_path = public
DISCARD ALL
SELECT current_schemas(false)

-- case: work_mem: set and reset
SET work_mem = '7MB'
SELECT current_setting('work_mem')
SHOW work_mem
SET work_mem = '9MB'
SELECT current_setting('work_mem')
RESET work_mem
SELECT current_setting('work_mem')

-- case: work_mem: within a transaction
SET work_mem = '7MB'
BEGIN
SET LOCAL work_mem = '9MB'
SELECT current_setting('work_mem')
COMMIT
SELECT current_setting('work_mem')
SHOW work_mem

-- case: work_mem: rolled back
SET work_mem = '7MB'
BEGIN
SET work_mem = '9MB'
SELECT current_setting('work_mem')
ROLLBACK
SELECT current_setting('work_mem')

-- case: work_mem: to a savepoint
BEGIN
SET work_mem = '7MB'
SAVEPOINT s
SET work_mem = '9MB'
SELECT current_setting('work_mem')
ROLLBACK TO s
SELECT current_setting('work_mem')
RELEASE s
COMMIT
SELECT current_setting('work_mem')

-- case: work_mem: a failed transaction keeps nothing
SET work_mem = '7MB'
BEGIN
SET work_mem = '9MB'
SELECT 1 / 0
SHOW work_mem
COMMIT
SELECT current_setting('work_mem')

-- case: work_mem: set_config
SELECT set_config('work_mem', '7MB', false)
SELECT current_setting('work_mem')
BEGIN
SELECT set_config('work_mem', '9MB', true)
SELECT current_setting('work_mem')
COMMIT
SELECT current_setting('work_mem')

-- case: work_mem: several in one request
SET work_mem = '7MB'; SELECT current_setting('work_mem')
SELECT current_setting('work_mem')
SET work_mem = '9MB'; SELECT 1 / 0
SELECT current_setting('work_mem')

-- case: work_mem: reset and discard all
SET work_mem = '7MB'
RESET ALL
SELECT current_setting('work_mem')
SET work_mem = '9MB'
DISCARD ALL
SELECT current_setting('work_mem')

-- case: statement_timeout: set and reset
SET statement_timeout = '61s'
SELECT current_setting('statement_timeout')
SHOW statement_timeout
SET statement_timeout = '62s'
SELECT current_setting('statement_timeout')
RESET statement_timeout
SELECT current_setting('statement_timeout')

-- case: statement_timeout: within a transaction
SET statement_timeout = '61s'
BEGIN
SET LOCAL statement_timeout = '62s'
SELECT current_setting('statement_timeout')
COMMIT
SELECT current_setting('statement_timeout')
SHOW statement_timeout

-- case: statement_timeout: rolled back
SET statement_timeout = '61s'
BEGIN
SET statement_timeout = '62s'
SELECT current_setting('statement_timeout')
ROLLBACK
SELECT current_setting('statement_timeout')

-- case: statement_timeout: to a savepoint
BEGIN
SET statement_timeout = '61s'
SAVEPOINT s
SET statement_timeout = '62s'
SELECT current_setting('statement_timeout')
ROLLBACK TO s
SELECT current_setting('statement_timeout')
RELEASE s
COMMIT
SELECT current_setting('statement_timeout')

-- case: statement_timeout: a failed transaction keeps nothing
SET statement_timeout = '61s'
BEGIN
SET statement_timeout = '62s'
SELECT 1 / 0
SHOW statement_timeout
COMMIT
SELECT current_setting('statement_timeout')

-- case: statement_timeout: set_config
SELECT set_config('statement_timeout', '61s', false)
SELECT current_setting('statement_timeout')
BEGIN
SELECT set_config('statement_timeout', '62s', true)
SELECT current_setting('statement_timeout')
COMMIT
SELECT current_setting('statement_timeout')

-- case: statement_timeout: several in one request
SET statement_timeout = '61s'; SELECT current_setting('statement_timeout')
SELECT current_setting('statement_timeout')
SET statement_timeout = '62s'; SELECT 1 / 0
SELECT current_setting('statement_timeout')

-- case: statement_timeout: reset and discard all
SET statement_timeout = '61s'
RESET ALL
SELECT current_setting('statement_timeout')
SET statement_timeout = '62s'
DISCARD ALL
SELECT current_setting('statement_timeout')

-- case: application_name: set and reset
SET application_name = 'first'
SELECT current_setting('application_name')
SHOW application_name
SET application_name = 'second'
SELECT current_setting('application_name')
RESET application_name
SELECT current_setting('application_name')

-- case: application_name: within a transaction
SET application_name = 'first'
BEGIN
SET LOCAL application_name = 'second'
SELECT current_setting('application_name')
COMMIT
SELECT current_setting('application_name')
SHOW application_name

-- case: application_name: rolled back
SET application_name = 'first'
BEGIN
SET application_name = 'second'
SELECT current_setting('application_name')
ROLLBACK
SELECT current_setting('application_name')

-- case: application_name: to a savepoint
BEGIN
SET application_name = 'first'
SAVEPOINT s
SET application_name = 'second'
SELECT current_setting('application_name')
ROLLBACK TO s
SELECT current_setting('application_name')
RELEASE s
COMMIT
SELECT current_setting('application_name')

-- case: application_name: a failed transaction keeps nothing
SET application_name = 'first'
BEGIN
SET application_name = 'second'
SELECT 1 / 0
SHOW application_name
COMMIT
SELECT current_setting('application_name')

-- case: application_name: set_config
SELECT set_config('application_name', 'first', false)
SELECT current_setting('application_name')
BEGIN
SELECT set_config('application_name', 'second', true)
SELECT current_setting('application_name')
COMMIT
SELECT current_setting('application_name')

-- case: application_name: several in one request
SET application_name = 'first'; SELECT current_setting('application_name')
SELECT current_setting('application_name')
SET application_name = 'second'; SELECT 1 / 0
SELECT current_setting('application_name')

-- case: application_name: reset and discard all
SET application_name = 'first'
RESET ALL
SELECT current_setting('application_name')
SET application_name = 'second'
DISCARD ALL
SELECT current_setting('application_name')

-- case: extra_float_digits: set and reset
SET extra_float_digits = -9
SELECT 1::float8 / 3
SHOW extra_float_digits
SET extra_float_digits = -11
SELECT 1::float8 / 3
RESET extra_float_digits
SELECT 1::float8 / 3

-- case: extra_float_digits: within a transaction
SET extra_float_digits = -9
BEGIN
SET LOCAL extra_float_digits = -11
SELECT 1::float8 / 3
COMMIT
SELECT 1::float8 / 3
SHOW extra_float_digits

-- case: extra_float_digits: rolled back
SET extra_float_digits = -9
BEGIN
SET extra_float_digits = -11
SELECT 1::float8 / 3
ROLLBACK
SELECT 1::float8 / 3

-- case: extra_float_digits: to a savepoint
BEGIN
SET extra_float_digits = -9
SAVEPOINT s
SET extra_float_digits = -11
SELECT 1::float8 / 3
ROLLBACK TO s
SELECT 1::float8 / 3
RELEASE s
COMMIT
SELECT 1::float8 / 3

-- case: extra_float_digits: a failed transaction keeps nothing
SET extra_float_digits = -9
BEGIN
SET extra_float_digits = -11
SELECT 1 / 0
SHOW extra_float_digits
COMMIT
SELECT 1::float8 / 3

-- case: extra_float_digits: set_config
SELECT set_config('extra_float_digits', '-9', false)
SELECT 1::float8 / 3
BEGIN
SELECT set_config('extra_float_digits', '-11', true)
SELECT 1::float8 / 3
COMMIT
SELECT 1::float8 / 3

-- case: extra_float_digits: several in one request
SET extra_float_digits = -9; SELECT 1::float8 / 3
SELECT 1::float8 / 3
SET extra_float_digits = -11; SELECT 1 / 0
SELECT 1::float8 / 3

-- case: extra_float_digits: reset and discard all
SET extra_float_digits = -9
RESET ALL
SELECT 1::float8 / 3
SET extra_float_digits = -11
DISCARD ALL
SELECT 1::float8 / 3

-- case: app.flag: set and reset
SET app.flag = 'one'
SELECT current_setting('app.flag', true)
SHOW app.flag
SET app.flag = 'two'
SELECT current_setting('app.flag', true)
RESET app.flag
SELECT current_setting('app.flag', true)

-- case: app.flag: within a transaction
SET app.flag = 'one'
BEGIN
SET LOCAL app.flag = 'two'
SELECT current_setting('app.flag', true)
COMMIT
SELECT current_setting('app.flag', true)
SHOW app.flag

-- case: app.flag: rolled back
SET app.flag = 'one'
BEGIN
SET app.flag = 'two'
SELECT current_setting('app.flag', true)
ROLLBACK
SELECT current_setting('app.flag', true)

-- case: app.flag: to a savepoint
BEGIN
SET app.flag = 'one'
SAVEPOINT s
SET app.flag = 'two'
SELECT current_setting('app.flag', true)
ROLLBACK TO s
SELECT current_setting('app.flag', true)
RELEASE s
COMMIT
SELECT current_setting('app.flag', true)

-- case: app.flag: a failed transaction keeps nothing
SET app.flag = 'one'
BEGIN
SET app.flag = 'two'
SELECT 1 / 0
SHOW app.flag
COMMIT
SELECT current_setting('app.flag', true)

-- case: app.flag: set_config
SELECT set_config('app.flag', 'one', false)
SELECT current_setting('app.flag', true)
BEGIN
SELECT set_config('app.flag', 'two', true)
SELECT current_setting('app.flag', true)
COMMIT
SELECT current_setting('app.flag', true)

-- case: app.flag: several in one request
SET app.flag = 'one'; SELECT current_setting('app.flag', true)
SELECT current_setting('app.flag', true)
SET app.flag = 'two'; SELECT 1 / 0
SELECT current_setting('app.flag', true)

-- case: app.flag: reset and discard all
SET app.flag = 'one'
RESET ALL
SELECT current_setting('app.flag', true)
SET app.flag = 'two'
DISCARD ALL
SELECT current_setting('app.flag', true)

-- case: bytea_output: set and reset
SET bytea_output = 'escape'
SELECT '\x4142'::bytea
SHOW bytea_output
SET bytea_output = 'hex'
SELECT '\x4142'::bytea
RESET bytea_output
SELECT '\x4142'::bytea

-- case: bytea_output: within a transaction
SET bytea_output = 'escape'
BEGIN
SET LOCAL bytea_output = 'hex'
SELECT '\x4142'::bytea
COMMIT
SELECT '\x4142'::bytea
SHOW bytea_output

-- case: bytea_output: rolled back
SET bytea_output = 'escape'
BEGIN
SET bytea_output = 'hex'
SELECT '\x4142'::bytea
ROLLBACK
SELECT '\x4142'::bytea

-- case: bytea_output: to a savepoint
BEGIN
SET bytea_output = 'escape'
SAVEPOINT s
SET bytea_output = 'hex'
SELECT '\x4142'::bytea
ROLLBACK TO s
SELECT '\x4142'::bytea
RELEASE s
COMMIT
SELECT '\x4142'::bytea

-- case: bytea_output: a failed transaction keeps nothing
SET bytea_output = 'escape'
BEGIN
SET bytea_output = 'hex'
SELECT 1 / 0
SHOW bytea_output
COMMIT
SELECT '\x4142'::bytea

-- case: bytea_output: set_config
SELECT set_config('bytea_output', 'escape', false)
SELECT '\x4142'::bytea
BEGIN
SELECT set_config('bytea_output', 'hex', true)
SELECT '\x4142'::bytea
COMMIT
SELECT '\x4142'::bytea

-- case: bytea_output: several in one request
SET bytea_output = 'escape'; SELECT '\x4142'::bytea
SELECT '\x4142'::bytea
SET bytea_output = 'hex'; SELECT 1 / 0
SELECT '\x4142'::bytea

-- case: bytea_output: reset and discard all
SET bytea_output = 'escape'
RESET ALL
SELECT '\x4142'::bytea
SET bytea_output = 'hex'
DISCARD ALL
SELECT '\x4142'::bytea

-- case: IntervalStyle: set and reset
SET IntervalStyle = 'iso_8601'
SELECT interval '1 day 2 hours'
SHOW IntervalStyle
SET IntervalStyle = 'sql_standard'
SELECT interval '1 day 2 hours'
RESET IntervalStyle
SELECT interval '1 day 2 hours'

-- case: IntervalStyle: within a transaction
SET IntervalStyle = 'iso_8601'
BEGIN
SET LOCAL IntervalStyle = 'sql_standard'
SELECT interval '1 day 2 hours'
COMMIT
SELECT interval '1 day 2 hours'
SHOW IntervalStyle

-- case: IntervalStyle: rolled back
SET IntervalStyle = 'iso_8601'
BEGIN
SET IntervalStyle = 'sql_standard'
SELECT interval '1 day 2 hours'
ROLLBACK
SELECT interval '1 day 2 hours'

-- case: IntervalStyle: to a savepoint
BEGIN
SET IntervalStyle = 'iso_8601'
SAVEPOINT s
SET IntervalStyle = 'sql_standard'
SELECT interval '1 day 2 hours'
ROLLBACK TO s
SELECT interval '1 day 2 hours'
RELEASE s
COMMIT
SELECT interval '1 day 2 hours'

-- case: IntervalStyle: a failed transaction keeps nothing
SET IntervalStyle = 'iso_8601'
BEGIN
SET IntervalStyle = 'sql_standard'
SELECT 1 / 0
SHOW IntervalStyle
COMMIT
SELECT interval '1 day 2 hours'

-- case: IntervalStyle: set_config
SELECT set_config('IntervalStyle', 'iso_8601', false)
SELECT interval '1 day 2 hours'
BEGIN
SELECT set_config('IntervalStyle', 'sql_standard', true)
SELECT interval '1 day 2 hours'
COMMIT
SELECT interval '1 day 2 hours'

-- case: IntervalStyle: several in one request
SET IntervalStyle = 'iso_8601'; SELECT interval '1 day 2 hours'
SELECT interval '1 day 2 hours'
SET IntervalStyle = 'sql_standard'; SELECT 1 / 0
SELECT interval '1 day 2 hours'

-- case: IntervalStyle: reset and discard all
SET IntervalStyle = 'iso_8601'
RESET ALL
SELECT interval '1 day 2 hours'
SET IntervalStyle = 'sql_standard'
DISCARD ALL
SELECT interval '1 day 2 hours'

-- case: lc_monetary: set and reset
SET lc_monetary = 'C'
SHOW lc_monetary
SHOW lc_monetary
SET lc_monetary = 'C.UTF-8'
SHOW lc_monetary
RESET lc_monetary
SHOW lc_monetary

-- case: lc_monetary: within a transaction
SET lc_monetary = 'C'
BEGIN
SET LOCAL lc_monetary = 'C.UTF-8'
SHOW lc_monetary
COMMIT
SHOW lc_monetary
SHOW lc_monetary

-- case: lc_monetary: rolled back
SET lc_monetary = 'C'
BEGIN
SET lc_monetary = 'C.UTF-8'
SHOW lc_monetary
ROLLBACK
SHOW lc_monetary

-- case: lc_monetary: to a savepoint
BEGIN
SET lc_monetary = 'C'
SAVEPOINT s
SET lc_monetary = 'C.UTF-8'
SHOW lc_monetary
ROLLBACK TO s
SHOW lc_monetary
RELEASE s
COMMIT
SHOW lc_monetary

-- case: lc_monetary: a failed transaction keeps nothing
SET lc_monetary = 'C'
BEGIN
SET lc_monetary = 'C.UTF-8'
SELECT 1 / 0
SHOW lc_monetary
COMMIT
SHOW lc_monetary

-- case: lc_monetary: set_config
SELECT set_config('lc_monetary', 'C', false)
SHOW lc_monetary
BEGIN
SELECT set_config('lc_monetary', 'C.UTF-8', true)
SHOW lc_monetary
COMMIT
SHOW lc_monetary

-- case: lc_monetary: several in one request
SET lc_monetary = 'C'; SHOW lc_monetary
SHOW lc_monetary
SET lc_monetary = 'C.UTF-8'; SELECT 1 / 0
SHOW lc_monetary

-- case: lc_monetary: reset and discard all
SET lc_monetary = 'C'
RESET ALL
SHOW lc_monetary
SET lc_monetary = 'C.UTF-8'
DISCARD ALL
SHOW lc_monetary

-- case: default_transaction_isolation: set and reset
SET default_transaction_isolation = 'serializable'
SHOW transaction_isolation
SHOW default_transaction_isolation
SET default_transaction_isolation = 'repeatable read'
SHOW transaction_isolation
RESET default_transaction_isolation
SHOW transaction_isolation

-- case: default_transaction_isolation: within a transaction
SET default_transaction_isolation = 'serializable'
BEGIN
SET LOCAL default_transaction_isolation = 'repeatable read'
SHOW transaction_isolation
COMMIT
SHOW transaction_isolation
SHOW default_transaction_isolation

-- case: default_transaction_isolation: rolled back
SET default_transaction_isolation = 'serializable'
BEGIN
SET default_transaction_isolation = 'repeatable read'
SHOW transaction_isolation
ROLLBACK
SHOW transaction_isolation

-- case: default_transaction_isolation: to a savepoint
BEGIN
SET default_transaction_isolation = 'serializable'
SAVEPOINT s
SET default_transaction_isolation = 'repeatable read'
SHOW transaction_isolation
ROLLBACK TO s
SHOW transaction_isolation
RELEASE s
COMMIT
SHOW transaction_isolation

-- case: default_transaction_isolation: a failed transaction keeps nothing
SET default_transaction_isolation = 'serializable'
BEGIN
SET default_transaction_isolation = 'repeatable read'
SELECT 1 / 0
SHOW default_transaction_isolation
COMMIT
SHOW transaction_isolation

-- case: default_transaction_isolation: set_config
SELECT set_config('default_transaction_isolation', 'serializable', false)
SHOW transaction_isolation
BEGIN
SELECT set_config('default_transaction_isolation', 'repeatable read', true)
SHOW transaction_isolation
COMMIT
SHOW transaction_isolation

-- case: default_transaction_isolation: several in one request
SET default_transaction_isolation = 'serializable'; SHOW transaction_isolation
SHOW transaction_isolation
SET default_transaction_isolation = 'repeatable read'; SELECT 1 / 0
SHOW transaction_isolation

-- case: default_transaction_isolation: reset and discard all
SET default_transaction_isolation = 'serializable'
RESET ALL
SHOW transaction_isolation
SET default_transaction_isolation = 'repeatable read'
DISCARD ALL
SHOW transaction_isolation

-- case: default_transaction_read_only: set and reset
SET default_transaction_read_only = on
SHOW transaction_read_only
SHOW default_transaction_read_only
SET default_transaction_read_only = off
SHOW transaction_read_only
RESET default_transaction_read_only
SHOW transaction_read_only

-- case: default_transaction_read_only: within a transaction
SET default_transaction_read_only = on
BEGIN
SET LOCAL default_transaction_read_only = off
SHOW transaction_read_only
COMMIT
SHOW transaction_read_only
SHOW default_transaction_read_only

-- case: default_transaction_read_only: rolled back
SET default_transaction_read_only = on
BEGIN
SET default_transaction_read_only = off
SHOW transaction_read_only
ROLLBACK
SHOW transaction_read_only

-- case: default_transaction_read_only: to a savepoint
BEGIN
SET default_transaction_read_only = on
SAVEPOINT s
SET default_transaction_read_only = off
SHOW transaction_read_only
ROLLBACK TO s
SHOW transaction_read_only
RELEASE s
COMMIT
SHOW transaction_read_only

-- case: default_transaction_read_only: a failed transaction keeps nothing
SET default_transaction_read_only = on
BEGIN
SET default_transaction_read_only = off
SELECT 1 / 0
SHOW default_transaction_read_only
COMMIT
SHOW transaction_read_only

-- case: default_transaction_read_only: set_config
SELECT set_config('default_transaction_read_only', 'on', false)
SHOW transaction_read_only
BEGIN
SELECT set_config('default_transaction_read_only', 'off', true)
SHOW transaction_read_only
COMMIT
SHOW transaction_read_only

-- case: default_transaction_read_only: several in one request
SET default_transaction_read_only = on; SHOW transaction_read_only
SHOW transaction_read_only
SET default_transaction_read_only = off; SELECT 1 / 0
SHOW transaction_read_only

-- case: default_transaction_read_only: reset and discard all
SET default_transaction_read_only = on
RESET ALL
SHOW transaction_read_only
SET default_transaction_read_only = off
DISCARD ALL
SHOW transaction_read_only

-- case: standard_conforming_strings: set and reset
SET standard_conforming_strings = off
SELECT 'a\\b'
SHOW standard_conforming_strings
SET standard_conforming_strings = on
SELECT 'a\\b'
RESET standard_conforming_strings
SELECT 'a\\b'

-- case: standard_conforming_strings: within a transaction
SET standard_conforming_strings = off
BEGIN
SET LOCAL standard_conforming_strings = on
SELECT 'a\\b'
COMMIT
SELECT 'a\\b'
SHOW standard_conforming_strings

-- case: standard_conforming_strings: rolled back
SET standard_conforming_strings = off
BEGIN
SET standard_conforming_strings = on
SELECT 'a\\b'
ROLLBACK
SELECT 'a\\b'

-- case: standard_conforming_strings: to a savepoint
BEGIN
SET standard_conforming_strings = off
SAVEPOINT s
SET standard_conforming_strings = on
SELECT 'a\\b'
ROLLBACK TO s
SELECT 'a\\b'
RELEASE s
COMMIT
SELECT 'a\\b'

-- case: standard_conforming_strings: a failed transaction keeps nothing
SET standard_conforming_strings = off
BEGIN
SET standard_conforming_strings = on
SELECT 1 / 0
SHOW standard_conforming_strings
COMMIT
SELECT 'a\\b'

-- case: standard_conforming_strings: set_config
SELECT set_config('standard_conforming_strings', 'off', false)
SELECT 'a\\b'
BEGIN
SELECT set_config('standard_conforming_strings', 'on', true)
SELECT 'a\\b'
COMMIT
SELECT 'a\\b'

-- case: standard_conforming_strings: several in one request
SET standard_conforming_strings = off; SELECT 'a\\b'
SELECT 'a\\b'
SET standard_conforming_strings = on; SELECT 1 / 0
SELECT 'a\\b'

-- case: standard_conforming_strings: reset and discard all
SET standard_conforming_strings = off
RESET ALL
SELECT 'a\\b'
SET standard_conforming_strings = on
DISCARD ALL
SELECT 'a\\b'
-- case: enable_hashjoin: set and reset
SET enable_hashjoin = off
SELECT current_setting('enable_hashjoin')
SHOW enable_hashjoin
SET enable_hashjoin = on
SELECT current_setting('enable_hashjoin')
RESET enable_hashjoin
SELECT current_setting('enable_hashjoin')

-- case: enable_hashjoin: within a transaction
SET enable_hashjoin = off
BEGIN
SET LOCAL enable_hashjoin = on
SELECT current_setting('enable_hashjoin')
COMMIT
SELECT current_setting('enable_hashjoin')
SHOW enable_hashjoin

-- case: enable_hashjoin: rolled back
SET enable_hashjoin = off
BEGIN
SET enable_hashjoin = on
SELECT current_setting('enable_hashjoin')
ROLLBACK
SELECT current_setting('enable_hashjoin')

-- case: enable_hashjoin: to a savepoint
BEGIN
SET enable_hashjoin = off
SAVEPOINT s
SET enable_hashjoin = on
SELECT current_setting('enable_hashjoin')
ROLLBACK TO s
SELECT current_setting('enable_hashjoin')
RELEASE s
COMMIT
SELECT current_setting('enable_hashjoin')

-- case: enable_hashjoin: a failed transaction keeps nothing
SET enable_hashjoin = off
BEGIN
SET enable_hashjoin = on
SELECT 1 / 0
SHOW enable_hashjoin
COMMIT
SELECT current_setting('enable_hashjoin')

-- case: enable_hashjoin: set_config
SELECT set_config('enable_hashjoin', 'off', false)
SELECT current_setting('enable_hashjoin')
BEGIN
SELECT set_config('enable_hashjoin', 'on', true)
SELECT current_setting('enable_hashjoin')
COMMIT
SELECT current_setting('enable_hashjoin')

-- case: enable_hashjoin: several in one request
SET enable_hashjoin = off; SELECT current_setting('enable_hashjoin')
SELECT current_setting('enable_hashjoin')
SET enable_hashjoin = on; SELECT 1 / 0
SELECT current_setting('enable_hashjoin')

-- case: enable_hashjoin: reset and discard all
SET enable_hashjoin = off
RESET ALL
SELECT current_setting('enable_hashjoin')
SET enable_hashjoin = on
DISCARD ALL
SELECT current_setting('enable_hashjoin')

-- case: lock_timeout: set and reset
SET lock_timeout = '71s'
SELECT current_setting('lock_timeout')
SHOW lock_timeout
SET lock_timeout = '72s'
SELECT current_setting('lock_timeout')
RESET lock_timeout
SELECT current_setting('lock_timeout')

-- case: lock_timeout: within a transaction
SET lock_timeout = '71s'
BEGIN
SET LOCAL lock_timeout = '72s'
SELECT current_setting('lock_timeout')
COMMIT
SELECT current_setting('lock_timeout')
SHOW lock_timeout

-- case: lock_timeout: rolled back
SET lock_timeout = '71s'
BEGIN
SET lock_timeout = '72s'
SELECT current_setting('lock_timeout')
ROLLBACK
SELECT current_setting('lock_timeout')

-- case: lock_timeout: to a savepoint
BEGIN
SET lock_timeout = '71s'
SAVEPOINT s
SET lock_timeout = '72s'
SELECT current_setting('lock_timeout')
ROLLBACK TO s
SELECT current_setting('lock_timeout')
RELEASE s
COMMIT
SELECT current_setting('lock_timeout')

-- case: lock_timeout: a failed transaction keeps nothing
SET lock_timeout = '71s'
BEGIN
SET lock_timeout = '72s'
SELECT 1 / 0
SHOW lock_timeout
COMMIT
SELECT current_setting('lock_timeout')

-- case: lock_timeout: set_config
SELECT set_config('lock_timeout', '71s', false)
SELECT current_setting('lock_timeout')
BEGIN
SELECT set_config('lock_timeout', '72s', true)
SELECT current_setting('lock_timeout')
COMMIT
SELECT current_setting('lock_timeout')

-- case: lock_timeout: several in one request
SET lock_timeout = '71s'; SELECT current_setting('lock_timeout')
SELECT current_setting('lock_timeout')
SET lock_timeout = '72s'; SELECT 1 / 0
SELECT current_setting('lock_timeout')

-- case: lock_timeout: reset and discard all
SET lock_timeout = '71s'
RESET ALL
SELECT current_setting('lock_timeout')
SET lock_timeout = '72s'
DISCARD ALL
SELECT current_setting('lock_timeout')
