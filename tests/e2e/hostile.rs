//! Input nobody should send: what PostgreSQL says to it, and nothing else disturbed. Input of any size: memory bounded.

use std::time::{Duration, Instant};

use pgherd::wire::frontend;
use pgherd::wire::startup::encode_startup;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::harness::raw::{Answer, Raw, Role, console, push_execute, push_parse, socket};
use crate::harness::{Proxy, shared};

const MB: usize = 1 << 20;
/// What a proxy may grow by, whatever passes through it.
const GROWTH: usize = 20 * MB;

// === before the login ===

/// (what, bytes, whether the connection is closed for writing behind them)
fn first_packets() -> Vec<(&'static str, Vec<u8>, bool)> {
    let frame = |body: &[u8]| [&(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let v3 = b"\0\x03\0\0";
    let ssl = frame(&80_877_103u32.to_be_bytes());
    let mut no_user = Vec::new();
    encode_startup(&mut no_user, [("database", "app")]);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = vec![0xf3; 4096];
    for byte in &mut random[1..] {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        *byte = seed as u8;
    }
    vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: db\r\n\r\n".to_vec(), false),
        ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), false),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), false),
        ("zeros", vec![0; 64], false),
        ("random", random, false),
        ("length 7", vec![0, 0, 0, 7, 0, 3, 0], false),
        ("10 MB", [&(10u32 << 20).to_be_bytes()[..], v3, &[b'x'; 100_000]].concat(), false),
        ("4 GB", [&[0xff; 4][..], v3].concat(), false),
        ("one byte too long", [&10_005u32.to_be_bytes()[..], v3, &[b'x'; 9997]].concat(), false),
        ("half a length", vec![0, 0], true),
        ("half a packet", [&[0, 0, 0, 40][..], v3, b"user\0app"].concat(), true),
        ("no terminator", frame(&[v3, &b"user\0app\0"[..]].concat()), false),
        ("bytes behind the terminator", frame(&[v3, &b"user\0app\0\0x"[..]].concat()), false),
        ("a name without a value", frame(&[v3, &b"user\0"[..]].concat()), false),
        ("no user", no_user, false),
        ("a bad replication value", frame(&[v3, &b"user\0app\0replication\0maybe\0\0"[..]].concat()), false),
        ("protocol 2", frame(b"\0\x02\0\0user\0app\0\0"), false),
        ("protocol 4", frame(b"\0\x04\0\0user\0app\0\0"), false),
        (
            "a startup packet behind the TLS request",
            [&ssl[..], &frame(&[v3, &b"user\0app\0\0"[..]].concat())].concat(),
            false,
        ),
        ("TLS asked for twice", [&ssl[..], &ssl].concat(), false),
        ("a cancel request with half a key", frame(b"\x04\xd2\x16\x2e\0\0\0"), false),
    ]
}

/// The errors (severity, SQLSTATE, message) and all else that was sent until the connection was closed.
async fn reply(port: u16, bytes: &[u8], closes: bool) -> (Vec<String>, Vec<u8>) {
    let mut stream = socket(port).await;
    let _ = stream.write_all(bytes).await;
    if closes {
        stream.shutdown().await.unwrap();
    }
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut all)).await;
    // Unread input makes the kernel reset the connection: an end like any other.
    let _ = read.expect("the connection is closed");
    let start = all.iter().position(|b| *b == b'E').unwrap_or(all.len());
    let errors =
        String::from_utf8_lossy(&all[start..]).replace("server supports 3.0 to 3.0", "server supports 3.0 to 3.2");
    let fields =
        errors.split('\0').filter(|field| field.starts_with(['V', 'C', 'M', 'D', 'H', 'E']) && field.len() > 4);
    (fields.map(str::to_owned).collect(), all[..start].to_vec())
}

#[tokio::test]
async fn what_is_no_login_is_told_what_postgresql_tells_it_and_counted() {
    let role = Role::new("hostile");
    let proxy = Proxy::start(shared(), &role.config());
    let mut other = role.raw(proxy.port()).await;
    let cases = first_packets();
    for (what, bytes, closes) in &cases {
        let want = reply(shared().pg1.port(), bytes, *closes).await;
        let got = reply(proxy.port(), bytes, *closes).await;
        assert_eq!(got, want, "{what}");
        assert_eq!(other.value("SELECT 1").await, "1");
    }
    // Who only looks whether the port is open breaks no rule.
    drop(socket(proxy.port()).await);
    assert_eq!(violations(&proxy, cases.len() as u64).await, cases.len() as u64);
    assert_eq!(console(proxy.port()).await.query("SHOW CLIENTS").await.rows.len(), 2);
}

