-- What the statements of tests/data/classify/*.txt name. One simple Query: no transaction control in it.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (f1 int, f2 text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE SEQUENCE s;
CREATE SEQUENCE users_id_seq;
CREATE TABLE t (
    id serial PRIMARY KEY, a int UNIQUE, b int, c int, d text, e text, f int, x int, y int, z int, v int, n int, r int,
    name text, body text, ts timestamptz, q text, j jsonb, i int[], g pair, h text[], m mood, key int, parent_id int
);
INSERT INTO t (a, b, c, d, e, f, x, y, z, v, n, r, name, body, ts, j, i, g, m)
    SELECT k, k + 1, k % 3, 'd' || k, 'e', 1, k, 2 * k, 3, 4, 5, 6, 'name' || k, 'a cat sat', '2020-01-01 00:00Z',
        '{"a": {"b": 1}, "tags": ["x"]}', ARRAY[1, 2, 3], ROW(1, 'x')::pair, 'ok' FROM generate_series(1, 20) AS k;
CREATE TABLE u (LIKE t INCLUDING DEFAULTS);
INSERT INTO u SELECT * FROM t;
CREATE TABLE t1 (LIKE t);
CREATE TABLE t2 (LIKE t);
CREATE TABLE "T" ("Col" int, a int);
CREATE TABLE big (LIKE t);
CREATE TABLE "insert" ("delete" int, "nextval" int, "for update" int);
CREATE TABLE nextval (x int, nextval int, set_config int);
CREATE VIEW v AS SELECT a, b, name FROM t WHERE a > 2;
CREATE MATERIALIZED VIEW mv AS SELECT c, count(*) AS n FROM t GROUP BY c;
CREATE TABLE accounts (id serial PRIMARY KEY, owner text NOT NULL DEFAULT '', balance numeric NOT NULL DEFAULT 0,
    kind mood DEFAULT 'ok', opened date DEFAULT '2020-02-02', data jsonb DEFAULT '{}', tags text[] DEFAULT '{}');
INSERT INTO accounts (owner, balance) SELECT 'owner ' || k, 100 * k FROM generate_series(1, 10) AS k;
CREATE TABLE orders (id serial PRIMARY KEY, account_id int REFERENCES accounts, amount numeric, placed timestamptz
    DEFAULT '2021-03-03 12:00Z', status text DEFAULT 'new', note text, details jsonb, during tstzrange);
INSERT INTO orders (account_id, amount) SELECT 1 + k % 10, k FROM generate_series(1, 40) AS k;
CREATE INDEX orders_account_id_idx ON orders (account_id);
CREATE TABLE measurements (taken date, value int) PARTITION BY RANGE (taken);
CREATE TABLE measurements_2020 PARTITION OF measurements FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE users (id bigserial PRIMARY KEY, name text, email text UNIQUE, created_at timestamptz DEFAULT '2020-01-01Z',
    updated_at timestamptz, active bool DEFAULT true, age int, role text, deleted_at timestamptz, settings jsonb, manager_id bigint);
INSERT INTO users (name, email, age) SELECT 'user' || k, k || '@example.org', 20 + k FROM generate_series(1, 15) AS k;
CREATE TABLE addresses (id serial PRIMARY KEY, user_id bigint REFERENCES users, email_address text);
CREATE TABLE posts (id serial PRIMARY KEY, title text, body text, user_id bigint, author_id bigint, published bool,
    published_at timestamptz, tags varchar[], created_at timestamptz, updated_at timestamptz, slug text, views int);
CREATE TABLE comments (id serial PRIMARY KEY, post_id int, user_id bigint, body text, created_at timestamptz);
CREATE TABLE tags (id serial PRIMARY KEY, name text);
CREATE TABLE posts_tags (post_id int, tag_id int);
CREATE TABLE events (id serial, kind text, payload jsonb, created_at timestamptz, ts timestamptz, user_id bigint, v int);
CREATE TABLE auth_user (id serial PRIMARY KEY, username text, email text, is_active bool, password text, last_login timestamptz,
    is_superuser bool, first_name text, last_name text, is_staff bool, date_joined timestamptz);
CREATE TABLE app_item (id serial PRIMARY KEY, deleted timestamptz, name text, owner_id int, price numeric);
CREATE TABLE films (did int, title text, date_prod date, kind text, len interval, code text, id int);
CREATE TABLE distributors (did int, name text, location text, id int);
CREATE TABLE actors (id int, name text);
CREATE TABLE weather_reports (location text, "time" timestamptz, report text);
CREATE TABLE manufacturers (id int, name text);
CREATE TABLE places (lat float8, lng float8);
CREATE TABLE m (ts timestamptz, v float8);
CREATE TABLE pgbench_accounts (aid int, bid int, abalance int, filler text);
CREATE UNLOGGED TABLE scratch (a int);
CREATE FUNCTION add_one(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION touch(int) RETURNS int LANGUAGE sql AS 'UPDATE t SET b = b + 1 WHERE a = $1 RETURNING b';
CREATE PROCEDURE tidy() LANGUAGE sql AS 'DELETE FROM t WHERE a > 100';
ANALYZE;
