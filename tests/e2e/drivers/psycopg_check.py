"""psycopg 3. Usage: psycopg_check.py DSN PREFIX

PREFIX_items holds the rows 1 to 1000 on every node; PREFIX_work (id int primary key, note text, payload bytea) is to be
written. Ends with 0 when every check is as it should be, else says which is not.
"""

import sys
import threading
import time
import traceback

import psycopg
from psycopg import errors, sql
from psycopg.types.json import Jsonb

DSN, PREFIX = sys.argv[1], sys.argv[2]
ITEMS, WORK = PREFIX + "_items", PREFIX + "_work"


def connect(**options):
    return psycopg.connect(DSN, **options)


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def raises(error, run):
    try:
        run()
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__}")


def write_and_read_back(conn, identity, note):
    """In one transaction, so on one node."""
    with conn.transaction():
        conn.execute(f"INSERT INTO {WORK} VALUES (%s, %s)", (identity, note))
        equal(conn.execute(f"SELECT note FROM {WORK} WHERE id = %s", (identity,)).fetchone(), (note,))


# === checks ===


def check_autocommit():
    with connect(autocommit=True) as conn:
        row = conn.execute(f"SELECT id, label, price FROM {ITEMS} WHERE id = %s", (7,)).fetchone()
        equal((row[0], row[1], str(row[2])), (7, "item 7", "8.75"))
        for identity in range(100, 120):
            equal(conn.execute(f"INSERT INTO {WORK} VALUES (%s, %s)", (identity, "a")).rowcount, 1)
        equal(conn.execute(f"UPDATE {WORK} SET note = 'b' WHERE id BETWEEN 100 AND 119").rowcount, 20)
        returned = conn.execute(f"DELETE FROM {WORK} WHERE id BETWEEN 100 AND 119 RETURNING note").fetchall()
        equal(returned, [("b",)] * 20)
        equal(conn.execute("").pgresult.status, psycopg.pq.ExecStatus.EMPTY_QUERY)


def check_transactions():
    with connect() as conn:
        write_and_read_back(conn, 200, "kept")
        conn.execute(f"INSERT INTO {WORK} VALUES (201, 'lost')")
        conn.rollback()
        with conn.transaction():
            conn.execute(f"INSERT INTO {WORK} VALUES (202, 'outer')")
            try:
                with conn.transaction():  # a savepoint
                    conn.execute(f"INSERT INTO {WORK} VALUES (203, 'inner')")
                    conn.execute("SELECT 1 / 0")
            except errors.DivisionByZero:
                pass
        kept = conn.execute(f"SELECT id FROM {WORK} WHERE id BETWEEN 200 AND 209 ORDER BY id").fetchall()
        equal(kept, [(200,), (202,)])


def check_read_only_transactions():
    with connect() as conn:
        conn.read_only = True
        for _ in range(4):
            equal(conn.execute(f"SELECT count(*) FROM {ITEMS}").fetchone(), (1000,))
            raises(errors.ReadOnlySqlTransaction, lambda: conn.execute(f"DELETE FROM {WORK}"))
            conn.rollback()


