-- What a session is beside its settings. One line is one request; the answers must be PostgreSQL's.

-- case: set role, and back
SELECT current_user = session_user
SET ROLE pg_monitor
RESET ROLE
SELECT current_user = session_user
SET ROLE NONE
SELECT current_user = session_user

-- case: a role that may not be taken
SET ROLE postgres
SELECT current_user = session_user
SET SESSION AUTHORIZATION postgres
SELECT current_user = session_user
SET SESSION AUTHORIZATION DEFAULT

-- case: set role within a transaction
BEGIN
SET LOCAL ROLE NONE
SELECT current_user = session_user
COMMIT
SHOW role

-- case: session characteristics
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE
BEGIN
SHOW transaction_isolation
COMMIT
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED
BEGIN
SHOW transaction_isolation
COMMIT

-- case: set transaction
BEGIN
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
SHOW transaction_isolation
SHOW transaction_read_only
CREATE TABLE never (n int)
ROLLBACK
SHOW transaction_isolation

-- case: begin with modes
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE
SHOW transaction_deferrable
COMMIT AND CHAIN
SHOW transaction_isolation
ROLLBACK

-- case: set names and time zone
SET NAMES 'LATIN1'
SHOW client_encoding
SET NAMES 'UTF8'
SHOW client_encoding
SET TIME ZONE 'Europe/Rome'
SHOW TimeZone
SET TIME ZONE LOCAL

-- case: wrong values change nothing
SET work_mem = '8MB'
SET work_mem = 'lots'
SHOW work_mem
SET nonsense = 1
SHOW nonsense
SET TimeZone = 'Nowhere/At all'

-- case: a setting nobody has set
SHOW app.never
SELECT current_setting('app.never2')
SELECT current_setting('app.never3', true) IS NULL

-- case: two settings of one extension
SET app.a = '1'
SET app.b = '2'
SELECT current_setting('app.a') || current_setting('app.b')
RESET app.a
SELECT coalesce(current_setting('app.a', true), '') || current_setting('app.b')

-- case: set from the value that holds
SET work_mem = '5MB'
SET work_mem FROM CURRENT
SHOW work_mem
SET work_mem TO DEFAULT
SET search_path = 'no_such_schema'
CREATE TABLE nowhere (n int)
SHOW search_path

-- case: a temporary table
CREATE TEMP TABLE t (n int)
INSERT INTO t VALUES (1), (2)
SELECT sum(n) FROM t
SELECT count(*) FROM pg_class WHERE relname = 't' AND relnamespace = pg_my_temp_schema()
DROP TABLE t
SELECT sum(n) FROM t

-- case: a temporary table that goes with its transaction
BEGIN
CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1 AS n
SELECT n FROM t
COMMIT
SELECT n FROM t

-- case: a temporary table that is emptied
CREATE TEMP TABLE t (n int) ON COMMIT DELETE ROWS
INSERT INTO t VALUES (1)
SELECT count(*) FROM t
BEGIN
INSERT INTO t VALUES (1)
SELECT count(*) FROM t
COMMIT
SELECT count(*) FROM t
DROP TABLE t

-- case: a temporary table of a rolled back transaction
BEGIN
CREATE TEMP TABLE t (n int)
ROLLBACK
SELECT n FROM t

-- case: a temporary table shadows another
CREATE TABLE shadowed AS SELECT 'permanent' AS what
SELECT what FROM shadowed
CREATE TEMP TABLE shadowed AS SELECT 'temporary' AS what
SELECT what FROM shadowed
DROP TABLE shadowed
SELECT what FROM shadowed
DROP TABLE shadowed

-- case: temporary views, sequences, functions and types
CREATE TEMP SEQUENCE s
SELECT nextval('s'), nextval('s')
SELECT currval('s')
CREATE TEMP VIEW v AS SELECT 7 AS n
SELECT n FROM v
CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 11'
SELECT pg_temp.f()
CREATE TYPE pg_temp.mood AS ENUM ('calm')
SELECT 'calm'::pg_temp.mood
DISCARD TEMP
SELECT pg_temp.f()

-- case: select into, and create table as
SELECT 3 AS n INTO TEMP t
TABLE t
CREATE TEMP TABLE u AS TABLE t
ALTER TABLE u RENAME TO w
TABLE w
DISCARD ALL
TABLE w

-- case: a temporary table by copy
CREATE TEMP TABLE t (n int)
INSERT INTO t SELECT generate_series(1, 3)
SELECT count(*) FROM t
TRUNCATE t
SELECT count(*) FROM t
DISCARD TEMP

-- case: prepare, execute, deallocate
PREPARE p AS SELECT 1 AS one
EXECUTE p
EXECUTE p
DEALLOCATE p
EXECUTE p
DEALLOCATE p

