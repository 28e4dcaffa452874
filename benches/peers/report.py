"""The medians as the tables of benches/README.md: each cell a number and its ratio to PgBouncer's."""

import datetime
import os
import pathlib
import platform
import re
import statistics

import goals
from goals import BASE
from workloads import LATENCY, LOADS

# column: (workload, key, format)
BULK = {
    "MB/s": ("result", "mb_per_s", "{:,.0f}"),
    "CPU s per GB": ("result", "cpu", "{:.2f}"),
    "p50 ms": ("latency", "p50", "{:.2f}"),
    "p99 ms": ("latency", "p99", "{:.2f}"),
    "idle clients": ("idle", "clients", "{:,.0f}"),
    "PSS MB": ("idle", "mb", "{:,.1f}"),
    "KB per idle client": ("idle", "kb_per_client", "{:,.1f}"),
    "reads on standbys %": ("share", "percent", "{:.0f}"),
}
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def median(runs, key):
    """The median of `key` over the passes; None when it was not measured."""
    values = [run[key] for run in runs if run.get(key) is not None]
    return statistics.median(values) if values else None


def tables(results, names):
    """`results[workload][proxy]` = a list of measurements, one a pass."""
    columns = {short(name): name for name in LOADS if name in results}
    behind = [name for name in names if name != "direct"]
    parts = [
        "### What is wanted, and what is\n",
        f"Ratios to {BASE} unless it says otherwise; in bold what is missed.\n",
        goal_table(results),
        "\n### Transactions per second\n",
        table(list(columns), names, lambda c, proxy: cell(results, columns[c], proxy, "tps", "{:,.0f}")),
        "\n### The proxy's own CPU seconds per 10,000 transactions (less is better)\n",
        table(list(columns), behind, lambda c, proxy: cell(results, columns[c], proxy, "cpu", "{:.3f}")),
        f"\n### A large result, latency of {short(LATENCY)}, idle clients, and who answers `pgbench -S`\n",
        table(list(BULK), names, lambda c, p: bulk(results, c, p)),
    ]
    return "\n".join(parts)


def goal_table(results):
    rows = goals.rows(lambda workload, proxy, key: median(results.get(workload, {}).get(proxy, []), key))
    lines = ["| | wanted | splitting off | wanted | splitting on |", "|---|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def short(name):
    return name.replace("simple", "simp").replace("extended", "ext").replace("prepared", "prep")


def bulk(results, column, proxy):
    workload, key, form = BULK[column]
    return cell(results, workload, proxy, key, form, ratio=key != "percent" and key != "clients")


def cell(results, workload, proxy, key, form, ratio=True):
    value = median(results.get(workload, {}).get(proxy, []), key)
    if value is None:
        return ""
    base = median(results[workload].get(BASE, []), key)
    text = form.format(value)
    return text if not ratio or proxy == BASE or not base else f"{text} ({value / base:.2f})"


def table(columns, names, cell_of):
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    rows = {name: [cell_of(column, name) for column in columns] for name in names}
    lines += [f"| {name} | " + " | ".join(row) + " |" for name, row in rows.items() if any(row)]
    return "\n".join(lines) + "\n"


def machine(versions, medians, base=BASE):
    """Where, when and what; `medians` says of what they are, `base` what the ratios are to."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    load = os.getloadavg()[0]
    return (
        f"{datetime.date.today()}; {os.cpu_count()} cores ({model[1].strip() if model else platform.machine()}), Linux"
        f" {platform.release()}, load at the end {load:.1f}. {'; '.join(versions)}.\n"
        f"Medians of {medians}; in brackets the ratio to {base}.\n"
    )


def write(path, text, begin=BEGIN, end=END):
    """Puts `text` between the marks; the words around them are written by hand."""
    readme = path.read_text()
    before, rest = readme.split(begin, 1)
    _, after = rest.split(end, 1)
    path.write_text(f"{before}{begin}\n{text}{end}{after}")
