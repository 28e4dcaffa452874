"""The proxies under test, each with the configuration that compares: transaction pooling where there is any, pool of 20,
trust, plain TCP, prepared statements on, logging off."""

import base64
import hashlib
import hmac
import pathlib
import signal
import time

from cluster import as_postgres, free_ports
from proxy import Proxy

TOP = pathlib.Path(__file__).resolve().parents[2]
POOL = 20
MAX_CLIENTS = 11_000
PASSWORD = "bench"
FLOOR = "floor (bare relay)"


def verifier(password):
    """The password as pg_authid has it. With the plain one PgBouncer would derive it anew at each login, some 2 ms."""
    salt = b"0123456789abcdef"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    text = [base64.b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]
    return f"SCRAM-SHA-256$4096:{text[0]}${text[1]}:{text[2]}"


def direct(cluster):
    """No proxy: the ceiling."""
    proxy = Proxy("direct", cluster)
    proxy.port = cluster.ports[0]
    proxy.idle_clients = 0
    return proxy


def floor(cluster, program):
    """The bare relay: one server connection for each client, nothing looked at."""
    proxy = Proxy(FLOOR, cluster)
    proxy.idle_clients = 0
    proxy.launch(as_postgres([program, str(proxy.port), str(cluster.ports[0])]))
    return proxy


def pgbouncer(cluster, program, password=None, name=None, size=POOL, kept=200):
    """With a password its clients log in by SCRAM; towards PostgreSQL it stays trust. `kept`: prepared statements a server."""
    proxy = Proxy(name or ("PgBouncer SCRAM" if password else "PgBouncer"), cluster)
    proxy.password = password
    users = proxy.write("users.txt", f'"bench" "{verifier(password) if password else ""}"\n')
    config = proxy.write("pgbouncer.ini", f"""
[databases]
* = host=127.0.0.1 port={cluster.ports[0]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {proxy.port}
unix_socket_dir =
auth_type = {'scram-sha-256' if password else 'trust'}
auth_file = {users}
pool_mode = transaction
default_pool_size = {size}
max_client_conn = {MAX_CLIENTS}
max_prepared_statements = {kept}
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
    proxy.max_clients = 200
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


def pgherd(cluster, program, split, workers, name=None, password=None, ports=None, size=POOL, kept=500):
    """`ports`: of the nodes it is told of, all unless given; the others as for PgBouncer."""
    proxy = Proxy(name or ("pgherd, splitting" if split else "pgherd"), cluster)
    proxy.password = password
    nodes = "".join(
        f'[[node]]\nname = "pg{i + 1}"\nhost = "127.0.0.1"\nport = {port}\nmax_servers = 90\n'
        for i, port in enumerate(ports or cluster.ports)
    )
    config = proxy.write("proxy.toml", f"""
workers = {workers}
{nodes}
[listen]
host = "127.0.0.1"
port = {proxy.port}
[pool]
mode = "transaction"
size = {size}
prepared_statements = {kept}
[routing]
split = {str(split).lower()}
[monitor]
user = "bench"
database = "bench"
[auth]
method = "{'scram-sha-256' if password else 'trust'}"
lookup = false
[[user]]
name = "bench"
password = "{verifier(password) if password else ''}"
[limits]
max_clients = {MAX_CLIENTS}
[http]
enabled = false
[log]
level = "warn"
""")
    proxy.launch(as_postgres([program, "run", "--config", str(config)]))
    time.sleep(2)  # the monitor's first look at all nodes
    return proxy