-- case: prepare with parameters
PREPARE p (int, text) AS SELECT $1 + 1 AS n, $2 AS t
EXECUTE p (1, 'a')
EXECUTE p (2, 'b')
EXECUTE p ('x', 'b')
EXECUTE p (3)
DEALLOCATE PREPARE p

-- case: prepare twice
PREPARE p AS SELECT 1
PREPARE p AS SELECT 2
EXECUTE p
DEALLOCATE ALL
EXECUTE p

-- case: prepare outlives a rollback
BEGIN
PREPARE p AS SELECT 1
ROLLBACK
EXECUTE p
DEALLOCATE p

-- case: prepare that fails is none
PREPARE p AS SELECT nothing
EXECUTE p
BEGIN
PREPARE q AS SELECT 1
SELECT 1 / 0
EXECUTE q
ROLLBACK
EXECUTE q
DEALLOCATE q

-- case: names of prepared statements
PREPARE "P" AS SELECT 'upper'
PREPARE p AS SELECT 'lower'
EXECUTE "P"
EXECUTE P
SELECT name, statement FROM pg_prepared_statements WHERE from_sql ORDER BY 1
DISCARD PLANS
EXECUTE p
DISCARD ALL
EXECUTE p

-- case: explain of an execute
PREPARE p (int) AS SELECT $1
EXPLAIN (COSTS OFF) EXECUTE p (1)
CREATE TEMP TABLE made AS EXECUTE p (5)
TABLE made
DISCARD ALL

-- case: a prepared write
CREATE TABLE written (n int)
PREPARE w (int) AS INSERT INTO written VALUES ($1) RETURNING n
EXECUTE w (1)
EXECUTE w (2)
SELECT sum(n) FROM written
DEALLOCATE w
DROP TABLE written

-- case: the result of a prepared statement changes
CREATE TABLE changing (a int)
INSERT INTO changing VALUES (1)
PREPARE c AS SELECT * FROM changing
EXECUTE c
ALTER TABLE changing ADD b int
EXECUTE c
DEALLOCATE c
SELECT * FROM changing
DROP TABLE changing

-- case: a cursor within a transaction
BEGIN
DECLARE c CURSOR FOR SELECT generate_series(1, 5)
FETCH 2 FROM c
MOVE 1 IN c
FETCH ALL FROM c
CLOSE c
FETCH c
ROLLBACK

-- case: a cursor ends with its transaction
BEGIN
DECLARE c CURSOR FOR SELECT 1
COMMIT
FETCH c

-- case: a cursor outside of a transaction
DECLARE c CURSOR FOR SELECT 1
FETCH c

-- case: a cursor with hold
BEGIN
DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 5)
FETCH 2 FROM c
COMMIT
FETCH 2 FROM c
SELECT name FROM pg_cursors
FETCH 2 FROM c
CLOSE c
FETCH c

-- case: a cursor with hold outside of a transaction
DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT generate_series(1, 3)
FETCH LAST FROM c
FETCH FIRST FROM c
CLOSE ALL
FETCH FIRST FROM c

-- case: a cursor with hold of a rolled back transaction
BEGIN
DECLARE c CURSOR WITH HOLD FOR SELECT 1
ROLLBACK
FETCH c

-- case: a scrollable cursor and a savepoint
BEGIN
DECLARE c SCROLL CURSOR FOR SELECT generate_series(1, 5)
FETCH 3 FROM c
SAVEPOINT s
FETCH 1 FROM c
ROLLBACK TO s
FETCH BACKWARD 2 FROM c
COMMIT

-- case: an advisory lock is held until it is released
SELECT pg_advisory_lock(99001)
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 99001
SELECT pg_advisory_unlock(99001)
SELECT pg_advisory_unlock(99001)
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 99001

-- case: an advisory lock is taken twice
SELECT pg_try_advisory_lock(99002), pg_try_advisory_lock(99002)
SELECT pg_advisory_unlock(99002)
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 99002
SELECT pg_advisory_unlock_all()
SELECT pg_advisory_unlock(99002)

-- case: shared and two-key advisory locks
SELECT pg_advisory_lock_shared(99, 3)
SELECT pg_advisory_unlock(99, 3)
SELECT pg_advisory_unlock_shared(99, 3)
SELECT pg_advisory_unlock_shared(99, 3)

-- case: an advisory lock of a transaction
BEGIN
SELECT pg_advisory_xact_lock(99004)
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 99004
COMMIT
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 99004

-- case: an advisory lock outlives a rollback
BEGIN
SELECT pg_advisory_lock(99005)
ROLLBACK
SELECT pg_advisory_unlock(99005)
SELECT pg_advisory_unlock(99005)

-- case: an advisory lock in a function
DO $$ BEGIN PERFORM pg_advisory_lock(99006); END $$
SELECT pg_advisory_unlock(99006)
DISCARD ALL
SELECT pg_advisory_unlock(99006)

