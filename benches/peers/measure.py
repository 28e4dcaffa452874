"""What is measured of one proxy: throughput by pgbench, and what the proxy's own processes took for it."""

import os
import pathlib
import re
import time

from proxies import children
from wire import Client

TICKS = os.sysconf("SC_CLK_TCK")

# name: (what pgbench is told, clients). Order = columns of the table.
PGBENCH = {
    **{f"S {mode} {n}": (["-S", "-M", mode], n) for mode in ("simple", "extended", "prepared") for n in (1, 16, 64)},
    "N prepared 16": (["-N", "-M", "prepared"], 16),
    "connect 8": (["-S", "-C"], 8),
}
QUICK = ("S simple 16", "S prepared 16", "N prepared 16", "connect 8")


def pgbench(proxy, name, seconds):
    """{tps, cpu}: transactions per second, and the proxy's CPU seconds per 10,000 transactions (None for direct)."""
    arguments, clients = PGBENCH[name]
    threads = 1 if clients == 1 else 2
    before = cpu_seconds(proxy.pid)
    output = proxy.cluster.run(
        "pgbench", "-n", *arguments, "-c", clients, "-j", threads, "-T", seconds,
        "-h", "127.0.0.1", "-p", proxy.port, "-U", "bench", "bench",
    )
    spent = cpu_seconds(proxy.pid) - before
    done = int(re.search(r"transactions actually processed: (\d+)", output)[1])
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if failed and int(failed[1]):
        raise RuntimeError(f"{proxy.name}: {failed[1]} failed transactions:\n{output}")
    tps = float(re.search(r"tps = ([\d.]+)", output)[1])
    return {"tps": tps, "cpu": spent / done * 10_000 if proxy.pid else None}


def large_result(proxy):
    """{mb_per_s, cpu}: of COPY big TO STDOUT, and the proxy's CPU seconds per GB (10^9 bytes)."""
    client = Client(proxy.port)
    before, started = cpu_seconds(proxy.pid), time.monotonic()
    size = client.query("COPY big TO STDOUT")
    elapsed = time.monotonic() - started
    spent = cpu_seconds(proxy.pid) - before
    client.close()
    return {"mb_per_s": size / 1e6 / elapsed, "cpu": spent / (size / 1e9) if proxy.pid else None}


def idle_memory(proxy):
    """{mb, kb_per_client, clients}: PSS with idle clients, and what each of them takes. Each has run one query."""
    before = 0 if proxy.forks_ahead else pss_kb(proxy.pid)
    clients = []
    for _ in range(proxy.idle_clients):
        client = Client(proxy.port)
        client.query("SELECT 1")
        clients.append(client)
    time.sleep(0.5)
    after = pss_kb(proxy.pid)
    for client in clients:
        client.close()
    count = len(clients)
    return {"mb": after / 1024, "kb_per_client": (after - before) / count, "clients": count}


def standby_share(running, quick):
    """{proxy name: {percent}}: how much of a `pgbench -S` run the standbys answered. For each proxy in turn."""
    count = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'bench'"

    def counts(proxy):
        time.sleep(11)  # a server that idles reports its counters after ten seconds
        return [int(proxy.cluster.sql(count, node)) for node in range(3)]

    shares, before = {}, counts(running[0])
    for proxy in running:
        proxy.cluster.run(
            "pgbench", "-n", "-S", "-M", "prepared", "-c", 16, "-j", 2, "-t", 500 if quick else 2000,
            "-h", "127.0.0.1", "-p", proxy.port, "-U", "bench", "bench",
        )
        now = counts(proxy)
        primary, *standbys = [after - earlier for after, earlier in zip(now, before)]
        shares[proxy.name] = {"percent": 100 * sum(standbys) / (primary + sum(standbys))}
        before = now
    return shares


def cpu_seconds(pid):
    """User and system time of a process and all below it, those that ended included."""
    if pid is None:
        return 0.0
    return sum(sum(stat_times(each, ended=True)) for each in tree(pid)) / TICKS


def stat_times(pid, ended):
    """utime and stime (and those of children that ended and were waited for), in ticks."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return [int(field) for field in fields[11:15 if ended else 13]]


def pss_kb(pid):
    total = 0
    for each in tree(pid):
        rollup = pathlib.Path(f"/proc/{each}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss: +(\d+)", rollup, re.MULTILINE)[1])
    return total


def tree(pid):
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found
