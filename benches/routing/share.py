#!/usr/bin/env python3
"""Who answers the reads? The same cluster as the peers' comparison, pgherd with splitting before it, some loads in turn; of each,
what share of its reads the standbys answered, by PostgreSQL's own counters.

    python3 benches/routing/share.py [--seconds N] [--pgherd PROGRAM]
"""

import argparse
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))

import proxies  # noqa: E402
from cluster import Cluster, say  # noqa: E402

READ = "\\set aid random(1, 100000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
WRITE = (
    "\\set aid random(1, 100000)\n\\set delta random(-5000, 5000)\n"
    "UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;\n"
)
PAUSE = "\\sleep 20 ms\n"
LOADS = {
    "pgbench -S, simple": ["-S", "-M", "simple"],
    "pgbench -S, extended": ["-S", "-M", "extended"],
    "pgbench -S, prepared": ["-S", "-M", "prepared"],
    "80 % reads, 20 % writes, no pause": [("read", READ, 80), ("write", WRITE, 20)],
    "the same, 20 ms between statements": [("read_pause", READ + PAUSE, 80), ("write_pause", WRITE + PAUSE, 20)],
    "the same in transactions, reads READ ONLY": [
        ("read_only", f"BEGIN READ ONLY;\n{READ}{READ}COMMIT;\n{PAUSE}", 80),
        ("read_write", f"BEGIN;\n{READ}{WRITE}COMMIT;\n{PAUSE}", 20),
    ],
}

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--pgherd", default=str(proxies.TOP / "target/release/pgherd"), help="the program to measure")
    options = parser.parse_args()
    cluster = Cluster(scale=1, result_mb=1)
    proxy = None
    try:
        proxy = proxies.pgherd(cluster, shutil.copy(options.pgherd, cluster.folder / "pgherd-program"), True, 1)
        rows = [(name, *measure(proxy, load, options.seconds)) for name, load in LOADS.items()]
    finally:
        if proxy:
            proxy.stop()
        cluster.stop()
    print("\n| load, 16 clients | reads a second | answered by the standbys |\n|---|---|---|")
    for name, reads, share in rows:
        print(f"| {name} | {reads:,.0f} | {share:.0f} % |")


def measure(proxy, load, seconds):
    """(reads a second, percent of them on the standbys)"""
    scripts = []
    if isinstance(load[0], tuple):
        for name, text, weight in load:
            path = proxy.cluster.folder / f"{name}.sql"
            path.write_text(text)
            scripts += ["-f", f"{path}@{weight}"]
        arguments = scripts
    else:
        arguments = load
    before = counts(proxy)
    say(" ".join(str(argument) for argument in arguments))
    proxy.cluster.run(
        "pgbench", "-n", *arguments, "-c", 16, "-j", 2, "-T", seconds,
        "-h", "127.0.0.1", "-p", proxy.port, "-U", "bench", "bench",
    )
    primary, *standbys = [after - earlier for after, earlier in zip(counts(proxy), before)]
    return (primary + sum(standbys)) / seconds, 100 * sum(standbys) / (primary + sum(standbys))


def counts(proxy):
    """Reads of the table by its index, node by node: an UPDATE makes one as well, which is taken off."""
    time.sleep(11)  # a server that idles reports its counters after ten seconds
    sql = "SELECT coalesce(idx_scan, 0) - n_tup_upd FROM pg_stat_user_tables WHERE relname = 'pgbench_accounts'"
    return [int(proxy.cluster.sql(sql, node) or 0) for node in range(3)]


if __name__ == "__main__":
    main()
