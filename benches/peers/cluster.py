"""A PostgreSQL cluster on free loopback ports: primary, standby, cascading standby; or as many standbys of the primary as are
wanted. Trust, plain TCP."""

import glob
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

# Not durable: the proxies are compared, not the disk.
SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 2000
shared_buffers = 256MB
fsync = off
synchronous_commit = off
max_wal_size = 4GB
checkpoint_timeout = 30min
autovacuum = off
wal_keep_size = 512MB
jit = off
log_min_messages = fatal
"""

HBA = """
local all,replication all trust
host all,replication all 127.0.0.1/32 trust
"""


class Cluster:
    """Everything lives in `folder`; `stop` stops the nodes and removes it."""

    def __init__(self, scale, result_mb, nodes=3, settings=""):
        self.bin = postgres_bin()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pgherd-bench-"))
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        self.folder.chmod(0o755)
        self.ports = free_ports(nodes)
        try:
            self._start(scale, result_mb, settings)
            if nodes == 3:
                self._add_cascade()
            else:
                self._add_standbys()
        except BaseException:
            self.stop()
            raise

    def _start(self, scale, result_mb, settings):
        say(f"cluster: {len(self.ports)} nodes of PostgreSQL in {self.folder}")
        primary = self.folder / "pg1"
        self.run("initdb", "-D", primary, "-U", "bench", "--auth=trust", "--no-sync")
        (primary / "pg_hba.conf").write_text(HBA)
        with open(primary / "postgresql.conf", "a") as conf:
            conf.write(SETTINGS + settings + f"\nunix_socket_directories = '{self.folder}'\n")
        self._start_node(1)
        self.sql("CREATE DATABASE bench", database="postgres")
        say(f"cluster: pgbench scale {scale}, a table of {result_mb} MB")
        self.run("pgbench", "-i", "-q", "-s", scale, *self.address(0))
        # 100 bytes a row as COPY sends it, the newline included.
        rows = f"SELECT repeat(md5(i::text), 3) || 'abc' AS line FROM generate_series(1, {result_mb * 10_000}) i"
        for statement in (f"CREATE TABLE big AS {rows}", "VACUUM ANALYZE", "CHECKPOINT"):
            self.sql(statement)

    def _add_cascade(self):
        for number in (2, 3):
            self._base_backup(number, upstream=number - 1)
            self._start_node(number)

    def _add_standbys(self):
        """All of one base backup: they differ in name and port only."""
        for number in range(2, len(self.ports) + 1):
            node = self.folder / f"pg{number}"
            if number == 2:
                self._base_backup(2, upstream=1)
                subprocess.run(["cp", "-a", node, self.folder / "backup"], check=True)
            else:
                subprocess.run(["cp", "-a", self.folder / "backup", node], check=True)
                conf = node / "postgresql.auto.conf"
                conf.write_text(conf.read_text().replace("application_name=pg2", f"application_name=pg{number}"))
        for number in range(2, len(self.ports) + 1):
            self._start_node(number)

    def _base_backup(self, number, upstream):
        conninfo = f"host=127.0.0.1 port={self.ports[upstream - 1]} user=bench application_name=pg{number}"
        node = self.folder / f"pg{number}"
        self.run("pg_basebackup", "-D", node, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", conninfo)

    def _start_node(self, number):
        options = f"-p {self.ports[number - 1]} -c cluster_name=pg{number}"
        log = self.folder / f"pg{number}.log"
        self.run("pg_ctl", "-D", self.folder / f"pg{number}", "-l", log, "-w", "-o", options, "start")

    def stop(self):
        for number in range(len(self.ports), 0, -1):
            node = self.folder / f"pg{number}"
            if (node / "postmaster.pid").exists():
                self.run("pg_ctl", "-D", node, "-m", "immediate", "-w", "stop", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program, *arguments, check=True, environment=None, limit=600):
        """A program of PostgreSQL's, as its user. Its output, or an error that shows it. `limit`: seconds it may take."""
        done = subprocess.run(
            self.command(program, *arguments, limit=limit), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder,
            env={**os.environ, **(environment or {})},
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{program} failed ({done.returncode}):\n{done.stdout}")
        return done.stdout

    def command(self, program, *arguments, limit=600):
        return as_postgres(["timeout", str(limit), str(self.bin / program), *map(str, arguments)])

    def sql(self, text, node=0, database="bench"):
        address = ("-h", "127.0.0.1", "-p", self.ports[node], "-U", "bench", "-d", database)
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *address, "-c", text).strip()

    def address(self, node):
        return ("-h", "127.0.0.1", "-p", self.ports[node], "-U", "bench", "bench")


def postgres_bin():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
    initdb = found[-1] if found else shutil.which("initdb")
    if not initdb:
        raise SystemExit("PostgreSQL is missing: scripts/setup.sh postgres")
    return pathlib.Path(initdb).parent


def as_postgres(command):
    """PostgreSQL, and the peers, refuse to run as root. As many files as allowed: a thousand clients are to come."""
    unlimited = ["sh", "-c", 'ulimit -n "$(ulimit -Hn)"; exec "$0" "$@"', *command]
    return ["runuser", "-u", "postgres", "--", *unlimited] if os.getuid() == 0 else unlimited


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def say(text):
    print(text, flush=True)
