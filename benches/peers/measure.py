"""What is measured of one proxy: throughput by pgbench, and what the proxy's own processes took for it."""

import os
import pathlib
import re
import resource
import subprocess
import time

from cluster import say
from proxy import children
from wire import Client

TICKS = os.sysconf("SC_CLK_TCK")
# Open files that are not clients: of this process, and servers and logs of a proxy.
FILES_BESIDE = 300

# Of the transactions this share is logged for the latency: enough for a percentile, too few to slow pgbench down.
LOGGED = 0.2


def pgbench(proxy, load, seconds):
    """{tps, cpu}: transactions per second, and the proxy's CPU seconds per 10,000 transactions (None for direct)."""
    subject = proxy.scram if load.scram else proxy
    before = cpu_seconds(subject.pid)
    output = subject.pgbench(*load.command(proxy.cluster.folder), "-T", seconds, limit=seconds + 60)
    spent = cpu_seconds(subject.pid) - before
    done = int(re.search(r"transactions actually processed: (\d+)", output)[1])
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if done == 0 or failed and int(failed[1]) or "aborted" in output:
        raise RuntimeError(f"{proxy.name}: failed transactions:\n{output}")
    tps = float(re.search(r"tps = ([\d.]+)", output)[1])
    return {"tps": tps, "cpu": spent / done * 10_000 if subject.pid else None}


def steady(proxy, load, seconds):
    """{tps, cpu} as above, without the first second and what it takes to connect: for loads of many clients."""
    command = proxy.pgbench_command(*load.command(proxy.cluster.folder), "-P", 1, "-T", seconds + 2, limit=seconds + 90)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=proxy.folder)
    points, done, last, errors = [], 0.0, 0.0, []
    for line in process.stderr:
        if progress := re.match(r"progress: ([\d.]+) s, ([\d.]+) tps", line):
            now, tps = float(progress[1]), float(progress[2])
            done += (now - last) * tps
            last = now
            points.append((now, done, cpu_seconds(proxy.pid)))
        else:
            errors.append(line)
    if process.wait() or len(points) < 2:
        raise RuntimeError(f"{proxy.name}: pgbench failed:\n{''.join(errors)[-600:]}")
    (start, done_before, cpu_before), (end, done_then, cpu_then) = points[0], points[-1]
    transactions = done_then - done_before
    return {"tps": transactions / (end - start), "cpu": (cpu_then - cpu_before) / transactions * 10_000}


def latency(proxy, load, seconds):
    """{p50, p99}: of transactions, in milliseconds, out of pgbench's log of a share of them."""
    prefix = proxy.folder / "latency"
    logging = ("--log", "--log-prefix", prefix, "--sampling-rate", LOGGED)
    proxy.pgbench(*load.command(proxy.cluster.folder), *logging, "-T", seconds, limit=seconds + 60)
    times = []
    for path in proxy.folder.glob("latency.*"):
        times += [int(line.split()[2]) for line in path.read_text().splitlines()]
        path.unlink()
    times.sort()
    return {f"p{part}": times[len(times) * part // 100] / 1000 for part in (50, 99)}


def large_result(proxy, times):
    """{mb_per_s, cpu}: of COPY big TO STDOUT so many times, and the proxy's CPU seconds per GB (10^9 bytes)."""
    client = Client(proxy.port)
    before, started = cpu_seconds(proxy.pid), time.monotonic()
    size = sum(client.query("COPY big TO STDOUT") for _ in range(times))
    elapsed = time.monotonic() - started
    spent = cpu_seconds(proxy.pid) - before
    client.close()
    return {"mb_per_s": size / 1e6 / elapsed, "cpu": spent / (size / 1e9) if proxy.pid else None}


def idle_memory(proxy, most):
    """{mb, kb_per_client, clients}: PSS with idle clients, and what each of them takes. Each has run one query."""
    count = min(proxy.idle_clients, most)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES_BESIDE
    if count > files:
        say(f"{proxy.name}: {count:,} idle clients want more open files than the {files:,} allowed here (ulimit -Hn): {files:,}")
        count = files
    before = 0 if proxy.forks_ahead else pss_kb(proxy.pid)
    clients = []
    try:
        for _ in range(count):
            clients.append(Client(proxy.port))
            clients[-1].query("SELECT 1")
        time.sleep(0.5)
        after = pss_kb(proxy.pid)
    finally:
        for client in clients:
            client.close()
    return {"mb": after / 1024, "kb_per_client": (after - before) / count, "clients": count}


def standby_share(running, quick):
    """{proxy name: {percent}}: how much of a `pgbench -S` run the standbys answered. For each proxy in turn."""
    count = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'bench'"

    def counts(proxy):
        time.sleep(11)  # a server that idles reports its counters after ten seconds
        return [int(proxy.cluster.sql(count, node)) for node in range(3)]

    shares, before = {}, counts(running[0])
    for proxy in running:
        proxy.pgbench("-S", "-M", "prepared", "-c", 16, "-j", 2, "-t", 500 if quick else 2000)
        now = counts(proxy)
        primary, *standbys = [after - earlier for after, earlier in zip(now, before)]
        shares[proxy.name] = {"percent": 100 * sum(standbys) / (primary + sum(standbys))}
        before = now
    return shares


def in_turn(proxies, number):
    """The proxies in the order of that pass: it begins with another one each time, so that nobody always follows the same."""
    first = number % len(proxies)
    return proxies[first:] + proxies[:first]


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
