// pgjdbc. Usage: java -cp postgresql.jar JdbcCheck.java DSN PREFIX
//
// DSN is postgresql://USER:PASSWORD@HOST:PORT/DATABASE. PREFIX_items holds the rows 1 to 1000 on every node; PREFIX_work
// (id int primary key, note text, payload bytea) is to be written. Ends with 0 when every check is as it should be, else
// says which is not.

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;

public final class JdbcCheck {
    interface Check {
        void run() throws Exception;
    }

    interface Use {
        void on(Connection connection) throws Exception;
    }

    static URI dsn;
    static String prefix, items, work;

    public static void main(String[] arguments) throws Exception {
        dsn = URI.create(arguments[0]);
        prefix = arguments[1];
        items = prefix + "_items";
        work = prefix + "_work";
        connected(c -> execute(c, "DELETE FROM " + work));

        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("crud", JdbcCheck::crud);
        checks.put("prepared over transactions", JdbcCheck::preparedOverTransactions);
        checks.put("simple query mode", JdbcCheck::simpleQueryMode);
        checks.put("transactions", JdbcCheck::transactions);
        checks.put("read-only transactions", JdbcCheck::readOnlyTransactions);
        checks.put("batches", JdbcCheck::batches);
        checks.put("cursor by fetch size", JdbcCheck::cursor);
        checks.put("copy", JdbcCheck::copy);
        checks.put("cancel", JdbcCheck::cancel);
        checks.put("query timeout", JdbcCheck::queryTimeout);
        checks.put("errors", JdbcCheck::errors);
        checks.put("autosave", JdbcCheck::autosave);
        checks.put("schema change", JdbcCheck::schemaChange);
        checks.put("types", JdbcCheck::types);
        checks.put("settings", JdbcCheck::settings);
        checks.put("notify", JdbcCheck::notifications);
        int failed = 0;
        for (Map.Entry<String, Check> check : checks.entrySet()) {
            try {
                check.getValue().run();
            } catch (Throwable error) {
                failed++;
                System.err.println("--- " + check.getKey() + " failed");
                error.printStackTrace();
            }
        }
        String version = org.postgresql.util.DriverInfo.DRIVER_VERSION;
        System.out.printf("pgjdbc %s: %d of %d checks passed%n", version, checks.size() - failed, checks.size());
        System.exit(failed == 0 ? 0 : 1);
    }

    // === checks ===

    static void crud() throws Exception {
        connected(c -> {
            try (ResultSet rows = c.createStatement().executeQuery("SELECT id, label, price FROM " + items + " WHERE id = 7")) {
                equal(rows.next(), true);
                equal(rows.getInt(1) + rows.getString(2) + rows.getBigDecimal(3), "7item 78.75");
            }
            try (PreparedStatement insert = c.prepareStatement("INSERT INTO " + work + " VALUES (?, ?)", new String[] {"id"})) {
                insert.setInt(1, 100);
                insert.setString(2, "it's");
                equal(insert.executeUpdate(), 1);
                ResultSet keys = insert.getGeneratedKeys();
                equal(keys.next() ? keys.getInt(1) : null, 100);
            }
            equal(c.createStatement().executeUpdate("UPDATE " + work + " SET note = 'b' WHERE id = 100"), 1);
            equal(c.createStatement().executeUpdate("DELETE FROM " + work + " WHERE id = 100"), 1);
            Statement several = c.createStatement();
            equal(several.execute("SELECT 1; SELECT 2"), true);
            equal(several.getMoreResults(), true);
            equal(one(several.getResultSet()), 2);
            equal(c.isValid(5), true);
        });
    }