#[tokio::test]
async fn who_is_too_slow_to_log_in_is_cut_off() {
    let role = Role::new("slow");
    let proxy = Proxy::start(shared(), &format!("[limits]\nlogin_timeout = '500ms'\n{}", role.config()));
    let mut hello = Vec::new();
    encode_startup(&mut hello, [("user", role.name.as_str()), ("database", "app")]);
    // One that says nothing, one that stops in the middle, one that goes on and on but too slowly.
    let (mut silent, mut half) = (socket(proxy.port()).await, socket(proxy.port()).await);
    half.write_all(&hello[..9]).await.unwrap();
    let mut slow = socket(proxy.port()).await;
    let started = Instant::now();
    let mut sent = 0;
    while slow.write_all(&hello[sent..=sent]).await.is_ok() && sent < 12 {
        sent += 1;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    for stream in [&mut silent, &mut half, &mut slow] {
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
    let took = started.elapsed();
    assert!(took > Duration::from_millis(490) && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(counter(&proxy, "pgherd_login_timeouts_total", 3).await, 3);
    // A byte at a time is fine if it is in time.
    let mut quick = socket(proxy.port()).await;
    quick.set_nodelay(true).unwrap();
    frontend::push_query(&mut hello, "SELECT 1");
    push_parse(&mut hello, "s", "SELECT $1");
    push_execute(&mut hello, "s", &["dribble"]);
    frontend::push_sync(&mut hello);
    hello.extend_from_slice(b"X\0\0\0\x04");
    for byte in &hello {
        quick.write_all(&[*byte]).await.unwrap();
    }
    let mut all = Vec::new();
    quick.read_to_end(&mut all).await.unwrap();
    assert!(String::from_utf8_lossy(&all).contains("dribble"), "{all:?}");
}

// === after the login ===

/// (what, bytes, whether PostgreSQL ends the session for it)
fn messages() -> Vec<(&'static str, Vec<u8>, bool)> {
    let whole = |tag: u8, body: &[u8]| [&[tag], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat();
    let synced = |tag: u8, body: &[u8]| [&whole(tag, body)[..], b"S\0\0\0\x04"].concat();
    let ends = [
        ("an unknown message", whole(b'z', b"")),
        ("a password out of turn", whole(b'p', b"\0")),
        ("a TLS hello", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec()),
        ("a length below 4", b"Q\0\0\0\x03".to_vec()),
        ("a length of 0", b"S\0\0\0\0".to_vec()),
        ("a negative length", b"Q\xff\xff\xff\xff".to_vec()),
        ("2 GB", b"Q\x7f\xff\xff\xff".to_vec()),
        ("a Sync of 1 MB", b"S\0\x10\0\0".to_vec()),
        ("an Execute of 20 kB", b"E\0\0\x50\0".to_vec()),
    ];
    let goes_on = [
        ("a Query without its NUL", whole(b'Q', b"SELECT 1")),
        ("a Query with a NUL inside", whole(b'Q', b"SELECT 1\0x\0")),
        ("an empty Query message", whole(b'Q', b"")),
        ("bytes of no encoding", whole(b'Q', b"SELECT '\xff\xfe'\0")),
        ("a Parse without NUL", synced(b'P', b"SELECT 1")),
        ("a Parse without types", synced(b'P', b"s\0SELECT 1\0")),
        ("a Parse that promises types", synced(b'P', b"\0SELECT 1\0\0\x05")),
        ("an empty Parse message", synced(b'P', b"")),
        ("a Bind without NUL", synced(b'B', b"abcd")),
        ("an empty Bind message", synced(b'B', b"")),
        (
            "a Bind of nothing behind a Parse",
            [whole(b'P', b"\0SELECT $1\0\0\0"), synced(b'B', b"\0\0\0\0\0\x63")].concat(),
        ),
        ("a Bind of a statement unheard of", synced(b'B', b"\0who\0\0\0\0\0\0\0")),
        ("a Bind of a name like ours", synced(b'B', b"\0pgherd.1\0\0\0\0\0\0\0")),
        ("a Describe of nothing", synced(b'D', b"")),
        ("a Describe of another kind", synced(b'D', b"X\0")),
        ("a Describe without NUL", synced(b'D', b"Sx")),
        ("a Describe of a name like ours", synced(b'D', b"Spgherd.1\0")),
        ("a Close of another kind", synced(b'C', b"X\0")),
        ("an Execute of half a length", synced(b'E', b"\0\0\0")),
        ("an Execute of a portal unheard of", synced(b'E', b"who\0\0\0\0\0")),
        ("a Sync with a body", whole(b'S', b"ab")),
        ("a Flush with a body", synced(b'H', b"ab")),
        (
            "an Execute behind a failed Parse",
            [whole(b'P', b"\0SELEKT\0\0\0"), whole(b'H', b""), synced(b'E', b"\0\0\0\0\0")].concat(),
        ),
        (
            "COPY data out of turn",
            [whole(b'd', b"ab"), whole(b'c', b""), whole(b'f', b"\0"), whole(b'Q', b"SELECT 1\0")].concat(),
        ),
        ("a FunctionCall of nothing", whole(b'F', b"")),
        ("a FunctionCall of what is not", whole(b'F', &[0; 10])),
    ];
    let ends = ends.into_iter().map(|(what, bytes)| (what, bytes, true));
    ends.chain(goes_on.into_iter().map(|(what, bytes)| (what, bytes, false))).collect()
}

#[tokio::test]
async fn a_broken_message_is_answered_as_postgresql_answers_it() {
    let role = Role::new("broken");
    let proxy = Proxy::start(shared(), &format!("[pool]\nsize = 1\n{}", role.config()));
    let mut other = role.raw(proxy.port()).await;
    let mut postgres = Raw::direct(shared(), &shared().pg1, "app").await;
    let mut ends = 0;
    for (what, bytes, closes) in messages() {
        let want = ask(&mut postgres, what, &bytes, closes).await;
        let mut client = role.raw(proxy.port()).await;
        let got = ask(&mut client, what, &bytes, closes).await;
        if closes {
            ends += 1;
            postgres = Raw::direct(shared(), &shared().pg1, "app").await;
        } else {
            assert_eq!(client.value("SELECT 7").await, "7", "the session goes on after {what}");
        }
        assert_eq!(got, want, "{what}");
        assert_eq!(other.query("SELECT pg_current_xact_id() > '0'").await.rows.len(), 1, "after {what}");
    }
    assert_eq!(violations(&proxy, ends).await, ends);
}

/// Whatever it is: PostgreSQL skips to the next Sync.
#[tokio::test]
async fn what_comes_behind_an_error_is_skipped_up_to_the_sync() {
    let role = Role::new("skipped");
    let proxy = Proxy::start(shared(), &format!("[pool]\nsize = 1\n{}", role.config()));
    let mut client = role.raw(proxy.port()).await;
    client.prepare("kept", "SELECT 'kept'").await;
    for _ in 0..2 {
        client.send(b"P\0\0\0\x0e\0SELEKT\0\0\0H\0\0\0\x04").await;
        assert_eq!(client.receive().await.unwrap().tag, b'E');
        let mut out = Vec::new();
        for _ in 0..20_000 {
            frontend::push_query(&mut out, "SELECT 1");
            frontend::push_close_statement(&mut out, b"kept");
            push_parse(&mut out, "kept", "SELECT 2");
            push_execute(&mut out, "kept", &[]);
        }
        frontend::push_sync(&mut out);
        client.send(&out).await;
        assert_eq!(client.answer().await.kinds, "Z");
        assert_eq!(client.execute("kept", &[]).await.value(), "kept");
    }
    let mut other = role.raw(proxy.port()).await;
    assert_eq!(other.value("SELECT 7").await, "7");
}

async fn ask(client: &mut Raw, what: &str, bytes: &[u8], closes: bool) -> Answer {
    client.send(bytes).await;
    let answer = client.answer().await;
    assert_eq!(answer.status == 0, closes, "{what}: {answer:?}");
    answer
}

#[tokio::test]
async fn a_million_tiny_messages_in_a_pipeline_take_no_memory() {
    let role = Role::new("tiny");
    let proxy = Proxy::start(shared(), &format!("[limits]\nmax_client_statement_bytes = '8MB'\n{}", role.config()));
    let mut other = role.raw(proxy.port()).await;
    other.value("SELECT 1").await;
    let before = resident(&proxy);
    const COUNT: usize = 1_000_000;
    let (reader, mut writer) = role.raw(proxy.port()).await.stream.into_inner().into_split();
    let counting = tokio::spawn(async move {
        let mut reader = BufReader::with_capacity(64 * 1024, reader);
        let (mut parsed, mut bytes) = (0, [0; 5]);
        loop {
            reader.read_exact(&mut bytes).await.unwrap();
            match &bytes {
                b"1\0\0\0\x04" => parsed += 1,
                b"Z\0\0\0\x05" => return parsed,
                other => panic!("{other:?} after {parsed}"),
            }
        }
    });
    let batch = b"P\0\0\0\x08\0\0\0\0".repeat(1000);
    let mut most = before;
    for number in 0..COUNT / 1000 {
        writer.write_all(&batch).await.unwrap();
        if number % 50 == 0 {
            most = most.max(resident(&proxy));
            assert_eq!(other.value("SELECT 1").await, "1");
        }
    }
    writer.write_all(b"S\0\0\0\x04").await.unwrap();
    assert_eq!(counting.await.unwrap(), COUNT);
    most = most.max(resident(&proxy));
    assert!(most - before < GROWTH, "{} MB", (most - before) / MB);

    // Names have a limit, and who does not read his answers is not read from.
    let mut greedy = role.raw(proxy.port()).await;
    let mut out = Vec::new();
    (0..10_001).for_each(|number| push_parse(&mut out, &number.to_string(), "SELECT 1"));
    frontend::push_sync(&mut out);
    greedy.send(&out).await;
    let refused = greedy.answer().await;
    assert_eq!((refused.sqlstate(), refused.errors[0].severity.as_str()), ("54000", "FATAL"));
    assert!(refused.errors[0].hint.as_ref().unwrap().contains("limits.max_client_statements"));

    // So have their texts, and a name taken twice again and again is no statement more.
    let text = format!("SELECT '{}'", "x".repeat(1_000_000));
    let mut greedy = role.raw(proxy.port()).await;
    let mut prepared = 0;
    let refused = loop {
        let answer = greedy.prepare(&prepared.to_string(), &text).await;
        if answer.sqlstate() != "" {
            break answer;
        }
        prepared += 1;
        greedy.query("SELECT 1").await;
    };
    assert_eq!((prepared, refused.sqlstate()), (8, "54000"));
    assert!(refused.errors[0].hint.as_ref().unwrap().contains("limits.max_client_statement_bytes"));
    drop(greedy);
    let mut twice = role.raw(proxy.port()).await;
    twice.query("BEGIN").await;
    twice.prepare("s", "SELECT 1").await;
    twice.query("SAVEPOINT a").await;
    for _ in 0..200 {
        assert_eq!(twice.prepare("s", "SELECT 1").await.sqlstate(), "42P05");
        twice.query("ROLLBACK TO a").await;
    }
    twice.query("COMMIT").await;
    assert_eq!(twice.execute("s", &[]).await.value(), "1");
    assert_eq!(twice.query("SELECT name FROM pg_prepared_statements WHERE name = 's'").await.rows.len(), 0);

    let mut deaf = role.raw(proxy.port()).await;
    let flood = b"Q\0\0\0\x0dSELECT 1\0".repeat(10_000);
    let mut taken = 0;
    while taken < 2000 && tokio::time::timeout(Duration::from_millis(500), deaf.stream.write_all(&flood)).await.is_ok()
    {
        taken += 1;
    }
    assert!(taken < 2000, "it must stop somewhere");
    let most = most.max(resident(&proxy));
    assert!(most - before < GROWTH, "{} MB", (most - before) / MB);
    assert_eq!(other.value("SELECT 1").await, "1");
}

// === streams ===

const STREAM: usize = 300 * MB;

#[tokio::test]
async fn large_results_stream_through_whoever_reads_them() {
    let role = Role::new("results");
    let proxy = Proxy::start(shared(), &role.config());
    let mut other = role.raw(proxy.port()).await;
    other.value("SELECT 1").await;
    let mut watch = Watch::new(&proxy);

    // Many rows, and one that is all of it.
    let rows = "SELECT repeat('x', 10000) FROM generate_series(1, 31458)";
    for sql in [rows.to_owned(), format!("SELECT repeat('x', {STREAM})")] {
        let mut client = role.raw(proxy.port()).await;
        client.send_query(&sql).await;
        let mut stream = client.stream.into_inner();
        let count = read_all(&mut stream, &mut watch).await;
        assert!(count > STREAM, "{count}");
        assert_eq!(other.value("SELECT 1").await, "1");
    }
    // One that reads a little and then no more.
    let mut slow = role.raw(proxy.port()).await;
    slow.send_query(rows).await;
    slow.stream.read_u8().await.unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        assert_eq!(other.value("SELECT 1").await, "1");
        watch.look();
    }
    assert!(watch.growth() < GROWTH, "{} MB", watch.growth() / MB);
}

/// Up to ReadyForQuery, which ends the bytes by itself.
async fn read_all(stream: &mut TcpStream, watch: &mut Watch<'_>) -> usize {
    let mut buffer = vec![0; 256 * 1024];
    let (mut count, mut last) = (0, [0; 6]);
    while last != *b"Z\0\0\0\x05I" {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "after {count} bytes");
        for byte in &buffer[read.saturating_sub(6)..read] {
            last.rotate_left(1);
            last[5] = *byte;
        }
        count += read;
        watch.look();
    }
    count
}

#[tokio::test]
async fn large_input_streams_through() {
    let role = Role::new("input");
    let proxy = Proxy::start(shared(), &role.config());
    let mut other = role.raw(proxy.port()).await;
    other.query("CREATE TABLE sink (a text)").await;
    let mut watch = Watch::new(&proxy);

    let mut client = role.raw(proxy.port()).await;
    assert_eq!(client.query("COPY sink FROM STDIN WHERE false").await.kinds, "G");
    let line = [&b"x".repeat(1000)[..], b"\n"].concat().repeat(100);
    let message = [&b"d"[..], &(line.len() as u32 + 4).to_be_bytes(), &line].concat();
    for number in 0..STREAM / line.len() {
        client.send(&message).await;
        if number % 100 == 0 {
            watch.look();
            assert_eq!(other.value("SELECT 1").await, "1");
        }
    }
    client.send(b"c\0\0\0\x04").await;
    assert_eq!(client.answer().await.tags, ["COPY 0"]);

    // One parameter, one statement text: messages far larger than any buffer.
    let size = 64 * MB;
    push_parse_and_bind(&mut client, size).await;
    assert_eq!(client.answer().await.value(), size.to_string());
    watch.look();
    let size = 32 * MB;
    let mut query = [&b"Q"[..], &(size as u32 + 4 + 19).to_be_bytes(), b"SELECT length('"].concat();
    query.resize(query.len() + size, b'x');
    query.extend_from_slice(b"')\0\0");
    query.pop();
    let length = (query.len() - 1) as u32;
    query[1..5].copy_from_slice(&length.to_be_bytes());
    client.send(&query).await;
    assert_eq!(client.answer().await.value(), size.to_string());
    watch.look();
    assert!(watch.growth() < GROWTH, "{} MB", watch.growth() / MB);
    assert_eq!(other.value("SELECT 1").await, "1");
}

async fn push_parse_and_bind(client: &mut Raw, size: usize) {
    let mut out = Vec::new();
    push_parse(&mut out, "", "SELECT length($1)");
    out.push(b'B');
    out.extend_from_slice(&(4 + 2 + 2 + 2 + 4 + size as u32 + 2).to_be_bytes());
    out.extend_from_slice(b"\0\0\0\0\0\x01");
    out.extend_from_slice(&(size as u32).to_be_bytes());
    client.send(&out).await;
    let piece = vec![b'x'; MB];
    for _ in 0..size / MB {
        client.send(&piece).await;
    }
    client.send(b"\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04").await;
}

// === what the proxy says of itself ===

/// The proxy's resident memory over a while.
struct Watch<'a> {
    proxy: &'a Proxy<'a>,
    before: usize,
    most: usize,
    looked: Instant,
}

impl<'a> Watch<'a> {
    fn new(proxy: &'a Proxy<'a>) -> Self {
        let before = resident(proxy);
        Self { proxy, before, most: before, looked: Instant::now() }
    }

    fn look(&mut self) {
        if self.looked.elapsed() > Duration::from_millis(5) {
            self.most = self.most.max(resident(self.proxy));
            self.looked = Instant::now();
        }
    }

    fn growth(&self) -> usize {
        self.most - self.before
    }
}

/// Bytes.
fn resident(proxy: &Proxy<'_>) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

async fn violations(proxy: &Proxy<'_>, at_least: u64) -> u64 {
    counter(proxy, "pgherd_protocol_violations_total", at_least).await
}

/// As /metrics has it, once it has risen so far (or after 5 s).
async fn counter(proxy: &Proxy<'_>, name: &str, at_least: u64) -> u64 {
    let started = Instant::now();
    loop {
        let (_, metrics) = proxy.process.http_get("/metrics").unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.map_or(0, |value| value.parse().unwrap());
        if value >= at_least || started.elapsed() > Duration::from_secs(5) {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
