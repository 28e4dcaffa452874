#!/usr/bin/env python3
"""What a transaction costs the proxy as clients, nodes and prepared statements grow: the tables of benches/README.md on scaling.

    python3 benches/peers/scaling.py [--quick] [--axes clients,nodes,statements] [--passes N] [--seconds N] [--print]
"""

import argparse
import json
import pathlib
import statistics

import measure
import programs
import proxies
import report
from cluster import Cluster, say
from crowd import Crowd, execution
from workloads import reads

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- scaling -->", "<!-- end of scaling -->"
BOUND = 1.3
READ = "SELECT abalance FROM pgbench_accounts WHERE aid = $1"
# (clients, of these busy): one in a hundred, then as many busy ones whatever their number.
BY_SHARE = ((1, 1), (100, 1), (1_000, 10), (10_000, 100))
BY_COUNT = ((16, 16), (100, 16), (1_000, 16), (10_000, 16))
NODES = (1, 2, 4, 8)
NODE_LOADS = (16, 64)
STATEMENTS = (10, 100, 1_000, 10_000)
# Few servers, so that all of them soon know every statement; PostgreSQL takes some 20 kB for each on each.
STATEMENT_POOL = 4
STATEMENT_CLIENTS = 16


def main():
    options = arguments()
    programs.raise_file_limit()
    found = programs.find("pgbouncer,pgherd", options.pgherd)
    nodes = max(NODES) if "nodes" in options.axes else 4
    cluster = Cluster(scale=1, result_mb=1, nodes=nodes, settings="shared_buffers = 32MB\n")
    try:
        versions = programs.versions(cluster, found)
        found = programs.readable_by_all(found, cluster.folder)
        tables = {axis: AXES[axis](cluster, found, options) for axis in options.axes}
    finally:
        cluster.stop()
    text = report.machine(versions, f"{options.passes} measurements of {options.seconds} s each", "the first row of the block")
    text += "".join(f"\n{TITLES[axis]}\n\n{table_of(*table)}" for axis, table in tables.items())
    print("\n" + text)
    raw = proxies.TOP / "target/peers/scaling.json"
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text(json.dumps(tables, indent=1))
    if not options.print:
        report.write(README, text, BEGIN, END)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short pass with the first and the third row; prints only")
    parser.add_argument("--axes", default="clients,nodes,statements", help="which of them, by commas")
    parser.add_argument("--passes", type=int, default=3, help="measurements of each cell, of which the median is shown")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--pgherd", default=programs.PGHERD, help="the program to measure")
    parser.add_argument("--print", action="store_true", help="print the tables, do not write them")
    options = parser.parse_args()
    options.axes = options.axes.split(",")
    if options.quick:
        options.passes, options.seconds, options.print = 1, 1, True
    return options


def steps(options, of):
    """The rows to measure: all, or the first and the third."""
    return of[:3:2] if options.quick else of


# === clients ===


def clients(cluster, found, options):
    """({row: {column: cost}}, rows that begin a block)"""
    table = {}
    rows = [*steps(options, BY_SHARE), *steps(options, BY_COUNT)]
    for start in (with_pgbouncer(), with_pgherd(split=False), with_pgherd(split=True, nodes=3)):
        proxy = start(cluster, found)
        crowd = Crowd(proxy.port)
        try:
            requests = [execution("read", aid) for aid in range(1, 500)]
            for count, busy in sorted(rows):
                say(f"{proxy.name}: {busy} of {count:,} clients")
                crowd.grow(count, [("read", READ)])
                crowd.run(busy, requests, count=2_000)
                table.setdefault(f"{count:,}, {busy} busy", {})[proxy.name] = cost(proxy, crowd, busy, requests, options)
        finally:
            crowd.close()
            proxy.stop()
    named = [f"{count:,}, {busy} busy" for count, busy in rows]
    return {row: table[row] for row in named}, [f"{count:,}, {busy} busy" for count, busy in (BY_SHARE[0], BY_COUNT[0])]