    /** A named statement from its first use, on whichever servers its transactions get. */
    static void preparedOverTransactions() throws Exception {
        connected(c -> {
            try (PreparedStatement read = c.prepareStatement("SELECT label FROM " + items + " WHERE id = ?");
                    PreparedStatement write = c.prepareStatement("INSERT INTO " + work + " VALUES (?, 'prepared')")) {
                for (int id = 1; id <= 40; id++) {
                    c.setAutoCommit(id % 2 == 0);
                    read.setInt(1, id);
                    equal(one(read.executeQuery()), "item " + id);
                    write.setInt(1, 300 + id);
                    equal(write.executeUpdate(), 1);
                    if (!c.getAutoCommit()) c.commit();
                }
            }
            c.setAutoCommit(false);
            equal(number(c, "SELECT count(*) FROM " + work + " WHERE note = 'prepared'"), 40L);
            c.commit();
        }, "prepareThreshold", "1");
        // The driver closes the oldest of its statements all the time.
        connected(c -> {
            for (int turn = 0; turn < 3; turn++) {
                for (int number = 0; number < 12; number++) {
                    try (PreparedStatement add = c.prepareStatement("SELECT ?::int + " + number)) {
                        add.setInt(1, turn);
                        equal(one(add.executeQuery()), turn + number);
                    }
                }
            }
        }, "prepareThreshold", "1", "preparedStatementCacheQueries", "5");
    }

    static void simpleQueryMode() throws Exception {
        connected(c -> {
            try (PreparedStatement read = c.prepareStatement("SELECT label FROM " + items + " WHERE id = ?")) {
                read.setInt(1, 9);
                equal(one(read.executeQuery()), "item 9");
            }
        }, "preferQueryMode", "simple");
    }

    static void transactions() throws Exception {
        connected(c -> {
            c.setAutoCommit(false);
            execute(c, "INSERT INTO " + work + " VALUES (400, 'kept')");
            Savepoint savepoint = c.setSavepoint();
            execute(c, "INSERT INTO " + work + " VALUES (401, 'undone')");
            c.rollback(savepoint);
            c.commit();
            execute(c, "INSERT INTO " + work + " VALUES (402, 'lost')");
            c.rollback();
            equal(number(c, "SELECT sum(id) FROM " + work + " WHERE id BETWEEN 400 AND 409"), 400L);
            c.commit();
            c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            equal(number(c, "SELECT count(*) FROM " + items), 1000L);
            c.commit();
        });
    }

    /** BEGIN READ ONLY: all of it on one standby. */
    static void readOnlyTransactions() throws Exception {
        connected(c -> {
            c.setAutoCommit(false);
            c.setReadOnly(true);
            boolean standbys = Boolean.getBoolean("standbys");
            for (int turn = 0; turn < 4; turn++) {
                equal(one(query(c, "SELECT pg_is_in_recovery()")), standbys);
                equal(number(c, "SELECT count(*) FROM " + items), 1000L);
                c.commit();
            }
            refused("25006", () -> execute(c, "DELETE FROM " + work));
            c.rollback();
            c.setReadOnly(false);
            execute(c, "INSERT INTO " + work + " VALUES (450, 'writes again')");
            equal(one(query(c, "SELECT pg_is_in_recovery()")), false);
            c.commit();
        }, "prepareThreshold", "1");
        connected(c -> { // autocommit: the driver sets the session's default
            c.setReadOnly(true);
            equal(number(c, "SELECT count(*) FROM " + items), 1000L);
            refused("25006", () -> execute(c, "DELETE FROM " + work));
            c.setReadOnly(false);
            execute(c, "INSERT INTO " + work + " VALUES (451, 'writes again')");
        }, "readOnlyMode", "always");
    }

