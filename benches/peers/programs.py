"""The programs that are compared: found, built where they must be, and put where the user who runs them can read them."""

import pathlib
import resource
import shutil
import subprocess
import sys

from proxies import FLOOR, TOP

HERE = pathlib.Path(__file__).resolve().parent
PGHERD = str(TOP / "target/release/pgherd")


def find(only, pgherd):
    """{name: program}; those that `only` (beginnings of names, by commas) leaves out are not asked for."""
    found = {}
    if begins("PgBouncer", only):
        built = subprocess.run([HERE / "pgbouncer.sh"], stdout=subprocess.PIPE, text=True, check=True)
        found["PgBouncer"] = built.stdout.strip()
    if begins("PgPool-II", only):
        found["PgPool-II"] = shutil.which("pgpool") or sys.exit("PgPool-II is missing: scripts/setup.sh peers")
    if begins(FLOOR, only):
        found[FLOOR] = compiled_floor()
    if begins("pgherd", only):
        if not pathlib.Path(pgherd).exists():
            sys.exit(f"{pgherd} is missing: cargo build --release")
        found["pgherd"] = pgherd
    return found


def begins(name, prefixes):
    """Whether the name begins with one of those by commas; with none given, it does."""
    prefixes = [prefix.strip().lower() for prefix in prefixes.split(",") if prefix.strip()]
    return not prefixes or any(name.lower().startswith(prefix) for prefix in prefixes)


def compiled_floor():
    source, relay = HERE / "floor/relay.c", TOP / "target/peers/relay"
    relay.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-Wall", "-o", relay, source], check=True)
    return str(relay)


def readable_by_all(found, folder):
    """The peers run as user postgres when we are root: what lies below a private folder is copied out of it."""
    return {name: readable(program, folder) for name, program in found.items()}


def readable(program, folder):
    if all(parent.stat().st_mode & 0o001 for parent in pathlib.Path(program).resolve().parents):
        return program
    return shutil.copy(program, folder / f"{pathlib.Path(program).name}-program")


def versions(cluster, found):
    return [version(cluster.bin / "postgres"), *(version(program) for name, program in found.items() if name != FLOOR)]


def version(program):
    asked = subprocess.run([program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return asked.stdout.strip().splitlines()[0]


def raise_file_limit():
    """Thousands of clients are to come."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