def cost(proxy, crowd, busy, requests, options):
    """The median CPU per 10,000 transactions."""
    passes = []
    for _ in range(options.passes):
        before = measure.cpu_seconds(proxy.pid)
        done = crowd.run(busy, requests, seconds=options.seconds)
        passes.append((measure.cpu_seconds(proxy.pid) - before) / done * 10_000)
    return statistics.median(passes)


def with_pgbouncer(**settings):
    return lambda cluster, found: proxies.pgbouncer(cluster, found["PgBouncer"], **settings)


def with_pgherd(split, nodes=1, **settings):
    return lambda cluster, found: proxies.pgherd(
        cluster, found["pgherd"], split, workers=1, ports=cluster.ports[:nodes], **settings
    )


# === nodes ===


def nodes(cluster, found, options):
    running, taken = {}, {}
    try:
        for count in steps(options, NODES):
            start = with_pgherd(split=True, nodes=count, name=f"pgherd, nodes {count}")
            running[count] = start(cluster, found)
        for number in range(1, options.passes + 1):
            for busy in NODE_LOADS:
                say(f"nodes: pass {number} of {options.passes}, {busy} clients")
                for count, proxy in running.items():
                    done = measure.steady(proxy, reads("prepared", busy), options.seconds)
                    taken.setdefault((count, busy), []).append(done["cpu"])
    finally:
        for proxy in running.values():
            proxy.stop()
    table = {
        str(count): {f"{busy} clients": statistics.median(taken[count, busy]) for busy in NODE_LOADS} for count in running
    }
    return table, [str(NODES[0])]


# === prepared statements ===


def statements(cluster, found, options):
    table = {f"{count:,}": {} for count in steps(options, STATEMENTS)}
    small = {"size": STATEMENT_POOL}
    for start, kept in (
        (with_pgbouncer(**small, kept=10_000, name="PgBouncer, 10,000 kept"), 10_000),
        (with_pgherd(split=False, **small, kept=10_000, name="pgherd, 10,000 kept"), 10_000),
        (with_pgherd(split=False, **small, kept=500, name="pgherd, 500 kept (default)"), 500),
    ):
        proxy = start(cluster, found)
        try:
            for count in steps(options, STATEMENTS):
                say(f"{proxy.name}: {count:,} statements")
                table[f"{count:,}"][proxy.name] = statements_cost(proxy, count, min(count, kept), options)
        finally:
            proxy.stop()
    return table, [f"{STATEMENTS[0]:,}"]


def statements_cost(proxy, count, kept, options):
    crowd = Crowd(proxy.port)
    try:
        # Each with a text of its own, the same for every client, as of one application.
        crowd.grow(STATEMENT_CLIENTS, [(f"s{i}", READ.replace("SELECT", f"SELECT {i},")) for i in range(count)])
        requests = [execution(f"s{i}", i % 1_000 + 1) for i in range(count)]
        # So often that nearly every server has met nearly every statement (all but e^-4).
        crowd.run(STATEMENT_CLIENTS, requests, count=4 * STATEMENT_POOL * kept + 1_000)
        return cost(proxy, crowd, STATEMENT_CLIENTS, requests, options)
    finally:
        crowd.close()


# === the tables ===

AXES = {"clients": clients, "nodes": nodes, "statements": statements}
TITLES = {
    "clients": "### Clients",
    "nodes": "### Nodes, splitting on, `-S` prepared",
    "statements": "### Prepared statements of each of 16 clients, executed at random",
}


def table_of(table, firsts):
    """Each cell with its ratio to the first row of its block, and whether the column stays within the bound."""
    columns = list(next(iter(table.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    first, worst = {}, dict.fromkeys(columns, 0.0)
    for row, cells in table.items():
        first = cells if row in firsts else first
        ratios = {column: cells[column] / first[column] for column in columns}
        worst = {column: max(worst[column], ratios[column]) for column in columns}
        shown = [f"{cells[column]:.3f}" + ("" if cells is first else f" ({ratios[column]:.2f})") for column in columns]
        lines.append(f"| {row} | " + " | ".join(shown) + " |")
    verdicts = [f"{worst[column]:.2f}: {'yes' if worst[column] <= BOUND else '**no**'}" for column in columns]
    lines.append(f"| stays within {BOUND} × | " + " | ".join(verdicts) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