    static void batches() throws Exception {
        for (String rewrite : new String[] {"false", "true"}) {
            connected(c -> {
                int base = rewrite.equals("true") ? 2000 : 1000;
                c.setAutoCommit(false);
                try (PreparedStatement insert = c.prepareStatement("INSERT INTO " + work + " VALUES (?, ?)")) {
                    for (int id = base; id < base + 500; id++) {
                        insert.setInt(1, id);
                        insert.setString(2, "batch");
                        insert.addBatch();
                    }
                    equal(insert.executeBatch().length, 500);
                }
                equal(number(c, "SELECT count(*) FROM " + work + " WHERE id >= " + base), 500L);
                c.commit();
                c.setAutoCommit(true);
                try (Statement mixed = c.createStatement()) {
                    mixed.addBatch("UPDATE " + work + " SET note = 'x' WHERE id = " + base);
                    mixed.addBatch("INSERT INTO " + work + " (id) VALUES (" + base + ")");
                    mixed.executeBatch();
                    throw new AssertionError("no BatchUpdateException");
                } catch (BatchUpdateException error) {
                    equal(error.getSQLState(), "23505");
                }
                try (PreparedStatement update = c.prepareStatement("UPDATE " + work + " SET note = ? WHERE id = ?")) {
                    for (int id = base; id < base + 100; id++) {
                        update.setString(1, "again");
                        update.setInt(2, id);
                        update.addBatch();
                    }
                    equal(Arrays.stream(update.executeBatch()).sum(), 100);
                }
            }, "prepareThreshold", "1", "reWriteBatchedInserts", rewrite);
        }
    }

    /** A portal read in pieces, each with a Sync behind it. */
    static void cursor() throws Exception {
        for (boolean readOnly : new boolean[] {false, true}) {
            connected(c -> {
                c.setAutoCommit(false);
                c.setReadOnly(readOnly);
                try (PreparedStatement walk = c.prepareStatement("SELECT id FROM " + items + " WHERE id > ? ORDER BY id")) {
                    walk.setFetchSize(150);
                    walk.setInt(1, 0);
                    ResultSet rows = walk.executeQuery();
                    for (int id = 1; id <= 1000; id++) {
                        equal(rows.next() ? rows.getInt(1) : null, id);
                        if (id == 500) equal(one(query(c, "SELECT 'between'")), "between");
                    }
                    equal(rows.next(), false);
                }
                c.commit();
            }, "prepareThreshold", "1");
        }
    }

    static void copy() throws Exception {
        connected(c -> {
            CopyManager manager = c.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder lines = new StringBuilder();
            for (int id = 3000; id < 8000; id++) lines.append(id).append('\t').append("row ").append(id).append('\n');
            equal(manager.copyIn("COPY " + work + " (id, note) FROM STDIN", new StringReader(lines.toString())), 5000L);
            c.setAutoCommit(false);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            String copyOut = "COPY (SELECT id, note FROM " + work + " WHERE id >= 3000 ORDER BY id) TO STDOUT";
            equal(manager.copyOut(copyOut, out), 5000L);
            equal(out.toString(StandardCharsets.UTF_8).equals(lines.toString()), true);
            c.commit();
            c.setAutoCommit(true);
            equal(manager.copyOut("COPY " + items + " TO STDOUT", new ByteArrayOutputStream()), 1000L);
            refused("22P02", () -> manager.copyIn("COPY " + work + " (id) FROM STDIN", new StringReader("no number\n")));
            var given = manager.copyIn("COPY " + work + " (id) FROM STDIN");
            given.writeToCopy("9000\n".getBytes(), 0, 5);
            given.cancelCopy();
            equal(one(query(c, "SELECT 1")), 1);
        });
    }

    static void cancel() throws Exception {
        connected(c -> connected(bystander -> {
            Statement sleep = c.createStatement();
            Thread canceller = new Thread(() -> {
                try {
                    Thread.sleep(200);
                    sleep.cancel();
                } catch (Exception error) {
                    error.printStackTrace();
                }
            });
            canceller.start();
            refused("57014", () -> sleep.executeQuery("SELECT pg_sleep(20)"));
            canceller.join();
            for (int turn = 0; turn < 3; turn++) {
                equal(one(query(bystander, "SELECT 2")), 2);
                equal(one(query(c, "SELECT 1")), 1);
            }
        }));
    }

