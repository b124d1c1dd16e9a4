"""Which code runs is known; the copy kept beside a sweep is what was launched, and what runs."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import inr
from inr.errors import UserError
from inr.storage import provenance
from inr.storage.paths import SweepLayout
from inr.storage.provenance import import_path, snapshot_folder, take_snapshot

ENVIRONMENT_OF_A_NODE = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path / "sweep")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small git checkout in the place of the one that runs."""
    root = tmp_path / "checkout"
    for name in (
        "inr/a.py",
        "jobs/sweeps/b.yaml",
        "postprocess/c.py",
        "slurm/profiles/d.yaml",
        "slurm/testbed/e.py",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    monkeypatch.setattr(provenance, "ROOT", root)
    git(root, "init", "--quiet")
    commit(root)
    return root


def git(root: Path, *words: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", *who, *words], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "x")
    provenance.source.cache_clear()


@pytest.fixture(autouse=True)
def _forget_the_source():
    provenance.source.cache_clear()
    yield
    provenance.source.cache_clear()


def said(folder: Path) -> dict[str, object]:
    return json.loads((folder / "source.json").read_text())


def test_a_process_runs_the_snapshot(layout):
    code = take_snapshot(layout)
    (code / "inr" / "__init__.py").write_text("__version__ = 'of the snapshot'\n")
    script = "import inr, jobs; print(inr.__version__, jobs.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=ENVIRONMENT_OF_A_NODE | {"PYTHONPATH": str(code)},
        cwd=Path(inr.__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"of the snapshot {code / 'jobs' / '__init__.py'}\n", done.stderr


def test_everything_that_runs_is_kept(layout, checkout):
    (checkout / "inr" / "__pycache__").mkdir()
    (checkout / "inr" / "__pycache__" / "a.py").touch()
    (checkout / "README.md").touch()
    code = take_snapshot(layout)
    files = sorted(p.relative_to(code).as_posix() for p in code.rglob("*") if p.is_file())
    assert files == [
        "inr/a.py",
        "jobs/sweeps/b.yaml",
        "postprocess/c.py",
        "slurm/profiles/d.yaml",
        "source.json",
    ]
    assert [path.name for path in layout.code.iterdir()] == [code.name]


def test_same_content_same_folder(layout, checkout):
    first = take_snapshot(layout)
    written = (first / "inr" / "a.py").stat().st_mtime_ns
    assert snapshot_folder(layout) == first
    assert take_snapshot(layout) == first
    assert (first / "inr" / "a.py").stat().st_mtime_ns == written
    (checkout / "inr" / "a.py").write_text("changed")
    provenance.source.cache_clear()
    second = take_snapshot(layout)
    assert second != first
    assert (first / "inr" / "a.py").read_text() == "# inr/a.py\n"


def test_source_tells_commit_and_difference(layout, checkout):
    head = git(checkout, "rev-parse", "HEAD")
    about = said(take_snapshot(layout))
    assert (about["version"], about["commit"], about["dirty"]) == (inr.__version__, head, False)
    assert about["versions"] == provenance.package_versions()
    (checkout / "README.md").write_text("no code")
    (checkout / "jobs" / "sweeps" / "b.yaml").write_text("changed\n")
    (checkout / "inr" / "new.py").write_text("untracked\n")
    provenance.source.cache_clear()
    code = take_snapshot(layout)
    assert (said(code)["commit"], said(code)["dirty"]) == (head, True)
    assert "+changed" in (code / "diff.patch").read_text()
    assert (code / "inr" / "new.py").read_text() == "untracked\n"


def test_snapshot_reports_the_version_it_was_made_from(layout, checkout, monkeypatch):
    (checkout / "inr" / "a.py").write_text("changed")
    provenance.source.cache_clear()
    version = str(provenance.source())
    assert version == f"{inr.__version__}+g{git(checkout, 'rev-parse', 'HEAD')[:12]}-dirty"
    code = take_snapshot(layout)
    monkeypatch.setattr(provenance, "ROOT", code)
    provenance.source.cache_clear()
    assert str(provenance.source()) == version
    assert snapshot_folder(layout) == code  # launched from the snapshot itself


def test_copy_in_somebody_elses_repository_has_no_commit(checkout, monkeypatch):
    (checkout / "site-packages").mkdir()
    monkeypatch.setattr(provenance, "ROOT", checkout / "site-packages")
    assert str(provenance.source()) == inr.__version__


def test_changed_snapshot_is_refused(layout, checkout):
    code = take_snapshot(layout)
    (code / "inr" / "a.py").write_text("tampered")
    with pytest.raises(UserError, match=f"{code.name}: was changed since"):
        take_snapshot(layout)


def test_folder_that_cannot_be_written(layout, checkout):
    layout.root.mkdir()
    layout.code.write_text("a file")
    with pytest.raises(UserError, match=r"the code cannot be kept: .*code"):
        take_snapshot(layout)


def test_snapshot_comes_first_and_what_the_user_set_behind_all_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, "/mine"])
    first, *others, last = import_path(tmp_path).split(os.pathsep)
    assert (first, last) == (str(tmp_path), "/mine")
    assert sysconfig.get_path("stdlib") in others
    assert sysconfig.get_path("purelib") in others
