"""One running proxy: started, waited for, stopped; and what of the work it takes part in."""

import os
import pathlib
import re
import signal
import subprocess
import time

from cluster import free_ports, say
from wire import Client


class Proxy:
    """`name` is its row in the table; `pid` the root of its processes, None for direct."""

    pid = None
    # What clients have to prove themselves by, None for trust.
    password = None
    # The same proxy once more, whose clients log in with a password: for the SCRAM column alone.
    scram = None
    # More clients at once it is not given; and of the memory measurement as many idle ones, 0 for none.
    max_clients = 100_000
    idle_clients = 10_000
    # Its processes wait for clients: what they take counts, although they were there before.
    forks_ahead = False
    # The loads it takes part in, None for all; and whether the bulk (large result, latency, memory, shares) is one.
    only = None
    bulk = True

    def __init__(self, name, cluster):
        self.name = name
        self.cluster = cluster
        self.folder = cluster.folder / re.sub(r"\W+", "-", name)
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.port = free_ports(1)[0]
        self.process = None

    def takes(self, name, load):
        """Whether it takes part in a load of that name."""
        if self.only is not None and name not in self.only:
            return False
        return load.clients <= self.max_clients and (not load.scram or self.scram is not None)

    def launch(self, command, stop_signal=signal.SIGTERM):
        self.stop_signal = stop_signal
        log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
        self.pid = self.process.pid
        self._await_ready()
        # `runuser` stays as the parent of what it runs.
        if command[0] == "runuser":
            self.pid = int(children(self.pid)[0])
        say(f"{self.name}: up on port {self.port}")

    def pgbench(self, *arguments, limit=120):
        """pgbench through this proxy; its output. `limit`: seconds after which it is given up."""
        environment = {"PGPASSWORD": self.password} if self.password else {}
        return self.cluster.run("pgbench", *self._pgbench(arguments), environment=environment, limit=limit)

    def pgbench_command(self, *arguments, limit=120):
        """The same, to be run by the caller."""
        return self.cluster.command("pgbench", *self._pgbench(arguments), limit=limit)

    def stop(self):
        if self.scram:
            self.scram.stop()
        if self.process is None or self.process.poll() is not None:
            return
        os.kill(self.pid, self.stop_signal)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait()

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def _await_ready(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                self._log_in()
                return
            except (OSError, RuntimeError) as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    log = (self.folder / "log").read_text(errors="replace")[-2000:]
                    self.stop()
                    raise RuntimeError(f"{self.name} did not start ({error}):\n{log}") from error
                time.sleep(0.1)

    def _pgbench(self, arguments):
        return ["-n", *arguments, "-h", "127.0.0.1", "-p", self.port, "-U", "bench", "bench"]

    def _log_in(self):
        if not self.password:
            return Client(self.port).close()
        address = f"host=127.0.0.1 port={self.port} user=bench dbname=bench password={self.password}"
        return self.cluster.run("psql", "-Xq", "-c", "SELECT 1", address, limit=10)


def children(pid):
    """The direct children of a process, as text. Those of all its threads: a thread may fork."""
    found = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        found += path.read_text().split()
    return found