    static void queryTimeout() throws Exception {
        connected(c -> {
            try (Statement sleep = c.createStatement()) {
                sleep.setQueryTimeout(1);
                refused("57014", () -> sleep.executeQuery("SELECT pg_sleep(20)"));
            }
            equal(one(query(c, "SELECT 1")), 1);
        });
    }

    static void errors() throws Exception {
        connected(c -> {
            execute(c, "INSERT INTO " + work + " (id) VALUES (9500)");
            refused("23505", () -> execute(c, "INSERT INTO " + work + " (id) VALUES (9500)"));
            refused("42601", () -> execute(c, "SELEC 1"));
            refused("42P01", () -> execute(c, "SELECT * FROM " + prefix + "_nowhere"));
            try (PreparedStatement divide = c.prepareStatement("SELECT 1 / ?::int")) {
                for (int turn = 0; turn < 3; turn++) {
                    divide.setInt(1, 0);
                    refused("22012", () -> divide.executeQuery());
                    divide.setInt(1, 1);
                    equal(one(divide.executeQuery()), 1);
                }
            }
            c.setAutoCommit(false);
            refused("42703", () -> execute(c, "SELECT nothing FROM " + items));
            refused("25P02", () -> execute(c, "SELECT 1"));
            c.rollback();
            equal(one(query(c, "SELECT 1")), 1);
            c.commit();
        }, "prepareThreshold", "1");
        Properties wrong = properties("password", "wrong");
        refused("28P01", () -> DriverManager.getConnection(url(), wrong));
    }

    /** The driver puts a savepoint before each statement, so that a failed one spoils nothing. */
    static void autosave() throws Exception {
        connected(c -> {
            c.setAutoCommit(false);
            execute(c, "INSERT INTO " + work + " VALUES (9600, 'before')");
            refused("23505", () -> execute(c, "INSERT INTO " + work + " VALUES (9600, 'twice')"));
            execute(c, "INSERT INTO " + work + " VALUES (9601, 'after')");
            c.commit();
            equal(number(c, "SELECT count(*) FROM " + work + " WHERE id IN (9600, 9601)"), 2L);
            c.commit();
        }, "autosave", "always", "prepareThreshold", "1");
    }

    /** A plan that no longer fits: the driver rolls back to its savepoint and prepares anew. */
    static void schemaChange() throws Exception {
        String table = prefix + "_shape";
        connected(c -> {
            execute(c, "CREATE TABLE " + table + " (a int)");
            execute(c, "INSERT INTO " + table + " VALUES (1)");
            c.setAutoCommit(false);
            try (PreparedStatement all = c.prepareStatement("SELECT * FROM " + table)) {
                for (int turn = 0; turn < 3; turn++) {
                    equal(all.executeQuery().getMetaData().getColumnCount(), 1);
                    c.commit();
                }
                connected(other -> execute(other, "ALTER TABLE " + table + " ADD COLUMN b int"));
                equal(all.executeQuery().getMetaData().getColumnCount(), 2);
                c.commit();
            }
            execute(c, "DROP TABLE " + table);
            c.commit();
        }, "autosave", "conservative", "prepareThreshold", "1");
    }

