"""The cluster in its directory: configuration, daemons, accounts, and the processes of all that."""

# ruff: noqa: S603 - starting programs with arguments made here is the whole purpose
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
    """The testbed in directory ``state``, running or not."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.conf = state / "slurm.conf"
        self.munge_socket = state / "munge.socket"
        self.export = f"export SLURM_CONF={self.conf}"  # by this a shell's commands talk to it
        database_socket = state / "mariadb.socket"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "MYSQL"))}
        self.environment = inherited | {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin",
            "SLURM_CONF": str(self.conf),
            "MYSQL_UNIX_PORT": str(database_socket),  # by which slurmdbd finds the database
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
        # what to run, in the order they start, each in the foreground of its own session; and a
        # command that succeeds once it answers
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
            return self.do(*command, timeout=20)
        except (TestbedError, subprocess.TimeoutExpired, FileNotFoundError):
            return None

    def do(self, *command: str, timeout: float | None = None) -> str:
        """Output of a command that must succeed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout
        )
        if done.returncode != 0:
            raise TestbedError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def running(self, name: str) -> int | None:
        """Process id of a daemon, None when it does not run."""
        try:
            pid, started = (self.state / "pid" / name).read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def is_up(self) -> bool:
        """True when every daemon runs and every node takes jobs."""
        good = {"idle", "mixed", "allocated", "completing"}
        return all(map(self.running, self.daemons)) and self.nodes_in(good)

    def nodes_in(self, states: set[str]) -> bool:
        """True when the state of every node is one of ``states``."""
        found = (self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%T") or "").split()
        return len(found) == len(NODES) and set(found) <= states

    def prepare(self) -> None:
        """Make the directory, the key, the configuration and an empty database."""
        # Others may reach the munge socket, as munged demands, but list nothing.
        self.state.mkdir(mode=0o711, parents=True)
        for name in ("log", "pid", "slurmctld", "slurmd-n1", "slurmd-n2"):
            (self.state / name).mkdir(mode=0o700)
        key = self.state / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        version = tuple(map(int, re.findall(r"\d+", self.ask("slurmctld", "-V") or "")))
        with ExitStack() as held:  # all ports are held until the last is found
            sockets = {name: held.enter_context(socket.socket()) for name in PORTS}
            for each in sockets.values():
                each.bind(("127.0.0.1", 0))
            ports = {name: str(each.getsockname()[1]) for name, each in sockets.items()}
        values = ports | {
            "host": socket.gethostname().partition(".")[0],
            "state": str(self.state),
            "munge_socket": str(self.munge_socket),
            "cgroup_plugin": "disabled" if version >= (23, 11) else "autodetect",
        }
        for file in Path(__file__).parent.glob("*.conf.in"):
            path = self.state / file.stem
            path.touch(mode=0o600)  # slurmdbd insists; the others are root's too
            path.write_text(Template(file.read_text()).substitute(values))
        self.do(
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            f"--datadir={self.state / 'database'}",
            "--auth-root-socket-user=root",
            "--skip-test-db",
        )

    def start(self, name: str) -> None:
        """Start a daemon, record its process id and start time, and wait until it answers."""
        say(f"starting {name}")
        command, ready = self.daemons[name]
        path = self.state / "log" / f"{name}.out"
        with path.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment,
                cwd=self.state,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # the time, so that a reused id is not mistaken for it
        (self.state / "pid" / name).write_text(f"{process.pid} {start_time(process.pid)}\n")
        answers = wait_until(
            lambda: process.poll() is not None or self.ask(*ready) is not None, START_SECONDS
        )
        if process.poll() is not None:
            last = path.read_text(errors="replace").splitlines()[-5:]
            raise TestbedError("\n  ".join([f"{name} ended:", *last]))
        if not answers:
            self.do(*ready)  # says why

    def add_accounts(self) -> None:
        """Register the cluster, the account ``lab`` and root as its user."""
        self.do("sacctmgr", "-i", "add", "cluster", "testbed")
        self.do("sacctmgr", "-i", "add", "account", "lab", "cluster=testbed")
        self.do("sacctmgr", "-i", "add", "user", "root", "account=lab")
        self.do("sacctmgr", "-i", "modify", "user", "root", "set", "defaultaccount=lab")

    def job_processes(self) -> list[int]:
        """Step managers of Slurm, and whatever was started inside a job, of one cluster.

        A step manager leaves slurmd's process tree and overwrites its environment, but keeps files
        of the cluster open; its children carry the cluster and their job in the environment.
        """
        mine = f"\0SLURM_CONF={self.conf}\0".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended while we looked
                environment = b"\0" + (process / "environ").read_bytes()
                in_job = mine in environment and b"\0SLURM_JOB_ID=" in environment
                step = (process / "comm").read_text().strip() == "slurmstepd"
                links = [process / "cwd", *(process / "fd").iterdir()] if step else []
                if in_job or any(link.readlink().is_relative_to(self.state) for link in links):
                    found.append(int(process.name))
        return found


def start_time(pid: int) -> str | None:
    """Start time of a live process in clock ticks since boot, as the kernel writes it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


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
