#!/usr/bin/env python3
"""CPU per transaction over the number of clients, of each proxy, as benches/cpu-per-transaction.png.

    python3 benches/peers/plot.py [--passes N] [--seconds N] [--clients 1,4,16] [--only NAME,NAME] [--redraw]
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import measure
import programs
import proxies
from cluster import Cluster, say
from workloads import reads

HERE = pathlib.Path(__file__).resolve().parent
KEPT = proxies.TOP / "target/peers/plot.json"
PICTURE = HERE.parent / "cpu-per-transaction.png"


def main():
    options = arguments()
    if not options.redraw:
        keep(options, measured(options))
    interpreter = next((each for each in (sys.executable, "/usr/bin/python3") if can_draw(each)), None)
    if not interpreter:
        sys.exit(f"matplotlib is missing: scripts/setup.sh plot; then plot.py --redraw ({KEPT} has what was measured)")
    subprocess.run([interpreter, HERE / "draw.py", KEPT, options.picture], check=True)
    say(f"drawn: {options.picture}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passes", type=int, default=3, help="interleaved passes, of which the medians are drawn")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--clients", default="1,4,16,64,256,1000", help="numbers of clients, by commas")
    parser.add_argument("--only", default="", help="proxies whose names begin so, by commas")
    parser.add_argument("--pgherd", default=programs.PGHERD, help="the program to measure")
    parser.add_argument("--picture", default=str(PICTURE), help="the file to write")
    parser.add_argument("--redraw", action="store_true", help="draw what was measured last")
    return parser.parse_args()


def measured(options):
    """{proxy: {clients: CPU s per 10,000 transactions}}"""
    programs.raise_file_limit()
    found = programs.find(options.only, options.pgherd)
    cluster = Cluster(scale=10, result_mb=1)
    running, taken = [], {}
    try:
        start_all(cluster, programs.readable_by_all(found, cluster.folder), running)
        versions = programs.versions(cluster, found)
        for number in range(1, options.passes + 1):
            for clients in map(int, options.clients.split(",")):
                load = reads("prepared", clients)
                say(f"pass {number} of {options.passes}: {clients} clients")
                for proxy in measure.in_turn(running, number):
                    if proxy.takes("", load):
                        done = measure.steady(proxy, load, options.seconds)
                        taken.setdefault(proxy.name, {}).setdefault(clients, []).append(done["cpu"])
    finally:
        for proxy in running:
            proxy.stop()
        cluster.stop()
    medians = {name: {n: statistics.median(values) for n, values in by.items()} for name, by in taken.items()}
    return {"versions": versions, "passes": options.passes, "seconds": options.seconds, "cpu": medians}


def start_all(cluster, found, running):
    """Starts the proxies into `running`: what is there when one of them fails is stopped by the caller."""
    if program := found.get(proxies.FLOOR):
        running.append(proxies.floor(cluster, program))
    if program := found.get("PgBouncer"):
        running.append(proxies.pgbouncer(cluster, program))
    for split in (False, True):
        if program := found.get("PgPool-II"):
            running.append(proxies.pgpool(cluster, program, split))
        if program := found.get("pgherd"):
            running.append(proxies.pgherd(cluster, program, split, workers=1))


def keep(options, results):
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps(results, indent=1))
    for name, by_clients in results["cpu"].items():
        say(f"{name}: " + ", ".join(f"{clients}: {cpu:.3f}" for clients, cpu in by_clients.items()))


def can_draw(interpreter):
    asked = subprocess.run([interpreter, "-c", "import matplotlib"], stderr=subprocess.DEVNULL, check=False)
    return asked.returncode == 0


if __name__ == "__main__":
    main()