    /** Binary transfer both ways once the statement is a named one. */
    static void types() throws Exception {
        connected(c -> {
            String sql = "SELECT ?::int8, ?::float8, ?::bytea, ?::timestamptz, ?::int[], ?::uuid, ?::numeric";
            try (PreparedStatement echo = c.prepareStatement(sql)) {
                byte[] bytes = {0, -1};
                var when = java.time.OffsetDateTime.parse("2024-02-29T12:30:01.005Z");
                var uuid = new java.util.UUID(0, 7);
                for (int turn = 0; turn < 3; turn++) {
                    echo.setLong(1, 1L << 60);
                    echo.setDouble(2, 1.5);
                    echo.setBytes(3, bytes);
                    echo.setObject(4, when);
                    echo.setArray(5, c.createArrayOf("int4", new Integer[] {1, 2, null}));
                    echo.setObject(6, uuid);
                    echo.setBigDecimal(7, new java.math.BigDecimal("12.3400"));
                    ResultSet row = echo.executeQuery();
                    equal(row.next(), true);
                    equal(row.getLong(1), 1L << 60);
                    equal(row.getDouble(2), 1.5);
                    equal(Arrays.equals(row.getBytes(3), bytes), true);
                    equal(row.getObject(4, java.time.OffsetDateTime.class), when);
                    equal(Arrays.toString((Object[]) row.getArray(5).getArray()), "[1, 2, null]");
                    equal(row.getObject(6), uuid);
                    equal(row.getBigDecimal(7).toString(), "12.3400");
                }
            }
            byte[] large = new byte[4 << 20];
            Arrays.fill(large, (byte) 7);
            c.setAutoCommit(false);
            try (PreparedStatement insert = c.prepareStatement("INSERT INTO " + work + " VALUES (9700, NULL, ?)")) {
                insert.setBytes(1, large);
                insert.executeUpdate();
            }
            ResultSet back = query(c, "SELECT payload FROM " + work + " WHERE id = 9700");
            equal(back.next() && Arrays.equals(back.getBytes(1), large), true);
            c.commit();
        }, "prepareThreshold", "1");
    }

    static void settings() throws Exception {
        connected(c -> connected(other -> {
            for (int turn = 0; turn < 4; turn++) {
                equal(one(query(c, "SHOW application_name")), "mine");
                equal(one(query(c, "SHOW search_path")), prefix + "_schema,public");
                equal(one(query(other, "SHOW application_name")), "PostgreSQL JDBC Driver");
            }
            c.setClientInfo("ApplicationName", "renamed");
            equal(one(query(c, "SHOW application_name")), "renamed");
            equal(one(query(other, "SHOW application_name")), "PostgreSQL JDBC Driver");
        }), "ApplicationName", "mine", "options", "-c search_path=" + prefix + "_schema,public");
    }

    static void notifications() throws Exception {
        connected(listener -> connected(teller -> {
            execute(listener, "LISTEN " + prefix);
            execute(teller, "NOTIFY " + prefix + ", 'hello'");
            PGNotification[] heard = listener.unwrap(PGConnection.class).getNotifications(10_000);
            equal(heard == null || heard.length == 0 ? null : heard[0].getParameter(), "hello");
        }));
    }

    // === helpers ===

    static void connected(Use use, String... options) throws Exception {
        try (Connection connection = DriverManager.getConnection(url(), properties(options))) {
            use.on(connection);
        }
    }

    static String url() {
        return "jdbc:postgresql://" + dsn.getHost() + ":" + dsn.getPort() + dsn.getPath();
    }

    static Properties properties(String... options) {
        String[] account = dsn.getUserInfo().split(":", 2);
        Properties properties = new Properties();
        properties.setProperty("user", account[0]);
        properties.setProperty("password", account[1]);
        properties.setProperty("loginTimeout", "20");
        for (int i = 0; i < options.length; i += 2) properties.setProperty(options[i], options[i + 1]);
        return properties;
    }

    static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    static ResultSet query(Connection connection, String sql) throws SQLException {
        return connection.createStatement().executeQuery(sql);
    }

    static Object one(ResultSet rows) throws SQLException {
        return rows.next() ? rows.getObject(1) : null;
    }

    static long number(Connection connection, String sql) throws SQLException {
        return ((Number) one(query(connection, sql))).longValue();
    }

    static void refused(String sqlState, Check run) throws Exception {
        try {
            run.run();
        } catch (SQLException error) {
            if (!sqlState.equals(error.getSQLState())) throw error;
            return;
        }
        throw new AssertionError("no error " + sqlState);
    }

    static void equal(Object got, Object want) {
        if (!Objects.equals(got, want)) throw new AssertionError("got " + got + ", want " + want);
    }
}
