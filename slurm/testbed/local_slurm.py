"""The cluster in its directory: configuration, daemons, accounts, and the processes of all that."""

# ruff: noqa: S603 - starting programs with arguments made here is the whole purpose
from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from string import Template

PORTS = ("slurmctld_port", "slurmdbd_port", "n1_port", "n2_port")
NODES = ("n1", "n2")
START_SECONDS, STOP_SECONDS = 30.0, 15.0


class TestbedError(Exception):
    """Something the caller can act on."""


class Cluster:
    """The testbed in directory ``state``, running or not.

    Attributes:
        conf: what ``SLURM_CONF`` names.
        munge_socket: of the private munged.
        export: shell line that makes the Slurm commands talk to this cluster.
        environment: of daemons and commands. slurmdbd finds the database by MYSQL_UNIX_PORT.
        daemons: what to run, in the order they start, each in the foreground of its own session;
            and a command that succeeds once it answers.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.conf = state / "slurm.conf"
        self.munge_socket = state / "munge.socket"
        database_socket = state / "mariadb.socket"
        self.export = f"export SLURM_CONF={self.conf}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "MYSQL"))}
        self.environment = inherited | {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin",
            "SLURM_CONF": str(self.conf),
            "MYSQL_UNIX_PORT": str(database_socket),
        }
        munge = [
            "munged",
            "--foreground",
            f"--key-file={state / 'munge.key'}",
            f"--socket={self.munge_socket}",
            f"--pid-file={state / 'munged.pid'}",
            f"--seed-file={state / 'munge.seed'}",
            f"--log-file={state / 'log' / 'munged.log'}",
        ]
        database = [
            "mariadbd",
            "--no-defaults",
            "--user=root",
            f"--datadir={state / 'database'}",
            f"--socket={database_socket}",
            f"--pid-file={state / 'mariadb.pid'}",
            "--skip-networking",
            # what slurmdbd asks for, in small
            "--innodb-buffer-pool-size=64M",
            "--innodb-lock-wait-timeout=900",
            # a crash may lose what nobody keeps
            "--innodb-flush-log-at-trx-commit=0",
        ]
        self.daemons: dict[str, tuple[list[str], list[str]]] = {
            "munged": (munge, ["munge", "-n", "-S", str(self.munge_socket)]),
            "mariadbd": (database, ["mariadb-admin", "--no-defaults", "ping"]),
            "slurmdbd": (["slurmdbd", "-D"], ["sacctmgr", "-n", "show", "qos"]),
            "slurmctld": (["slurmctld", "-D"], ["scontrol", "ping"]),
            # whether the nodes answer is asked once, for all of them
            **{f"slurmd-{node}": (["slurmd", "-D", "-N", node], ["true"]) for node in NODES},
        }

    def ask(self, *command: str) -> str | None:
        """Output of a command, or None when it fails or hangs."""
        try:
            done = subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=20
            )
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def do(self, *command: str) -> None:
        """Run a command that must succeed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise TestbedError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")

    def running(self, name: str) -> int | None:
        """Process id of a daemon, None when it does not run."""
        try:
            pid, started = (self.state / "pid" / name).read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def is_up(self) -> bool:
        """True when every daemon runs and every node takes jobs."""
        return all(map(self.running, self.daemons)) and self.nodes_in(
            {"idle", "mixed", "allocated", "completing"}
        )

    def nodes_in(self, states: set[str]) -> bool:
        """True when the state of every node is one of ``states``."""
        found = (self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%T") or "").split()
        return len(found) == len(NODES) and set(found) <= states


def prepare(cluster: Cluster) -> None:
    """Make the directory, the key, the configuration and an empty database."""
    # Others may reach the munge socket, as munged demands, but list nothing.
    cluster.state.mkdir(mode=0o711, parents=True)
    for name in ("log", "pid", "slurmctld", "slurmd-n1", "slurmd-n2"):
        (cluster.state / name).mkdir(mode=0o700)
    key = cluster.state / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    version = tuple(map(int, re.findall(r"\d+", cluster.ask("slurmctld", "-V") or "")))
    values = free_ports() | {
        "host": socket.gethostname().partition(".")[0],
        "state": str(cluster.state),
        "munge_socket": str(cluster.munge_socket),
        "cgroup_plugin": "disabled" if version >= (23, 11) else "autodetect",
    }
    for file in Path(__file__).parent.glob("*.conf.in"):
        path = cluster.state / file.stem
        path.touch(mode=0o600)  # slurmdbd insists; the others are root's too
        path.write_text(Template(file.read_text()).substitute(values))
    cluster.do(
        "mariadb-install-db",
        "--no-defaults",
        "--user=root",
        f"--datadir={cluster.state / 'database'}",
        "--auth-root-socket-user=root",
        "--skip-test-db",
    )


def free_ports() -> dict[str, str]:
    """Ports nobody listens on, by name. All are held until the last is found."""
    with ExitStack() as held:
        sockets = {name: held.enter_context(socket.socket()) for name in PORTS}
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        return {name: str(each.getsockname()[1]) for name, each in sockets.items()}


def start(cluster: Cluster, name: str) -> None:
    """Start a daemon, record its process id and start time, and wait until it answers."""
    say(f"starting {name}")
    command, ready = cluster.daemons[name]
    path = cluster.state / "log" / f"{name}.out"
    with path.open("ab") as log:
        process = subprocess.Popen(
            command,
            env=cluster.environment,
            cwd=cluster.state,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # the time, so that a reused id is not mistaken for it
    (cluster.state / "pid" / name).write_text(f"{process.pid} {start_time(process.pid)}\n")
    answers = wait_until(
        lambda: process.poll() is not None or cluster.ask(*ready) is not None, START_SECONDS
    )
    if process.poll() is not None:
        last = path.read_text(errors="replace").splitlines()[-5:]
        raise TestbedError("\n  ".join([f"{name} ended:", *last]))
    if not answers:
        cluster.do(*ready)  # says why


def add_accounts(cluster: Cluster) -> None:
    """Register the cluster, the account ``lab`` and root as its user."""
    cluster.do("sacctmgr", "-i", "add", "cluster", "testbed")
    cluster.do("sacctmgr", "-i", "add", "account", "lab", "cluster=testbed")
    cluster.do("sacctmgr", "-i", "add", "user", "root", "account=lab")
    cluster.do("sacctmgr", "-i", "modify", "user", "root", "set", "defaultaccount=lab")


def start_time(pid: int) -> str | None:
    """Start time of a live process in clock ticks since boot, as the kernel writes it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def of_jobs(cluster: Cluster) -> list[int]:
    """Step managers of Slurm, and whatever was started inside a job, of one cluster.

    A step manager leaves slurmd's process tree and overwrites its environment, but keeps files of
    the cluster open; its children carry the cluster and their job in the environment.
    """
    mine = f"SLURM_CONF={cluster.conf}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended while we looked
            variables = (process / "environ").read_bytes().split(b"\0")
            in_job = mine in variables and any(v.startswith(b"SLURM_JOB_ID=") for v in variables)
            step = (process / "comm").read_text().strip() == "slurmstepd"
            links = [process / "cwd", *(process / "fd").iterdir()] if step else []
            if in_job or any(link.readlink().is_relative_to(cluster.state) for link in links):
                found.append(int(process.name))
    return found


def kill(pids: Iterable[int]) -> None:
    """Kill processes and wait until they are gone."""
    pids = list(pids)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not wait_until(lambda: not any(map(start_time, pids)), STOP_SECONDS):
        raise TestbedError(f"processes {pids} do not end after SIGKILL")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll ``condition``; False when it is still false after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def say(message: str) -> None:
    """Report progress. Standard output is for the shell line alone."""
    print(f"testbed: {message}", file=sys.stderr)
