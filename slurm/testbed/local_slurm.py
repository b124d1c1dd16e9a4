"""The cluster in its directory: paths, configuration, daemons, accounts."""

# ruff: noqa: S603 - starting programs with arguments made here is the whole purpose
from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from string import Template

from processes import TestbedError, start_time, wait_until

PORTS = ("slurmctld_port", "slurmdbd_port", "n1_port", "n2_port")
NODES = ("n1", "n2")
START_SECONDS = 30.0


@dataclass(frozen=True)
class Daemon:
    """A process of the cluster, run in the foreground of its own session."""

    name: str
    command: list[str]
    ready: tuple[str, ...]  # command that succeeds once the daemon answers


@dataclass(frozen=True)
class Cluster:
    """The testbed in directory ``state``, running or not."""

    state: Path

    @property
    def conf(self) -> Path:
        """What ``SLURM_CONF`` names."""
        return self.state / "slurm.conf"

    @property
    def munge_socket(self) -> Path:
        """Socket of the private munged."""
        return self.state / "munge.socket"

    @property
    def database_socket(self) -> Path:
        """Socket of the private MariaDB, which listens on no port."""
        return self.state / "mariadb.socket"

    @property
    def export(self) -> str:
        """Shell line that makes the Slurm commands talk to this cluster."""
        return f"export SLURM_CONF={self.conf}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment of daemons and commands. slurmdbd finds the database by MYSQL_UNIX_PORT."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "MYSQL"))}
        return inherited | {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin",
            "SLURM_CONF": str(self.conf),
            "MYSQL_UNIX_PORT": str(self.database_socket),
        }

    @property
    def version(self) -> tuple[int, int]:
        """Version of Slurm, such as 22, 5."""
        major, minor = (self.ask("slurmctld", "-V") or "0.0").split()[-1].split(".")[:2]
        return int(major), int(minor)

    def log(self, name: str) -> Path:
        """Standard output and error of a daemon or command."""
        return self.state / "log" / f"{name}.out"

    def pid_file(self, name: str) -> Path:
        """Process id and start time of a daemon, so that a reused id is not mistaken for it."""
        return self.state / "pid" / name

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
            pid, started = self.pid_file(name).read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def names(self) -> list[str]:
        """Daemons in the order they start."""
        return ["munged", "mariadbd", "slurmdbd", "slurmctld", *(f"slurmd-{n}" for n in NODES)]

    def is_up(self) -> bool:
        """True when every daemon runs and every node takes jobs."""
        if not all(self.running(name) for name in self.names()):
            return False
        return self.nodes_in({"idle", "mixed", "allocated", "completing"})

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
    values = free_ports() | {
        "host": socket.gethostname().partition(".")[0],
        "state": str(cluster.state),
        "munge_socket": str(cluster.munge_socket),
        "cgroup_plugin": "disabled" if cluster.version >= (23, 11) else "autodetect",
    }
    for file in Path(__file__).parent.glob("*.conf.in"):
        template = file.read_text()
        path = cluster.state / file.stem
        path.touch(mode=0o600)  # slurmdbd insists; the others are root's too
        path.write_text(Template(template).substitute(values))
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


def daemons(cluster: Cluster) -> list[Daemon]:
    """All daemons in the order they start."""
    state = cluster.state
    munge = [
        "munged",
        "--foreground",
        f"--key-file={state / 'munge.key'}",
        f"--socket={cluster.munge_socket}",
        f"--pid-file={state / 'munged.pid'}",
        f"--seed-file={state / 'munge.seed'}",
        f"--log-file={state / 'log' / 'munged.log'}",
    ]
    database = [
        "mariadbd",
        "--no-defaults",
        "--user=root",
        f"--datadir={state / 'database'}",
        f"--socket={cluster.database_socket}",
        f"--pid-file={state / 'mariadb.pid'}",
        "--skip-networking",
        # what slurmdbd asks for, in small
        "--innodb-buffer-pool-size=64M",
        "--innodb-lock-wait-timeout=900",
        # a crash may lose what nobody keeps
        "--innodb-flush-log-at-trx-commit=0",
    ]
    return [
        Daemon("munged", munge, ("munge", "-n", "-S", str(cluster.munge_socket))),
        Daemon("mariadbd", database, ("mariadb-admin", "--no-defaults", "ping")),
        Daemon("slurmdbd", ["slurmdbd", "-D"], ("sacctmgr", "-n", "show", "qos")),
        Daemon("slurmctld", ["slurmctld", "-D"], ("scontrol", "ping")),
        # whether the nodes answer is asked once, for all of them
        *(Daemon(f"slurmd-{node}", ["slurmd", "-D", "-N", node], ("true",)) for node in NODES),
    ]


def add_accounts(cluster: Cluster) -> None:
    """Register the cluster, the account ``lab`` and root as its user."""
    cluster.do("sacctmgr", "-i", "add", "cluster", "testbed")
    cluster.do("sacctmgr", "-i", "add", "account", "lab", "cluster=testbed")
    cluster.do("sacctmgr", "-i", "add", "user", "root", "account=lab")
    cluster.do("sacctmgr", "-i", "modify", "user", "root", "set", "defaultaccount=lab")


def start(cluster: Cluster, daemon: Daemon) -> None:
    """Start a daemon, record its process id and wait until it answers."""
    say(f"starting {daemon.name}")
    with cluster.log(daemon.name).open("ab") as log:
        process = subprocess.Popen(
            daemon.command,
            env=cluster.environment,
            cwd=cluster.state,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    cluster.pid_file(daemon.name).write_text(f"{process.pid} {start_time(process.pid)}\n")
    answers = wait_until(
        lambda: process.poll() is not None or cluster.ask(*daemon.ready) is not None, START_SECONDS
    )
    if process.poll() is not None:
        last = cluster.log(daemon.name).read_text(errors="replace").splitlines()[-5:]
        raise TestbedError("\n  ".join([f"{daemon.name} ended:", *last]))
    if not answers:
        cluster.do(*daemon.ready)  # says why


def say(message: str) -> None:
    """Report progress. Standard output is for the shell line alone."""
    print(f"testbed: {message}", file=sys.stderr)
