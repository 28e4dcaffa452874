"""What pgbench is told to do through every proxy. The order is that of the tables' columns."""

import dataclasses

PIPELINE = 50


@dataclasses.dataclass(frozen=True)
class Load:
    # What pgbench is told, and how many clients.
    arguments: tuple
    clients: int
    # A script of its own; it lies in the cluster's folder.
    script: str = ""
    # The clients log in with a password.
    scram: bool = False

    def command(self, folder):
        """pgbench's arguments, all but the time."""
        threads = 1 if self.clients == 1 else 2
        return [*self.arguments, *self._script(folder), "-c", self.clients, "-j", threads]

    def _script(self, folder):
        if not self.script:
            return []
        path = folder / "script.sql"
        path.write_text(self.script)
        return ["-f", path]


def reads(mode, clients):
    return Load(("-S", "-M", mode), clients)


def pipeline(clients):
    one = "\\set aid random(1, 100000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
    return Load(("-M", "prepared"), clients, f"\\startpipeline\n{one * PIPELINE}\\endpipeline\n")


LOADS = {
    **{f"S {mode} {n}": reads(mode, n) for mode in ("simple", "extended", "prepared") for n in (1, 16, 64)},
    "S prepared 256": reads("prepared", 256),
    "N prepared 16": Load(("-N", "-M", "prepared"), 16),
    "pipeline 1": pipeline(1),
    "pipeline 16": pipeline(16),
    "connect 8": Load(("-S", "-C"), 8),
    "connect SCRAM 8": Load(("-S", "-C"), 8, scram=True),
}
QUICK = ("S simple 16", "S prepared 16", "N prepared 16", "pipeline 16", "connect 8", "connect SCRAM 8")
# Of the row with two workers: throughput, where one process is all that PgBouncer has.
TWO_WORKERS = ("S simple 64", "S extended 64", "S prepared 64")
# What latency is measured of.
LATENCY = "S prepared 16"
