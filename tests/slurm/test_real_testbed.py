"""The test cluster itself: it starts beside another, and leaves nothing."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inr.storage.provenance import ROOT
from tests.helpers.slurm.commands import wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("running_cluster")]


def use_testbed(directory: Path, word: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"INR_TESTBED_DIR": str(directory)}
    script = ROOT / "slurm" / "testbed" / "testbed"
    return subprocess.run([script, word], env=environment, capture_output=True, text=True)


@pytest.fixture
def second_testbed() -> Iterator[Path]:
    # not in tmp_path: munge wants a directory that others may enter
    directory = Path(tempfile.gettempdir()) / f"inr-testbed.test-{os.getpid()}"
    yield directory
    use_testbed(directory, "down")


def test_testbed_starts_beside_another_and_leaves_nothing(second_testbed: Path) -> None:
    first = use_testbed(second_testbed, "up")
    assert first.stdout == f"export SLURM_CONF={second_testbed}/slurm.conf\n", first.stderr
    again = use_testbed(second_testbed, "up")
    assert (again.stdout, again.stderr) == (first.stdout, "testbed: already up\n")
    assert (second_testbed / "slurmdbd.conf").stat().st_mode & 0o777 == 0o600

    environment = os.environ | {"SLURM_CONF": f"{second_testbed}/slurm.conf"}
    job = ["sbatch", "--parsable", "--output=/dev/null", "--wrap", "setsid sleep 987 & sleep 987"]
    subprocess.run(job, env=environment, check=True, capture_output=True)
    wait_for(lambda: len(processes("sleep", "987")) == 2)
    daemons = [file.read_text().split()[0] for file in (second_testbed / "pid").iterdir()]
    assert all(Path("/proc", daemon).exists() for daemon in daemons)

    assert use_testbed(second_testbed, "down").returncode == 0
    assert not second_testbed.exists()
    assert processes("sleep", "987") == []
    assert [daemon for daemon in daemons if is_alive(daemon)] == []
    assert use_testbed(second_testbed, "down").returncode == 0


def test_testbed_replaces_a_broken_one(second_testbed: Path) -> None:
    assert use_testbed(second_testbed, "up").returncode == 0
    controller = (second_testbed / "pid" / "slurmctld").read_text().split()[0]
    os.kill(int(controller), signal.SIGKILL)
    wait_for(lambda: not is_alive(controller))
    assert "up in" in use_testbed(second_testbed, "up").stderr
    assert "already up" in use_testbed(second_testbed, "up").stderr


def test_testbed_removes_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    for word in ("down", "up"):
        refused = use_testbed(tmp_path, word)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "is no testbed of yours" in refused.stderr
    assert (tmp_path / "thesis.tex").exists()


def processes(*words: str) -> list[str]:
    """Ids of live processes with exactly this command line."""
    line = "\0".join(words).encode() + b"\0"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended while we looked
            if (process / "cmdline").read_bytes() == line:
                found.append(process.name)
    return found


def is_alive(process: str) -> bool:
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
