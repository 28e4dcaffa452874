"""asyncpg. Usage: asyncpg_check.py DSN PREFIX

PREFIX_items holds the rows 1 to 1000 on every node; PREFIX_work (id int primary key, note text, payload bytea) is to be
written. Ends with 0 when every check is as it should be, else says which is not.
"""

import asyncio
import datetime
import decimal
import io
import sys
import time
import traceback

import asyncpg

DSN, PREFIX = sys.argv[1], sys.argv[2]
ITEMS, WORK = PREFIX + "_items", PREFIX + "_work"


def connect(**options):
    return asyncpg.connect(DSN, **options)


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


async def raises(error, awaitable):
    try:
        await awaitable
    except error as raised:
        return raised
    raise AssertionError(f"no {error}")


class Connected:
    """async with Connected() as conn"""

    def __init__(self, **options):
        self.options = options

    async def __aenter__(self):
        self.conn = await connect(**self.options)
        return self.conn

    async def __aexit__(self, *_):
        await self.conn.close(timeout=5)


# === checks ===


async def check_crud():
    async with Connected() as conn:
        row = await conn.fetchrow(f"SELECT id, label, price FROM {ITEMS} WHERE id = $1", 7)
        equal(tuple(row), (7, "item 7", decimal.Decimal("8.75")))
        equal(await conn.execute(f"INSERT INTO {WORK} VALUES ($1, $2)", 100, "a"), "INSERT 0 1")
        equal(await conn.execute(f"UPDATE {WORK} SET note = 'b' WHERE id = 100"), "UPDATE 1")
        equal(await conn.fetchval(f"DELETE FROM {WORK} WHERE id = $1 RETURNING note", 100), "b")
        equal(await conn.execute("SELECT 1; SELECT 2"), "SELECT 1")


async def check_transactions():
    async with Connected() as conn:
        async with conn.transaction():
            await conn.execute(f"INSERT INTO {WORK} VALUES (200, 'kept')")
            nested = conn.transaction()
            await nested.start()
            await conn.execute(f"INSERT INTO {WORK} VALUES (201, 'undone')")
            await nested.rollback()
            equal(await conn.fetchval(f"SELECT count(*) FROM {WORK} WHERE id IN (200, 201)"), 1)
        async with conn.transaction(readonly=True):
            equal(await conn.fetchval(f"SELECT count(*) FROM {ITEMS}"), 1000)
        async with conn.transaction(isolation="serializable", readonly=True, deferrable=True):
            equal(await conn.fetchval(f"SELECT count(*) FROM {ITEMS}"), 1000)


async def check_prepared_over_transactions():
    async with Connected() as conn:
        read = await conn.prepare(f"SELECT label FROM {ITEMS} WHERE id = $1")
        write = await conn.prepare(f"INSERT INTO {WORK} VALUES ($1, $2) RETURNING id")
        others = [await connect() for _ in range(2)]
        for identity in range(1, 41):
            equal(await read.fetchval(identity), f"item {identity}")
            equal(await write.fetchval(300 + identity, "p"), 300 + identity)
            if identity % 10 == 0:
                await others[identity // 10 % 2].execute("SELECT 1")
            async with conn.transaction():
                equal(await read.fetchval(identity), f"item {identity}")
        equal([a.name for a in read.get_attributes()], ["label"])
        for other in others:
            await other.close()


async def check_statement_cache():
    """Small: the driver closes the oldest of its statements all the time."""
    async with Connected(statement_cache_size=5) as conn:
        for turn in range(3):
            for number in range(12):
                equal(await conn.fetchval(f"SELECT $1::int + {number}", turn), turn + number)
    async with Connected(statement_cache_size=0) as conn:
        for number in range(10):
            equal(await conn.fetchval("SELECT $1::int + 1", number), number + 1)


async def check_types():
    async with Connected() as conn:
        when = datetime.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=datetime.timezone.utc)
        row = await conn.fetchrow(
            "SELECT $1::int8, $2::float8, $3::bytea, $4::timestamptz, $5::int[], $6::interval",
            2**60, 1.5, b"\x00\xff", when, [1, 2, None], datetime.timedelta(days=1, seconds=2),
        )
        equal(tuple(row), (2**60, 1.5, b"\x00\xff", when, [1, 2, None], datetime.timedelta(days=1, seconds=2)))


