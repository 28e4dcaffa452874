// node-postgres. Usage: node node_check.js DSN PREFIX   (NODE_PATH names the directory that has pg)
//
// PREFIX_items holds the rows 1 to 1000 on every node; PREFIX_work (id int primary key, note text, payload bytea) is to
// be written. Ends with 0 when every check is as it should be, else says which is not.
'use strict'

const assert = require('node:assert/strict')
const { Client, Pool, Query } = require('pg')

const [dsn, prefix] = process.argv.slice(2)
const items = `${prefix}_items`
const work = `${prefix}_work`

async function connected(use, options = {}) {
  const client = new Client({ connectionString: dsn, ...options })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

async function inTransaction(client, use, begin = 'BEGIN') {
  await client.query(begin)
  const value = await use()
  await client.query('COMMIT')
  return value
}

const checks = {
  async simple() {
    await connected(async (client) => {
      const read = await client.query(`SELECT id, label, price FROM ${items} WHERE id = 7`)
      assert.deepEqual(read.rows, [{ id: 7, label: 'item 7', price: '8.75' }])
      assert.equal((await client.query(`INSERT INTO ${work} VALUES (100, 'a'), (101, 'b')`)).rowCount, 2)
      assert.equal((await client.query(`UPDATE ${work} SET note = 'c' WHERE id IN (100, 101)`)).rowCount, 2)
      const gone = await client.query(`DELETE FROM ${work} WHERE id IN (100, 101) RETURNING id, note`)
      assert.deepEqual(gone.rows.map((r) => r.note), ['c', 'c'])
      const several = await client.query('SELECT 1 AS a; SELECT 2 AS b')
      assert.deepEqual(several.map((r) => r.rows[0]), [{ a: 1 }, { b: 2 }])
      assert.deepEqual((await client.query('')).rows, [])
    })
  },

  async parameterised() {
    await connected(async (client) => {
      const payload = Buffer.from([0, 1, 255])
      const when = new Date('2024-02-29T12:30:01.005Z')
      const { rows } = await client.query('SELECT $1::int a, $2::text b, $3::bytea c, $4::timestamptz d, $5::int[] e, $6::jsonb f', [
        1, "it's", payload, when, [1, 2, null], { a: [1] },
      ])
      assert.deepEqual(rows, [{ a: 1, b: "it's", c: payload, d: when, e: [1, 2, null], f: { a: [1] } }])
      const large = Buffer.alloc(4 << 20, 'abc')
      await inTransaction(client, async () => {
        await client.query(`INSERT INTO ${work} VALUES ($1, $2, $3)`, [200, null, large])
        const back = await client.query(`SELECT payload FROM ${work} WHERE id = $1`, [200])
        assert.ok(back.rows[0].payload.equals(large), '4 MB came back changed')
      })
    })
  },

  async 'named statements over transactions'() {
    await connected(async (client) => {
      const read = (id) => client.query({ name: 'read', text: `SELECT label FROM ${items} WHERE id = $1`, values: [id] })
      const write = (id) => client.query({ name: 'write', text: `INSERT INTO ${work} VALUES ($1, 'named')`, values: [id] })
      for (const id of range(1, 30)) {
        assert.equal((await read(id)).rows[0].label, `item ${id}`)
        await write(300 + id)
        await inTransaction(client, async () => {
          assert.equal((await read(id)).rows[0].label, `item ${id}`)
        })
      }
      await inTransaction(client, async () => {
        assert.equal((await client.query(`SELECT count(*)::int n FROM ${work} WHERE note = 'named'`)).rows[0].n, 30)
      })
    })
    // Two clients give one name to different statements.
    await connected((one) =>
      connected(async (two) => {
        for (const turn of range(1, 5)) {
          const a = await one.query({ name: 'same', text: 'SELECT $1::int + 1 AS n', values: [turn] })
          const b = await two.query({ name: 'same', text: 'SELECT $1::int + 2 AS n', values: [turn] })
          assert.deepEqual([a.rows[0].n, b.rows[0].n], [turn + 1, turn + 2])
        }
      }),
    )
  },

  async transactions() {
    await connected(async (client) => {
      await inTransaction(client, () => client.query(`INSERT INTO ${work} VALUES (400, 'kept')`))
      await client.query('BEGIN')
      await client.query(`INSERT INTO ${work} VALUES (401, 'lost')`)
      await client.query('ROLLBACK')
      const kept = await inTransaction(client, () => client.query(`SELECT id FROM ${work} WHERE id IN (400, 401)`))
      assert.deepEqual(kept.rows, [{ id: 400 }])
    })
  },

  async 'read-only transactions'() {
    await connected(async (client) => {
      for (const _ of range(1, 4)) {
        await inTransaction(client, async () => {
          assert.equal((await client.query(`SELECT count(*)::int n FROM ${items}`)).rows[0].n, 1000)
        }, 'BEGIN READ ONLY')
      }
    })
  },

  async cursor() {
    await connected(async (client) => {
      await inTransaction(client, async () => {
        await client.query(`DECLARE walker CURSOR FOR SELECT id FROM ${items} ORDER BY id`)
        const seen = []
        for (;;) {
          const { rows } = await client.query('FETCH 150 FROM walker')
          if (rows.length === 0) break
          seen.push(...rows.map((r) => r.id))
        }
        assert.deepEqual(seen, range(1, 1000))
      })
    })
  },

  // The driver sends each query when the one before it was answered, in order, on one connection.
  async 'many queries at once on one client'() {
    await connected(async (client) => {
      const reads = range(1, 200).map((id) => client.query(`SELECT label FROM ${items} WHERE id = $1`, [id]))
      const writes = range(500, 519).map((id) => client.query(`INSERT INTO ${work} VALUES ($1, 'queued')`, [id]))
      const failing = client.query('SELECT 1 / 0').then(() => null, (error) => error.code)
      assert.deepEqual((await Promise.all(reads)).map((r) => r.rows[0].label), range(1, 200).map((id) => `item ${id}`))
      assert.ok((await Promise.all(writes)).every((r) => r.rowCount === 1))
      assert.equal(await failing, '22012')
    })
  },

  // All of them on their way before the first answer.
  async pipeline() {
    await connected(async (client) => {
      const reads = range(1, 200).map((id) => client.query({ name: 'piped', text: `SELECT label FROM ${items} WHERE id = $1`, values: [id] }))
      const failing = client.query('SELECT 1 / $1::int', [0]).then(() => null, (error) => error.code)
      const writes = range(600, 619).map((id) => client.query(`INSERT INTO ${work} VALUES ($1, 'piped')`, [id]))
      const after = client.query(`SELECT count(*)::int n FROM ${items} WHERE id <= $1`, [10])
      assert.deepEqual((await Promise.all(reads)).map((r) => r.rows[0].label), range(1, 200).map((id) => `item ${id}`))
      assert.equal(await failing, '22012')
      assert.ok((await Promise.all(writes)).every((r) => r.rowCount === 1))
      assert.equal((await after).rows[0].n, 10)
    }, { pipeline: true })
  },

  async 'a pool of its own'() {
    const pool = new Pool({ connectionString: dsn, max: 8 })
    const answers = await Promise.all(range(1, 200).map((id) => pool.query(`SELECT id FROM ${items} WHERE id = $1`, [id])))
    assert.deepEqual(answers.map((r) => r.rows[0].id), range(1, 200))
    await pool.end()
  },

  async errors() {
    await connected(async (client) => {
      await client.query(`INSERT INTO ${work} (id) VALUES (900)`)
      const duplicate = { code: '23505', constraint: `${work}_pkey`, severity: 'ERROR' }
      await assert.rejects(client.query(`INSERT INTO ${work} (id) VALUES ($1)`, [900]), duplicate)
      await assert.rejects(client.query('SELEC 1'), { code: '42601', position: '1' })
      await assert.rejects(client.query(`SELECT * FROM ${prefix}_nowhere WHERE id = $1`, [1]), { code: '42P01' })
      for (const _ of range(1, 3)) {
        const divide = (by) => client.query({ name: 'divide', text: 'SELECT 1 / $1::int AS n', values: [by] })
        await assert.rejects(divide(0), { code: '22012' })
        assert.equal((await divide(1)).rows[0].n, 1)
        await assert.rejects(client.query({ name: 'wrong', text: 'SELECT nothing' }), { code: '42703' })
      }
      await client.query('BEGIN')
      await assert.rejects(client.query('SELECT 1 / $1::int', [0]), { code: '22012' })
      await assert.rejects(client.query('SELECT 1'), { code: '25P02' })
      await client.query('ROLLBACK')
      assert.equal((await client.query('SELECT 1 AS n')).rows[0].n, 1)
    })
    await assert.rejects(connected(() => {}, { connectionString: dsn.replace(/:[^:@/]+@/, ':wrong@') }), { code: '28P01' })
  },

  async cancel() {
    await connected(async (client) => {
      const query = new Query('SELECT pg_sleep(20)')
      const ended = new Promise((resolve) => query.once('error', (error) => resolve(error.code)).once('end', resolve))
      client.query(query)
      setTimeout(() => new Client({ connectionString: dsn }).cancel(client, query), 200)
      assert.equal(await ended, '57014')
      for (const _ of range(1, 3)) assert.equal((await client.query('SELECT 1 AS n')).rows[0].n, 1)
    })
  },

  async 'statement timeout'() {
    await connected(async (client) => {
      await assert.rejects(client.query('SELECT pg_sleep(20)'), { code: '57014' })
      assert.equal((await client.query('SELECT 1 AS n')).rows[0].n, 1)
    }, { statement_timeout: 200 })
    await connected(async (client) => {
      assert.equal((await client.query('SHOW statement_timeout')).rows[0].statement_timeout, '0')
    })
  },

  async notify() {
    await connected((listener) =>
      connected(async (teller) => {
        await listener.query(`LISTEN ${prefix}`)
        const heard = new Promise((resolve) => listener.once('notification', resolve))
        await teller.query('SELECT pg_notify($1, $2)', [prefix, 'hello'])
        assert.equal((await heard).payload, 'hello')
      }),
    )
  },
}

const limit = (name, promise) => {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name}: not done after 60 s`)), 60_000)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

async function main() {
  await connected((client) => client.query(`DELETE FROM ${work}`))
  let failed = 0
  for (const [name, check] of Object.entries(checks)) {
    try {
      await limit(name, check())
    } catch (error) {
      failed += 1
      console.error(`--- ${name} failed`, error)
    }
  }
  const total = Object.keys(checks).length
  console.log(`node-postgres ${require('pg/package.json').version}: ${total - failed} of ${total} checks passed`)
  process.exit(failed ? 1 : 0)
}

main()
