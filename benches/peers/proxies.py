"""The proxies under test, each with the configuration that compares: transaction pooling where there is any, pool of 20,
trust, plain TCP, prepared statements on, logging off."""

import os
import pathlib
import re
import signal
import subprocess
import time

from cluster import as_postgres, free_ports, say
from wire import Client

TOP = pathlib.Path(__file__).resolve().parents[2]
POOL = 20


class Proxy:
    """One running proxy. `name` is its row in the table; `pid` the root of its processes, None for direct."""

    pid = None
    # Idle clients of the memory measurement.
    idle_clients = 1000
    # Its processes wait for clients: what they take counts, although they were there before.
    forks_ahead = False

    def __init__(self, name, cluster):
        self.name = name
        self.cluster = cluster
        self.folder = cluster.folder / re.sub(r"\W+", "-", name)
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.port = free_ports(1)[0]
        self.process = None

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

    def _await_ready(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                Client(self.port).close()
                return
            except (OSError, ConnectionError) as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    log = (self.folder / "log").read_text(errors="replace")[-2000:]
                    self.stop()
                    raise RuntimeError(f"{self.name} did not start ({error}):\n{log}") from error
                time.sleep(0.1)

    def stop(self):
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


def direct(cluster):
    """No proxy: the ceiling."""
    proxy = Proxy("direct", cluster)
    proxy.port = cluster.ports[0]
    return proxy


def pgbouncer(cluster, program):
    proxy = Proxy("PgBouncer", cluster)
    users = proxy.write("users.txt", '"bench" ""\n')
    config = proxy.write("pgbouncer.ini", f"""
[databases]
* = host=127.0.0.1 port={cluster.ports[0]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {proxy.port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {POOL}
max_client_conn = 3000
max_prepared_statements = 200
log_connections = 0
log_disconnections = 0
log_stats = 0
""")
    proxy.launch(as_postgres([program, "-q", str(config)]), signal.SIGINT)
    return proxy


def pgpool(cluster, program, split):
    proxy = Proxy("PgPool-II, splitting" if split else "PgPool-II", cluster)
    # A process a client: more of them would be memory measured for its own sake.
    proxy.idle_clients = 200
    proxy.forks_ahead = True
    nodes = cluster.ports if split else cluster.ports[:1]
    backends = "".join(
        f"backend_hostname{i} = '127.0.0.1'\nbackend_port{i} = {port}\nbackend_weight{i} = {int(i > 0 or not split)}\n"
        f"backend_flag{i} = 'DISALLOW_TO_FAILOVER'\n"
        for i, port in enumerate(nodes)
    )
    hba = proxy.write("pool_hba.conf", "local all all trust\nhost all all 127.0.0.1/32 trust\n")
    pcp = proxy.write("pcp.conf", "")
    config = proxy.write("pgpool.conf", f"""
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = {proxy.port}
unix_socket_directories = '{proxy.folder}'
socket_dir = '{proxy.folder}'
pcp_socket_dir = '{proxy.folder}'
pcp_port = {free_ports(1)[0]}
{backends}
num_init_children = 210
max_pool = 1
enable_pool_hba = off
load_balance_mode = {'on' if split else 'off'}
sr_check_user = 'bench'
sr_check_database = 'bench'
health_check_period = 0
pid_file_name = '{proxy.folder}/pid'
logdir = '{proxy.folder}'
memory_cache_enabled = off
log_min_messages = error
""")
    proxy.launch(as_postgres([program, "-n", "-f", str(config), "-F", str(pcp), "-a", str(hba)]), signal.SIGINT)
    return proxy


def pgherd(cluster, program, split, workers):
    proxy = Proxy("pgherd, splitting" if split else "pgherd", cluster)
    nodes = "".join(
        f'[[node]]\nname = "pg{i + 1}"\nhost = "127.0.0.1"\nport = {port}\nmax_servers = 90\n'
        for i, port in enumerate(cluster.ports)
    )
    config = proxy.write("proxy.toml", f"""
workers = {workers}
{nodes}
[listen]
host = "127.0.0.1"
port = {proxy.port}
[pool]
mode = "transaction"
size = {POOL}
[routing]
split = {str(split).lower()}
[monitor]
user = "bench"
database = "bench"
[auth]
method = "trust"
lookup = false
[[user]]
name = "bench"
password = ""
[limits]
max_clients = 3000
[http]
enabled = false
[log]
level = "warn"
""")
    proxy.launch(as_postgres([program, "run", "--config", str(config)]))
    time.sleep(2)  # the monitor's first look at all nodes
    return proxy


def children(pid):
    """The direct children of a process, as text. Those of all its threads: a thread may fork."""
    found = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        found += path.read_text().split()
    return found