async def check_own_types():
    """The driver asks for what it does not know, with SET-like functions around its question."""
    async with Connected() as conn:
        await conn.execute(f"CREATE TYPE {PREFIX}_mood AS ENUM ('sad', 'glad')")
        await conn.execute(f"CREATE TYPE {PREFIX}_pair AS (a int, b {PREFIX}_mood)")
        async with conn.transaction():
            equal(tuple(await conn.fetchval(f"SELECT ROW(1, 'glad')::{PREFIX}_pair")), (1, "glad"))
            equal(await conn.fetchval(f"SELECT $1::{PREFIX}_mood[]", ["sad", "glad"]), ["sad", "glad"])
        await conn.execute(f"DROP TYPE {PREFIX}_pair; DROP TYPE {PREFIX}_mood")


async def check_executemany():
    async with Connected() as conn:
        await conn.executemany(f"INSERT INTO {WORK} VALUES ($1, $2)", [(i, f"many {i}") for i in range(500, 1000)])
        async with conn.transaction():
            equal(await conn.fetchval(f"SELECT count(*) FROM {WORK} WHERE note LIKE 'many%'"), 500)
        twice = conn.executemany(f"INSERT INTO {WORK} VALUES ($1, $2)", [(400, "x"), (400, "x")])
        await raises(asyncpg.UniqueViolationError, twice)
        async with conn.transaction():
            equal(await conn.fetchval(f"SELECT count(*) FROM {WORK} WHERE id = 400"), 0)
        rows = await conn.fetchmany(f"UPDATE {WORK} SET note = $2 WHERE id = $1 RETURNING id", [(i, "y") for i in (500, 501)])
        equal([row["id"] for row in rows], [500, 501])


async def check_copy():
    async with Connected() as conn:
        records = [(i, f"row {i}", bytes([i % 256]) * 100) for i in range(1000, 6000)]
        equal(await conn.copy_records_to_table(WORK, records=records), "COPY 5000")
        async with conn.transaction():
            sink = io.BytesIO()
            done = await conn.copy_from_query(f"SELECT id, note FROM {WORK} WHERE id BETWEEN $1 AND 5999 ORDER BY id", 1000, output=sink)
            equal(done, "COPY 5000")
            equal(sink.getvalue().decode(), "".join(f"{i}\trow {i}\n" for i in range(1000, 6000)))
        text = io.BytesIO(b"".join(b"%d,from csv\n" % i for i in range(6000, 6100)))
        equal(await conn.copy_to_table(WORK, source=text, columns=("id", "note"), format="csv"), "COPY 100")
        sink = io.BytesIO()
        equal(await conn.copy_from_table(ITEMS, output=sink, format="csv", columns=["id"]), "COPY 1000")
        equal(sink.getvalue().count(b"\n"), 1000)
        bad = conn.copy_to_table(WORK, source=io.BytesIO(b"not a number\n"), columns=("id",))
        await raises(asyncpg.InvalidTextRepresentationError, bad)
        equal(await conn.fetchval("SELECT 1"), 1)


async def check_cursor():
    async with Connected() as conn:
        async with conn.transaction():
            walked = [r["id"] async for r in conn.cursor(f"SELECT id FROM {ITEMS} ORDER BY id", prefetch=150)]
            equal(walked, list(range(1, 1001)))
            cursor = await conn.cursor(f"SELECT id FROM {ITEMS} ORDER BY id")
            await cursor.forward(990)
            equal([r["id"] for r in await cursor.fetch(3)], [991, 992, 993])
        async with conn.transaction(readonly=True):
            walked = [r["id"] async for r in conn.cursor(f"SELECT id FROM {ITEMS} ORDER BY id", prefetch=300)]
            equal(walked, list(range(1, 1001)))


async def check_errors():
    async with Connected() as conn:
        await conn.execute(f"INSERT INTO {WORK} (id) VALUES (9000)")
        error = await raises(asyncpg.UniqueViolationError, conn.execute(f"INSERT INTO {WORK} (id) VALUES ($1)", 9000))
        equal((error.sqlstate, error.constraint_name), ("23505", WORK + "_pkey"))
        await raises(asyncpg.PostgresSyntaxError, conn.fetch("SELEC 1"))
        await raises(asyncpg.UndefinedTableError, conn.fetch(f"SELECT * FROM {PREFIX}_nowhere"))
        for _ in range(3):
            await raises(asyncpg.DivisionByZeroError, conn.fetchval("SELECT 1 / $1::int", 0))
            equal(await conn.fetchval("SELECT 1 / $1::int", 1), 1)
        transaction = conn.transaction()
        await transaction.start()
        await raises(asyncpg.DivisionByZeroError, conn.fetchval("SELECT 1 / $1::int", 0))
        await raises(asyncpg.InFailedSQLTransactionError, conn.fetchval("SELECT 1"))
        await transaction.rollback()
        equal(await conn.fetchval("SELECT 1"), 1)


