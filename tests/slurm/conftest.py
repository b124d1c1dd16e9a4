"""A sweep to submit; stand-ins for the commands of Slurm, or none; a real cluster."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import index_json
from tests.helpers.slurm.array_launch import entries
from tests.helpers.slurm.commands import ask, jobs, wait_for
from tests.helpers.slurm.fake_slurm import FakeSlurm, install


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path / "a sweep")


@pytest.fixture
def listed(layout: SweepLayout) -> SweepLayout:
    """A sweep with an index, of which nothing was submitted."""
    layout.root.mkdir()
    layout.index.write_text(index_json(layout.name, entries(11)))
    return layout


@pytest.fixture
def no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    return install(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[None]:
    """Skip without SLURM_CONF; fail if the cluster that it names does not answer."""
    if "SLURM_CONF" not in os.environ:
        pytest.skip('no cluster: eval "$(slurm/testbed/testbed up)"')
    if shutil.which("sbatch") is None or subprocess.run(["scontrol", "ping"]).returncode:
        pytest.fail(f"SLURM_CONF={os.environ['SLURM_CONF']}, but this cluster does not answer")
    others = jobs()
    yield
    for job_id in jobs() - others:
        ask("scancel", job_id)


@pytest.fixture
def queue_left_empty() -> Iterator[None]:
    yield
    subprocess.run(["scancel", "--me"], check=True)
    wait_for(lambda: ask("squeue", "-h", "--me") == "")