def check_prepared_over_transactions():
    """One statement of the driver's, prepared once, on whichever servers its transactions get."""
    with connect(autocommit=True, prepare_threshold=0) as conn:
        others = [connect(autocommit=True) for _ in range(3)]
        for identity in range(1, 41):
            if identity % 10 == 0:  # somebody else has the server meanwhile
                others[identity // 10 % 3].execute("BEGIN").connection.execute("SELECT 1")
            row = conn.execute(f"SELECT label FROM {ITEMS} WHERE id = %s", (identity,)).fetchone()
            equal(row, (f"item {identity}",))
            with conn.transaction():
                row = conn.execute(f"SELECT label FROM {ITEMS} WHERE id = %s", (identity,)).fetchone()
                equal(row, (f"item {identity}",))
                conn.execute(f"INSERT INTO {WORK} VALUES (%s, %s)", (300 + identity, "p"))
        for other in others:
            other.close()
        with conn.transaction():
            equal(conn.execute(f"SELECT count(*) FROM {WORK} WHERE note = %s", ("p",)).fetchone(), (40,))


def check_many_prepared():
    """More than the driver keeps: it deallocates the oldest."""
    with connect(autocommit=True, prepare_threshold=0) as conn:
        conn.prepared_max = 10
        for turn in range(3):
            for number in range(25):
                equal(conn.execute(f"SELECT %s::int + {number}", (turn,)).fetchone(), (turn + number,))


def check_prepared_errors():
    with connect(autocommit=True, prepare_threshold=0) as conn:
        for _ in range(3):
            raises(errors.UndefinedTable, lambda: conn.execute(f"SELECT %s::int FROM {PREFIX}_nowhere", (1,)))
            raises(errors.DivisionByZero, lambda: conn.execute("SELECT 1 / %s::int", (0,)))
            equal(conn.execute("SELECT 1 / %s::int", (1,)).fetchone(), (1,))


def check_pipeline():
    if not psycopg.Pipeline.is_supported():
        raise AssertionError("this libpq has no pipeline mode")
    with connect(autocommit=True, prepare_threshold=0) as conn:
        with conn.pipeline():
            cursors = [conn.execute(f"SELECT label FROM {ITEMS} WHERE id = %s", (i,)) for i in range(1, 201)]
            equal([c.fetchone()[0] for c in cursors], [f"item {i}" for i in range(1, 201)])
        with conn.pipeline() as pipeline:
            with conn.transaction():
                for identity in range(400, 420):
                    conn.execute(f"INSERT INTO {WORK} VALUES (%s, %s)", (identity, "pipe"))
                count = conn.execute(f"SELECT count(*) FROM {WORK} WHERE note = 'pipe'")
            pipeline.sync()
            equal(count.fetchone(), (20,))

        def failing():
            with conn.pipeline():
                conn.execute(f"INSERT INTO {WORK} VALUES (%s, %s)", (420, "undone"))
                conn.execute("SELECT 1 / %s::int", (0,))
                conn.execute(f"INSERT INTO {WORK} VALUES (%s, %s)", (421, "never run"))

        raises((errors.DivisionByZero, errors.PipelineAborted), failing)
        with conn.transaction():
            equal(conn.execute(f"SELECT count(*) FROM {WORK} WHERE id IN (420, 421)").fetchone(), (0,))


def check_executemany():
    with connect() as conn, conn.cursor() as cur:
        cur.executemany(f"INSERT INTO {WORK} VALUES (%s, %s)", [(i, f"many {i}") for i in range(500, 600)])
        equal(cur.rowcount, 100)
        cur.executemany(
            f"UPDATE {WORK} SET note = %s WHERE id = %s RETURNING id", [("x", i) for i in range(500, 510)], returning=True
        )
        got = [cur.fetchone()[0]]
        while cur.nextset():
            got.append(cur.fetchone()[0])
        equal(got, list(range(500, 510)))


def check_copy():
    with connect() as conn, conn.cursor() as cur:
        with cur.copy(f"COPY {WORK} (id, note) FROM STDIN") as copy:
            for identity in range(1000, 6000):
                copy.write_row((identity, f"row\t{identity}\n"))
        equal(cur.rowcount, 5000)
        with cur.copy(f"COPY (SELECT id, note FROM {WORK} WHERE id >= 1000 ORDER BY id) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            equal(list(copy.rows()), [(i, f"row\t{i}\n") for i in range(1000, 6000)])
        conn.commit()
        with cur.copy(f"COPY {WORK} (id, note, payload) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text", "bytea"])
            for identity in range(6000, 6100):
                copy.write_row((identity, None, bytes([identity % 256]) * 1000))
        with cur.copy(f"COPY (SELECT payload FROM {WORK} WHERE id >= 6000 ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["bytea"])
            equal(list(copy.rows()), [(bytes([i % 256]) * 1000,) for i in range(6000, 6100)])
    with connect(autocommit=True) as conn, conn.cursor() as cur:
        with cur.copy(f"COPY {ITEMS} TO STDOUT") as copy:  # a standby may do that
            equal(sum(bytes(block).count(b"\n") for block in copy), 1000)

        def given_up():
            with cur.copy(f"COPY {WORK} (id) FROM STDIN") as copy:
                copy.write_row((7000,))
                raise KeyError("the application's own")

        raises(KeyError, given_up)

        def malformed():
            with cur.copy(f"COPY {WORK} (id) FROM STDIN") as copy:
                copy.write("7001\nseven thousand two\n")

        raises(errors.InvalidTextRepresentation, malformed)
        with conn.transaction():
            equal(cur.execute(f"SELECT count(*) FROM {WORK} WHERE id >= 7000").fetchone(), (0,))


def check_server_side_cursor():
    with connect() as conn:
        with conn.cursor("walker") as cur:
            cur.itersize = 150
            cur.execute(f"SELECT id FROM {ITEMS} ORDER BY id")
            equal([row[0] for row in cur], list(range(1, 1001)))
        with conn.cursor("jumper", scrollable=True) as cur:
            cur.execute(f"SELECT id FROM {ITEMS} ORDER BY id")
            cur.scroll(990, mode="absolute")
            equal(cur.fetchmany(3), [(991,), (992,), (993,)])
        with conn.cursor(binary=True) as cur:
            equal([row[0] for row in cur.stream(f"SELECT id FROM {ITEMS} ORDER BY id LIMIT 100")], list(range(1, 101)))
    with connect(autocommit=True) as conn:
        with conn.cursor("held", withhold=True) as cur:  # outlives its transaction: keeps its server
            cur.execute(f"SELECT id FROM {ITEMS} ORDER BY id")
            equal(cur.fetchmany(2), [(1,), (2,)])
            equal(conn.execute("SELECT 1").fetchone(), (1,))
            equal(cur.fetchmany(2), [(3,), (4,)])


def check_binary():
    with connect(autocommit=True) as conn, conn.cursor(binary=True) as cur:
        query = "SELECT %b::int8, %b::float8, %b::bytea, %b::timestamptz, %b::jsonb, %b::int[], %b::uuid"
        when = __import__("datetime").datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=__import__("datetime").timezone.utc)
        uuid = __import__("uuid").UUID(int=7)
        values = (2**60, 1.5, b"\x00\xff", when, Jsonb({"a": [1, None]}), [1, 2, None], uuid)
        got = cur.execute(query, values).fetchone()
        equal(got, (2**60, 1.5, b"\x00\xff", when, {"a": [1, None]}, [1, 2, None], uuid))


def check_large_values():
    payload = bytes(range(256)) * 16384  # 4 MB
    with connect(prepare_threshold=0) as conn:
        conn.execute(f"INSERT INTO {WORK} VALUES (8000, NULL, %b)", (payload,))
        got = conn.execute(f"SELECT payload FROM {WORK} WHERE id = 8000", binary=True).fetchone()[0]
        assert got == payload, "4 MB came back changed"


def check_errors():
    with connect(autocommit=True) as conn:
        conn.execute(f"INSERT INTO {WORK} (id) VALUES (9000)")
        error = raises(errors.UniqueViolation, lambda: conn.execute(f"INSERT INTO {WORK} (id) VALUES (9000)"))
        equal((error.sqlstate, error.diag.constraint_name), ("23505", WORK + "_pkey"))
        error = raises(errors.SyntaxError, lambda: conn.execute("SELEC 1"))
        equal((error.diag.statement_position, error.diag.severity_nonlocalized), ("1", "ERROR"))
        raises(errors.NotNullViolation, lambda: conn.execute(f"INSERT INTO {WORK} (note) VALUES ('x')"))
        raises(errors.UndefinedColumn, lambda: conn.execute(f"SELECT nothing FROM {ITEMS}"))
        equal(conn.info.transaction_status, psycopg.pq.TransactionStatus.IDLE)
    with connect() as conn:
        raises(errors.UndefinedFunction, lambda: conn.execute("SELECT no_such_function(1)"))
        equal(conn.info.transaction_status, psycopg.pq.TransactionStatus.INERROR)
        raises(errors.InFailedSqlTransaction, lambda: conn.execute("SELECT 1"))
        conn.rollback()
        equal(conn.execute("SELECT 1").fetchone(), (1,))


def check_cancel():
    with connect(autocommit=True) as conn, connect(autocommit=True) as bystander:
        for cancel in (conn.cancel, conn.cancel_safe):
            started = time.monotonic()
            timer = threading.Timer(0.2, cancel)
            timer.start()
            raises(errors.QueryCanceled, lambda: conn.execute("SELECT pg_sleep(20)"))
            timer.join()
            assert time.monotonic() - started < 10, "the cancel request came late"
            equal(conn.execute("SELECT 1").fetchone(), (1,))
            conn.cancel_safe()  # of nothing
            for _ in range(3):
                equal(bystander.execute("SELECT 2").fetchone(), (2,))
                equal(conn.execute("SELECT 1").fetchone(), (1,))


def check_settings():
    """What a client has set holds on whichever server it gets, and nobody else sees it."""
    with connect(autocommit=True, options="-c search_path=pg_catalog") as conn, connect(autocommit=True) as other:
        for _ in range(4):
            equal(conn.execute("SHOW search_path").fetchone(), ("pg_catalog",))
        conn.execute("SET TimeZone TO 'Asia/Tokyo'")
        equal(conn.info.parameter_status("TimeZone"), "Asia/Tokyo")
        for _ in range(4):
            noon = "SELECT '2024-01-01 00:00:00+00'::timestamptz::text"
            equal(conn.execute(noon).fetchone(), ("2024-01-01 09:00:00+09",))
            assert other.execute("SHOW TimeZone").fetchone() != ("Asia/Tokyo",), "another client's setting"
            assert other.execute("SHOW search_path").fetchone() != ("pg_catalog",), "another client's setting"
        conn.execute("RESET TimeZone")
        assert conn.execute("SHOW TimeZone").fetchone() != ("Asia/Tokyo",)


def check_notify():
    with connect(autocommit=True) as listener, connect(autocommit=True) as teller:
        listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(PREFIX)))
        teller.execute("SELECT pg_notify(%s, %s)", (PREFIX, "hello"))
        got = [(n.channel, n.payload) for n in listener.notifies(timeout=10, stop_after=1)]
        equal(got, [(PREFIX, "hello")])
        equal(listener.execute("SELECT 1").fetchone(), (1,))


def check_notices():
    with connect(autocommit=True) as conn:
        heard = []
        conn.add_notice_handler(lambda diag: heard.append((diag.severity_nonlocalized, diag.message_primary)))
        conn.execute("DO $$ BEGIN RAISE NOTICE 'mind the gap'; END $$")
        equal(heard, [("NOTICE", "mind the gap")])


def main():
    checks = [(name, check) for name, check in globals().items() if name.startswith("check_")]
    with connect(autocommit=True) as conn:
        conn.execute(f"DELETE FROM {WORK}")
    failed = 0
    for name, check in checks:
        try:
            check()
        except Exception:
            failed += 1
            print(f"--- {name} failed", file=sys.stderr)
            traceback.print_exc()
    print(f"psycopg {psycopg.__version__}: {len(checks) - failed} of {len(checks)} checks passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