async def check_schema_change():
    """A plan that no longer fits: the driver prepares anew."""
    async with Connected() as conn:
        table = PREFIX + "_shape"
        await conn.execute(f"CREATE TABLE {table} (a int)")
        await conn.execute(f"INSERT INTO {table} VALUES (1)")
        locking = f"SELECT * FROM {table} FOR SHARE"  # on the primary
        equal(dict(await conn.fetchrow(locking)), {"a": 1})
        await conn.execute(f"ALTER TABLE {table} ADD COLUMN b int DEFAULT 2")
        equal(dict(await conn.fetchrow(locking)), {"a": 1, "b": 2})
        await conn.execute(f"DROP TABLE {table}")


async def check_cancel():
    async with Connected() as conn, Connected() as bystander:
        for query in ("SELECT pg_sleep(20)", f"SELECT pg_sleep(20) FROM {ITEMS} LIMIT 1 FOR SHARE"):
            started = time.monotonic()
            await raises(asyncio.TimeoutError, conn.fetchval(query, timeout=0.2))
            task = asyncio.ensure_future(conn.fetchval(query))
            await asyncio.sleep(0.2)
            task.cancel()
            await raises(asyncio.CancelledError, task)
            for _ in range(3):
                equal(await bystander.fetchval("SELECT 2"), 2)
                equal(await conn.fetchval("SELECT 1"), 1)
            assert time.monotonic() - started < 10, "the cancel request came late"


async def check_notify():
    async with Connected() as listener, Connected() as teller:
        heard = asyncio.get_running_loop().create_future()
        await listener.add_listener(PREFIX, lambda _c, _pid, channel, payload: heard.set_result((channel, payload)))
        await teller.execute("SELECT pg_notify($1, $2)", PREFIX, "hello")
        equal(await asyncio.wait_for(heard, 10), (PREFIX, "hello"))
        equal(await listener.fetchval("SELECT 1"), 1)


async def check_reset():
    """What its pool does when it gets a connection back."""
    async with Connected() as conn:
        await conn.execute("SET TimeZone TO 'Asia/Tokyo'")
        equal(await conn.fetchval("SHOW TimeZone"), "Asia/Tokyo")
        equal(await conn.fetchval("SELECT pg_try_advisory_lock($1)", hash(PREFIX) % 2**31), True)
        await conn.reset()
        assert await conn.fetchval("SHOW TimeZone") != "Asia/Tokyo"
        async with Connected() as other:
            equal(await other.fetchval("SELECT pg_try_advisory_xact_lock($1)", hash(PREFIX) % 2**31), True)
    async with asyncpg.create_pool(DSN, min_size=2, max_size=5) as pool:

        async def work(number):
            async with pool.acquire() as conn:
                return await conn.fetchval(f"SELECT id FROM {ITEMS} WHERE id = $1", number)

        equal(await asyncio.gather(*(work(n) for n in range(1, 101))), list(range(1, 101)))


async def check_server_settings():
    async with Connected(server_settings={"application_name": "mine", "TimeZone": "Asia/Tokyo"}) as conn:
        for _ in range(4):
            equal(await conn.fetchval("SHOW application_name"), "mine")
            equal(await conn.fetchval("SELECT '2024-01-01 00:00:00+00'::timestamptz::text"), "2024-01-01 09:00:00+09")


async def main():
    checks = [(name, check) for name, check in globals().items() if name.startswith("check_")]
    async with Connected() as conn:
        await conn.execute(f"DELETE FROM {WORK}")
    failed = 0
    for name, check in checks:
        try:
            await asyncio.wait_for(check(), 60)
        except Exception:
            failed += 1
            print(f"--- {name} failed", file=sys.stderr)
            traceback.print_exc()
    print(f"asyncpg {asyncpg.__version__}: {len(checks) - failed} of {len(checks)} checks passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    asyncio.run(main())