-- case: listen and what one sends oneself
LISTEN one
SELECT pg_listening_channels()
LISTEN two
SELECT count(*) FROM pg_listening_channels()
UNLISTEN one
SELECT pg_listening_channels()
UNLISTEN *
SELECT count(*) FROM pg_listening_channels()

-- case: listen within a transaction
BEGIN
LISTEN three
SELECT count(*) FROM pg_listening_channels()
ROLLBACK
SELECT count(*) FROM pg_listening_channels()
BEGIN
LISTEN three
COMMIT
SELECT count(*) FROM pg_listening_channels()
DISCARD ALL
SELECT count(*) FROM pg_listening_channels()

-- case: currval and lastval
CREATE SEQUENCE counted
SELECT currval('counted')
SELECT nextval('counted')
SELECT currval('counted'), lastval()
SELECT nextval('counted')
SELECT lastval()
BEGIN
SELECT setval('counted', 40)
ROLLBACK
SELECT currval('counted')
DROP SEQUENCE counted

-- case: what an identity column gave
CREATE TABLE identified (id int GENERATED ALWAYS AS IDENTITY, n int)
INSERT INTO identified (n) VALUES (1) RETURNING id
INSERT INTO identified (n) VALUES (2) RETURNING id
SELECT lastval()
SELECT currval(pg_get_serial_sequence('identified', 'id'))
DROP TABLE identified

-- case: discard sequences
CREATE SEQUENCE counted
SELECT nextval('counted')
DISCARD SEQUENCES
SELECT currval('counted')
DROP SEQUENCE counted

-- case: load
LOAD 'auto_explain'
SELECT 1

-- case: large objects
BEGIN
SELECT lo_create(99007)
SELECT lo_open(99007, 131072)
SELECT lowrite(0, 'some bytes')
SELECT lo_lseek(0, 0, 0)
SELECT loread(0, 4)
SELECT lo_close(0)
COMMIT
SELECT loread(0, 4)
SELECT lo_get(99007)
SELECT lo_unlink(99007)

-- case: savepoints
CREATE TABLE saved (n int)
BEGIN
INSERT INTO saved VALUES (1)
SAVEPOINT a
INSERT INTO saved VALUES (2)
SAVEPOINT b
INSERT INTO saved VALUES (3)
ROLLBACK TO a
SELECT count(*) FROM saved
RELEASE b
ROLLBACK TO a
COMMIT
SELECT count(*) FROM saved
DROP TABLE saved

-- case: transaction control that does not fit
COMMIT
ROLLBACK
BEGIN
BEGIN
COMMIT
SAVEPOINT nowhere
RELEASE nowhere
ROLLBACK TO nowhere

-- case: a failed transaction
BEGIN
SELECT 1 / 0
SELECT 1
SAVEPOINT s
COMMIT
SELECT 1

-- case: several statements are one transaction
CREATE TABLE implicit (n int)
INSERT INTO implicit VALUES (1); INSERT INTO implicit VALUES (2); SELECT 1 / 0
SELECT count(*) FROM implicit
INSERT INTO implicit VALUES (1); COMMIT; INSERT INTO implicit VALUES (2); SELECT 1 / 0
SELECT count(*) FROM implicit
BEGIN; INSERT INTO implicit VALUES (3); ROLLBACK; SELECT count(*) FROM implicit
DROP TABLE implicit

-- case: two-phase commit is refused alike
BEGIN
PREPARE TRANSACTION 'features'
ROLLBACK

-- case: do leaves a setting
DO $$ BEGIN PERFORM set_config('app.done', 'by do', false); END $$
SELECT current_setting('app.done', true)
RESET app.done
SELECT coalesce(current_setting('app.done', true), '')

-- case: do leaves a temporary table
DO $$ BEGIN CREATE TEMP TABLE by_do AS SELECT 1 AS n; END $$
TABLE by_do
DO $$ BEGIN DROP TABLE by_do; END $$
TABLE by_do

-- case: a function leaves a setting
CREATE FUNCTION leaves() RETURNS text LANGUAGE plpgsql AS $$ BEGIN SET work_mem = '6MB'; RETURN 'done'; END $$
SELECT leaves()
SHOW work_mem
RESET work_mem
SHOW work_mem
DROP FUNCTION leaves()

-- case: a procedure that commits
CREATE TABLE committed (n int)
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO committed VALUES (1); COMMIT; INSERT INTO committed VALUES (2); ROLLBACK; END $$
CALL commits()
SELECT count(*) FROM committed
DROP PROCEDURE commits()
DROP TABLE committed

