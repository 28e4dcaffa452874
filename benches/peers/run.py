#!/usr/bin/env python3
"""Compares pgherd with its peers before one PostgreSQL cluster, on this machine, and writes the tables of benches/README.md.

    python3 benches/peers/run.py [--quick] [--passes N] [--seconds N] [--only NAME,NAME] [--loads NAME,NAME] [--print]
"""

import argparse
import json
import pathlib
import time

import measure
import programs
import proxies
import report
import workloads
from cluster import Cluster, say
from workloads import LOADS

HERE = pathlib.Path(__file__).resolve().parent
TOP = proxies.TOP


def main():
    options = arguments()
    programs.raise_file_limit()
    found = programs.find(options.only, options.pgherd)
    started = time.monotonic()
    cluster = Cluster(options.scale, options.result_mb)
    running = []
    try:
        versions = programs.versions(cluster, found)
        start_all(cluster, programs.readable_by_all(found, cluster.folder), options, running)
        results = compare(running, options)
    finally:
        for proxy in running:
            proxy.stop()
        cluster.stop()
    text = report.machine(versions, f"{options.passes} interleaved passes of {options.seconds} s each") + "\n"
    text += report.tables(results, [proxy.name for proxy in running])
    keep(text, results, options)
    say(f"took {time.monotonic() - started:.0f} s")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short pass over a few workloads; prints, writes nothing")
    parser.add_argument("--passes", type=int, default=3, help="interleaved passes, of which the medians are shown")
    parser.add_argument("--seconds", type=int, default=2, help="of each pgbench run")
    parser.add_argument("--scale", type=int, default=10, help="pgbench's")
    parser.add_argument("--result-mb", type=int, default=200, help="size of the large result")
    parser.add_argument("--workers", type=int, default=1, help="threads of pgherd, but in its row with two")
    parser.add_argument("--loads", default="", help="loads whose names begin so, by commas: S prep,pipeline,connect")
    parser.add_argument("--idle", type=int, default=10_000, help="idle clients of the memory measurement; 0 for none")
    parser.add_argument("--only", default="", help="proxies whose names begin so, by commas: pgbouncer,pgherd")
    parser.add_argument("--pgherd", default=str(TOP / "target/release/pgherd"), help="the program to measure")
    parser.add_argument("--print", action="store_true", help="print the tables, do not write them")
    options = parser.parse_args()
    if options.quick:
        options.passes, options.seconds, options.scale, options.result_mb, options.idle = 1, 1, 1, 50, min(options.idle, 1000)
    chosen = workloads.QUICK if options.quick and not options.loads else LOADS
    options.workloads = [name for name in chosen if programs.begins(name, options.loads)]
    return options


def start_all(cluster, found, options, running):
    """Starts the proxies into `running`: what is there when one of them fails is stopped by the caller."""
    password = proxies.PASSWORD
    running.append(proxies.direct(cluster))
    if program := found.get(proxies.FLOOR):
        running.append(proxies.floor(cluster, program))
    if program := found.get("PgBouncer"):
        running.append(proxies.pgbouncer(cluster, program))
        running[-1].scram = proxies.pgbouncer(cluster, program, password)
    if program := found.get("PgPool-II"):
        for split in (False, True):
            running.append(proxies.pgpool(cluster, program, split))
    if program := found.get("pgherd"):
        for split in (False, True):
            running.append(proxies.pgherd(cluster, program, split, options.workers))
            name = running[-1].name + " SCRAM"
            running[-1].scram = proxies.pgherd(cluster, program, split, options.workers, name, password)
        running.append(proxies.pgherd(cluster, program, False, 2, "pgherd, two workers"))
        running[-1].only, running[-1].bulk = workloads.TWO_WORKERS, False


def compare(running, options):
    """results[workload][proxy] = measurements, one a pass. Passes are interleaved: noise hits all alike."""
    results, refused = {}, set()

    def take(workload, proxy, measurement, *arguments):
        if (workload, proxy.name) in refused:
            return
        try:
            done = measurement(proxy, *arguments)
        except (RuntimeError, OSError) as error:
            # A peer that cannot do it leaves its cells empty. What pgherd cannot do ends the run.
            if proxy.name.startswith("pgherd"):
                raise
            say(f"{proxy.name} is left out of {workload}: {str(error)[-600:]}")
            refused.add((workload, proxy.name))
        else:
            results.setdefault(workload, {}).setdefault(proxy.name, []).append(done)

    whole = [proxy for proxy in running if proxy.bulk]
    for number in range(1, options.passes + 1):
        for workload in options.workloads:
            say(f"pass {number} of {options.passes}: {workload}")
            for proxy in measure.in_turn(running, number):
                if proxy.takes(workload, LOADS[workload]):
                    take(workload, proxy, measure.pgbench, LOADS[workload], options.seconds)
        say(f"pass {number} of {options.passes}: a large result, latency")
        for proxy in measure.in_turn(whole, number):
            take("result", proxy, measure.large_result, 1 if options.quick else 3)
            take("latency", proxy, measure.latency, LOADS[workloads.LATENCY], options.seconds)
    say("who answers the reads")
    for name, share in measure.standby_share(whole, options.quick).items():
        results.setdefault("share", {})[name] = [share]
    for proxy in whole:
        if min(proxy.idle_clients, options.idle):
            say(f"idle clients: {proxy.name}")
            take("idle", proxy, measure.idle_memory, options.idle)
    return results


def keep(text, results, options):
    print("\n" + text)
    raw = TOP / "target/peers/results.json"
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text(json.dumps(results, indent=1))
    if not (options.quick or options.only or options.loads or options.print):
        report.write(HERE.parent / "README.md", text)
        say(f"written to benches/README.md; each pass in {raw.relative_to(TOP)}")


if __name__ == "__main__":
    main()
