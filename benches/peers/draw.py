"""Draws what plot.py has measured: draw.py MEASURED.json PICTURE.png. By itself, because matplotlib may be another Python's."""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter  # noqa: E402

# The same colour for a program, dashed where it splits.
STYLES = {
    "PgPool-II, splitting": ("#b07aa1", "--"),
    "PgPool-II": ("#b07aa1", "-"),
    "PgBouncer": ("#4e79a7", "-"),
    "pgherd, splitting": ("#e15759", "--"),
    "pgherd": ("#e15759", "-"),
    "floor (bare relay)": ("#777777", ":"),
}


def main():
    source, picture = sys.argv[1:]
    results = json.loads(pathlib.Path(source).read_text())
    figure, axes = plt.subplots(figsize=(9, 5.4), dpi=110)
    clients = set()
    for name, (color, line) in STYLES.items():
        points = {int(count): cpu * 100 for count, cpu in results["cpu"].get(name, {}).items()}
        if not points:
            continue
        clients |= points.keys()
        axes.plot(points.keys(), points.values(), line, color=color, marker="o", markersize=4, linewidth=2, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sorted(clients), [f"{count:,}" for count in sorted(clients)])
    axes.set_yticks(STEPS := [10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150], STEPS)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.minorticks_off()
    highest = max(max(each.values()) for each in results["cpu"].values()) * 100
    lowest = min(min(each.values()) for each in results["cpu"].values()) * 100
    axes.set_ylim(lowest * 0.85, highest * 1.15)
    axes.set_xlabel("clients")
    axes.set_ylabel("the proxy's own CPU, µs per transaction")
    axes.set_title("pgbench -S, prepared, transaction pooling: less is better", loc="left", fontsize=11)
    axes.grid(True, color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    note = f"{'; '.join(map(named, results['versions']))}; {results['passes']} pass(es) of {results['seconds']} s, median"
    figure.text(0.01, 0.01, note, fontsize=7, color="#666666")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(picture)


def named(version):
    """The version without the distribution and the build."""
    return version.replace("postgres (PostgreSQL)", "PostgreSQL").split(" (")[0]


main()