-- case: a function with settings of its own
CREATE FUNCTION own() RETURNS text LANGUAGE sql SET work_mem = '6MB' AS $$ SELECT current_setting('work_mem') $$
SET work_mem = '5MB'
SELECT own(), current_setting('work_mem')
DROP FUNCTION own()

-- case: random numbers from a seed
SELECT setseed(0.5); SELECT round(random()::numeric, 6)
BEGIN
SELECT setseed(0.25)
SELECT round(random()::numeric, 6)
COMMIT

-- case: own writes are seen
CREATE TABLE seen (n int)
INSERT INTO seen VALUES (1)
SELECT count(*) FROM seen
UPDATE seen SET n = 2
SELECT n FROM seen
DELETE FROM seen
SELECT count(*) FROM seen
DROP TABLE seen
SELECT count(*) FROM seen

-- case: own changes of the catalog are seen
CREATE TABLE shaped (a int)
SELECT * FROM shaped
ALTER TABLE shaped ADD COLUMN b text DEFAULT 'x'
INSERT INTO shaped VALUES (1)
SELECT * FROM shaped
CREATE VIEW of_shape AS SELECT b FROM shaped
SELECT * FROM of_shape
ALTER TABLE shaped RENAME COLUMN b TO c
SELECT * FROM of_shape
DROP VIEW of_shape
DROP TABLE shaped

-- case: snapshots within one transaction
CREATE TABLE snapped (n int)
INSERT INTO snapped VALUES (1)
BEGIN ISOLATION LEVEL REPEATABLE READ
SELECT count(*) FROM snapped
INSERT INTO snapped VALUES (2)
SELECT count(*) FROM snapped
ROLLBACK
SELECT count(*) FROM snapped
DROP TABLE snapped

-- case: constraints set within a transaction
CREATE TABLE deferred (n int UNIQUE DEFERRABLE)
BEGIN
SET CONSTRAINTS ALL DEFERRED
INSERT INTO deferred VALUES (1), (1)
SET CONSTRAINTS ALL IMMEDIATE
ROLLBACK
INSERT INTO deferred VALUES (1), (1)
DROP TABLE deferred

-- case: locks of tables
CREATE TABLE locked (n int)
LOCK TABLE locked
BEGIN
LOCK TABLE locked IN SHARE MODE
SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass AND pid = pg_backend_pid()
COMMIT
SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass AND pid = pg_backend_pid()
DROP TABLE locked

-- case: row locks
CREATE TABLE rows_locked AS SELECT 1 AS n
BEGIN
SELECT n FROM rows_locked FOR UPDATE
SELECT n FROM rows_locked FOR SHARE SKIP LOCKED
COMMIT
DROP TABLE rows_locked

-- case: comments and white space
/* a */ SET /* b */ app.spaced = 'x' -- c
 SELECT current_setting('app.spaced')
;; SHOW app.spaced ;;
RESET app.spaced

-- case: nothing at all

;
-- only a comment

-- case: unknown and broken statements
SELEKT 1
SELECT 'open
SET
DISCARD
PREPARE
EXECUTE
DEALLOCATE nothing
CLOSE nothing
UNLISTEN nothing
NOTIFY nothing

-- case: settings that only hold at the start
SET max_connections = 7
SET shared_buffers = '1MB'
SET client_encoding = 'NOWHERE'
SHOW server_encoding

-- case: a setting by its place in another case
SET WORK_MEM = '5MB'
SHOW Work_Mem
SET "TimeZone" = 'UTC'
SHOW timezone

-- case: set with a list, a number, a name
SET search_path TO "$user", public, 'pg_catalog'
SHOW search_path
SET work_mem TO 8192
SHOW work_mem
SET enable_seqscan TO off
SHOW enable_seqscan
SET seq_page_cost = 1.5
SHOW seq_page_cost
RESET ALL
SHOW enable_seqscan

-- case: a setting within a subtransaction that fails
SET app.sub = 'outer'
BEGIN
SAVEPOINT s
SET app.sub = 'inner'
SELECT 1 / 0
ROLLBACK TO s
SHOW app.sub
COMMIT
SHOW app.sub

-- case: local and session at once
BEGIN
SET app.both = 'session'
SET LOCAL app.both = 'local'
SHOW app.both
COMMIT
SHOW app.both
BEGIN
SET LOCAL app.both = 'local again'
SET app.both = 'session again'
SHOW app.both
COMMIT
SHOW app.both

-- case: set local outside of a transaction
SET LOCAL work_mem = '5MB'
SHOW work_mem
SELECT set_config('work_mem', '6MB', true)
SHOW work_mem

-- case: chained transactions
BEGIN
SET LOCAL app.chained = 'a'
COMMIT AND CHAIN
SELECT coalesce(current_setting('app.chained', true), '')
SET app.chained = 'b'
ROLLBACK AND CHAIN
SELECT coalesce(current_setting('app.chained', true), '')
COMMIT
