//! Each limit of a pool holds, and who meets one is told its name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::{Witness, clients, pools, until, until_all_free};
use crate::harness::raw::{Raw, Role, console};
use crate::harness::{Proxy, shared};

#[tokio::test]
async fn no_pool_has_more_servers_than_its_size() {
    let role = Role::new("sized");
    let proxy = Proxy::start(shared(), &format!("workers = 2\n[pool]\nsize = 3\n{}", role.config()));
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..30 {
        let (mut client, over) = (role.raw(proxy.port()).await, Arc::clone(&over));
        tasks.push(tokio::spawn(async move {
            while !over.load(Relaxed) {
                let sql =
                    format!("{}SELECT {number} FROM pg_sleep(0.005)", if number % 3 == 0 { "BEGIN; " } else { "" });
                assert_eq!(client.query(&sql).await.rows, [[Some(number.to_string())]]);
                client.query("COMMIT").await;
            }
        }));
    }
    let (witnesses, started) = (Witness::all().await, Instant::now());
    let mut most = [0; 3];
    while started.elapsed() < Duration::from_secs(1) {
        for (witness, most) in witnesses.iter().zip(&mut most) {
            *most = witness.count(&role).await.max(*most);
        }
    }
    over.store(true, Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(most[0] == 3 && most[1] <= 3 && most[2] <= 3, "{most:?}");
}

#[tokio::test]
async fn users_share_the_servers_of_a_node_fairly() {
    let (greedy, late, third) = (Role::new("greedy"), Role::new("late"), Role::new("third"));
    let nodes = shared().nodes().map(|node| {
        format!(
            "[[node]]\nname = '{}'\nhost = '{}'\nport = {}\nmax_servers = 4\n",
            node.name(),
            node.host(),
            node.port()
        )
    });
    let config = format!("{}{}{}{}", nodes.concat(), greedy.config(), late.user(), third.user());
    let proxy = Proxy::start(shared(), &format!("[pool]\nsize = 4\n[routing]\nsplit = false\n{config}"));
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = vec![hammer(&proxy, &greedy, 10, &over).await];
    let mut console = console(proxy.port()).await;
    until("the first user has all servers", async || match pools(&mut console, &greedy, "sv_active").await {
        4 => Ok(()),
        n => Err(format!("{n}")),
    })
    .await;

    tasks.push(hammer(&proxy, &late, 10, &over).await);
    tasks.push(hammer(&proxy, &third, 10, &over).await);
    until("all have servers", async || {
        let mut open = Vec::new();
        let answer = console.query("SHOW POOLS").await;
        for role in [&greedy, &late, &third] {
            let count = |column| -> usize {
                answer.column(column, |get| get("user") == role.name).iter().map(|n| n.parse::<usize>().unwrap()).sum()
            };
            open.push(count("sv_active") + count("sv_idle") + count("sv_login"));
        }
        assert!(open.iter().sum::<usize>() <= 4, "more than node.max_servers: {open:?}");
        if open.iter().all(|n| (1..=2).contains(n)) { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    over.store(true, Relaxed);
    for task in tasks {
        let served = task.await.unwrap();
        assert!(served.iter().all(|count| *count > 0), "somebody was never served: {served:?}");
    }
}

/// `count` clients that are never content; how often each was served until it is over.
async fn hammer(
    proxy: &Proxy<'_>,
    role: &Role,
    count: u32,
    over: &Arc<AtomicBool>,
) -> tokio::task::JoinHandle<Vec<u32>> {
    let mut tasks = Vec::new();
    for _ in 0..count {
        let (mut client, over) = (role.raw(proxy.port()).await, Arc::clone(over));
        tasks.push(tokio::spawn(async move {
            let mut served = 0;
            while !over.load(Relaxed) {
                assert_eq!(client.query("SELECT pg_sleep(0.005)").await.sqlstate(), "");
                served += 1;
            }
            served
        }));
    }
    tokio::spawn(async move {
        let mut served = Vec::new();
        for task in tasks {
            served.push(task.await.unwrap());
        }
        served
    })
}

#[tokio::test]
async fn who_waits_is_served_in_turn() {
    let role = Role::new("fifo");
    let proxy = Proxy::start(shared(), &format!("workers = 3\n[pool]\nsize = 1\n{}", role.config()));
    let mut console = console(proxy.port()).await;
    let mut holder = role.raw(proxy.port()).await;
    holder.query("CREATE TABLE served (number int, at serial)").await;
    holder.query("BEGIN; SELECT 1").await;
    let mut waiting: Vec<Raw> = Vec::new();
    for number in 0..12 {
        let mut client = role.raw(proxy.port()).await;
        client.send_query(&format!("INSERT INTO served VALUES ({number})")).await;
        waiting.push(client);
        until("it waits", async || match pools(&mut console, &role, "cl_waiting").await {
            n if n == waiting.len() => Ok(()),
            n => Err(n.to_string()),
        })
        .await;
    }
    // One who leaves loses his place, and nothing is done for him.
    drop(waiting.remove(5));
    until("he is gone", async || match pools(&mut console, &role, "cl_waiting").await {
        11 => Ok(()),
        n => Err(n.to_string()),
    })
    .await;
    assert_eq!(holder.query("COMMIT").await.tags, ["COMMIT"]);
    for client in &mut waiting {
        assert_eq!(client.answer().await.tags, ["INSERT 0 1"]);
    }
    let order = holder.value("SELECT string_agg(number::text, ' ' ORDER BY at) FROM served").await;
    assert_eq!(order, "0 1 2 3 4 6 7 8 9 10 11");
    until_all_free(&mut console, &role).await;
}

#[tokio::test]
async fn who_waits_too_long_or_behind_too_many_is_told_which_limit() {
    let role = Role::new("patient");
    let limits = "[pool]\nsize = 1\nwait_timeout = '500ms'\nmax_waiting = 2\n";
    let proxy = Proxy::start(shared(), &format!("{limits}{}", role.config()));
    let mut console = console(proxy.port()).await;
    let mut holder = role.raw(proxy.port()).await;
    holder.query("BEGIN; SELECT pg_current_xact_id()").await;

    let started = Instant::now();
    let mut waiting = [role.raw(proxy.port()).await, role.raw(proxy.port()).await];
    for client in &mut waiting {
        client.send_query("CREATE TABLE never ()").await;
    }
    until("both wait", async || {
        let states = clients(&mut console, &role, "state").await;
        if states.iter().filter(|state| *state == "waiting").count() == 2 { Ok(()) } else { Err(format!("{states:?}")) }
    })
    .await;
    let mut third = role.raw(proxy.port()).await;
    let refused = third.query("CREATE TABLE never ()").await;
    assert_eq!((refused.sqlstate(), refused.status), ("53300", b'I'));
    assert!(refused.errors[0].hint.as_ref().unwrap().contains("pool.max_waiting"), "{refused:?}");
    for client in &mut waiting {
        let refused = client.answer().await;
        assert_eq!((refused.sqlstate(), refused.status), ("53300", b'I'));
        assert!(refused.errors[0].hint.as_ref().unwrap().contains("pool.wait_timeout"), "{refused:?}");
        let waited = started.elapsed();
        assert!(waited > Duration::from_millis(490) && waited < Duration::from_secs(10), "{waited:?}");
    }
    // The extended protocol is told once, and goes on after Sync.
    let refused = third.unnamed("CREATE TABLE never ()", &[]).await;
    assert_eq!((refused.kinds.as_str(), refused.sqlstate()), ("EZ", "53300"));
    holder.query("ROLLBACK").await;
    for client in waiting.iter_mut().chain([&mut third]) {
        assert_eq!(client.value("SELECT 7").await, "7");
    }
    until("the metrics count them", async || {
        let (_, metrics) = proxy.process.http_get("/metrics").unwrap();
        if metrics.contains("\npgherd_wait_timeouts_total 4\n") { Ok(()) } else { Err(metrics) }
    })
    .await;
}

#[tokio::test]
async fn idle_servers_go_down_to_the_minimum_and_old_ones_are_replaced() {
    let role = Role::new("aging");
    let limits = "[pool]\nsize = 6\nmin_size = 2\nidle_timeout = '1s'\nlifetime = '3s'\n[routing]\nsplit = false\n";
    let proxy = Proxy::start(shared(), &format!("{limits}{}", role.config()));
    let mut holders = Vec::new();
    for _ in 0..6 {
        let mut client = role.raw(proxy.port()).await;
        client.query("BEGIN; SELECT 1").await;
        holders.push(client);
    }
    let witness = Witness::on(&shared().pg1).await;
    assert_eq!(witness.count(&role).await, 6);
    let first = witness.activity(&role, "string_agg(pid::text, ' ' ORDER BY pid)").await;
    for client in &mut holders {
        client.query("COMMIT").await;
    }
    let mut fewest = 6;
    until("two are left", async || {
        fewest = fewest.min(witness.count(&role).await);
        if fewest == 2 { Ok(()) } else { Err(fewest.to_string()) }
    })
    .await;
    until("they are other ones", async || {
        let now = witness.activity(&role, "string_agg(pid::text, ' ' ORDER BY pid)").await;
        let stays = now.split(' ').any(|pid| first.split(' ').any(|old| old == pid));
        if now.split(' ').count() == 2 && !stays { Ok(()) } else { Err(now) }
    })
    .await;
    // In use all the time, none grows older than that either.
    let mut pids = std::collections::BTreeSet::new();
    until("a busy server is replaced", async || {
        pids.insert(holders[0].value("SELECT pg_backend_pid()").await);
        if pids.len() > 2 { Ok(()) } else { Err(format!("{pids:?}")) }
    })
    .await;
}

#[tokio::test]
async fn servers_that_died_idle_are_noticed_before_anyone_gets_them() {
    let role = Role::new("mortal");
    // "eventual": those who have just written shall open servers on the standbys, too.
    let more = format!("workers = 2\n[routing]\nconsistency = \"eventual\"\n[pool]\nsize = 4\n{}", role.config());
    let proxy = Proxy::start(shared(), &more);
    let witnesses = Witness::all().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(role.raw(proxy.port()).await);
    }
    for round in 0..3 {
        for client in &mut clients {
            client.query("BEGIN; SELECT pg_current_xact_id()").await;
        }
        for client in &mut clients {
            client.query("COMMIT").await;
            client.query("BEGIN READ ONLY").await;
            client.query("SELECT 1").await;
        }
        for client in &mut clients {
            client.query("COMMIT").await;
        }
        for witness in &witnesses {
            let killed = witness.activity(&role, "count(pg_terminate_backend(pid, 5000))").await;
            assert_ne!(killed, "0");
        }
        for number in 0..40 {
            let client = &mut clients[number % 4];
            assert_eq!(client.value(&format!("SELECT {number}")).await, number.to_string(), "round {round}");
            let answer = client.query("SELECT pg_current_xact_id() > '0'").await;
            assert_eq!(answer.sqlstate(), "", "round {round}: {answer:?}");
        }
    }
}
