"""What pgherd is to reach, and what it does: ratios, mostly to PgBouncer, as the first table of the results."""

from proxies import FLOOR

BASE = "PgBouncer"
OFF, ON, TWO = "pgherd", "pgherd, splitting", "pgherd, two workers"
# (what, workload, key, at most: splitting off, on). Ratios to PgBouncer of the same run.
AT_MOST = (
    ("CPU, `-S` prepared, 16 clients", "S prepared 16", "cpu", 0.85, 0.90),
    ("CPU, `-S` simple, 16 clients", "S simple 16", "cpu", 0.95, 1.00),
    ("CPU, `-S` extended, 16 clients", "S extended 16", "cpu", 0.95, 1.00),
    ("CPU, `-S` prepared, 1 client", "S prepared 1", "cpu", 0.95, 1.00),
    ("CPU, `-S` simple, 1 client", "S simple 1", "cpu", 0.95, 1.00),
    ("CPU, `-S` prepared, 64 clients", "S prepared 64", "cpu", 0.85, 0.90),
    ("CPU, `-S` prepared, 256 clients", "S prepared 256", "cpu", 0.85, 0.90),
    ("CPU, `-N` prepared, 16 clients", "N prepared 16", "cpu", 0.85, 0.90),
    ("CPU, pipeline of 50, 16 clients", "pipeline 16", "cpu", 0.60, 0.70),
    ("CPU, a large result, per GB", "result", "cpu", 0.40, 0.40),
    ("CPU, connect + query + close, trust", "connect 8", "cpu", 1.00, 1.00),
    ("CPU, connect + query + close, SCRAM", "connect SCRAM 8", "cpu", 1.00, 1.00),
    ("memory per idle client", "idle", "kb_per_client", 2.00, 2.00),
    ("p99 latency, 16 clients", "latency", "p99", 1.00, 1.00),
)
TO_FLOOR = ("CPU, `-S` prepared, 16 clients, to the floor", "S prepared 16", "cpu", 1.15)
TPS_64 = ("transactions a second, 64 clients, two workers", "S prepared 64", "tps", 1.30)


def rows(median_of):
    """(what, wanted off, is, wanted on, is), texts. `median_of(workload, proxy, key)`; what was not measured is left out."""

    def ratio(workload, key, one, other):
        value, base = median_of(workload, one, key), median_of(workload, other, key)
        return value / base if value is not None and base else None

    lines = []
    for what, workload, key, off, on in AT_MOST:
        is_off, is_on = (ratio(workload, key, each, BASE) for each in (OFF, ON))
        lines.append((what, f"≤ {off:.2f}", shown(is_off, off), f"≤ {on:.2f}", shown(is_on, on)))
    what, workload, key, bound = TO_FLOOR
    is_off, is_on = (ratio(workload, key, each, FLOOR) for each in (OFF, ON))
    lines.append((what, f"≤ {bound:.2f}", shown(is_off, bound), "", shown(is_on, None)))
    what, workload, key, bound = TPS_64
    is_two = ratio(workload, key, TWO, BASE)
    lines.append((what, f"≥ {bound:.2f}", shown(is_two and -is_two, -bound), "", ""))
    return [line for line in lines if line[2] or line[4]]


def shown(ratio, most):
    """The ratio; in bold when it is missed. A negative one means: at least."""
    if ratio is None:
        return ""
    text = f"{abs(ratio):.2f}"
    return f"**{text}**" if most is not None and round(ratio, 2) > most else text
