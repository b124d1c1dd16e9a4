"""Which code runs, where, and the copy of it beside a sweep: what was launched is what runs.

``code/<digest>/`` holds the packages, the cluster profiles, and where they come from:
``source.json`` and, if the code differs from the commit, ``diff.patch``. The digest is that of
all its content, so the same code has the same folder however often it is launched.
"""

import hashlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import inr
from inr.errors import UserError, describe_os_error
from inr.storage.paths import SweepLayout

ROOT = Path(inr.__file__).resolve().parents[1]  # the checkout, a snapshot, or site-packages
_CODE = ("inr", "jobs", "postprocess", "slurm")  # below it: what decides how runs end;
_NO_CODE = "slurm/testbed"  # not this
_SUFFIXES = (".py", ".yaml", ".yml", ".typed", ".html", ".css", ".js")
_SOURCE, _DIFF = "source.json", "diff.patch"  # in a snapshot: the `Source` that it was made from
_PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "h5py", "submitit")

Files = dict[str, bytes]  # path relative to the snapshot, with '/' -> content


@dataclass(frozen=True)
class Source:
    """Which code this is."""

    version: str  # of this software
    commit: str  # of git, or "" where there is none
    dirty: bool  # whether the code differs from that commit

    def __str__(self) -> str:
        """As in ``1.0.0+g0123456789ab-dirty``; nothing behind the version where there is no git."""
        commit = f"+g{self.commit[:12]}" if self.commit else ""
        return f"{self.version}{commit}{'-dirty' if self.dirty else ''}"


@cache
def source() -> Source:
    """Which code runs: as a snapshot says of itself, otherwise as git says of the checkout."""
    with suppress(FileNotFoundError):
        said = json.loads((ROOT / _SOURCE).read_text(encoding="utf-8"))
        return Source(said["version"], said["commit"], said["dirty"])
    # an installed copy may lie in somebody else's repository
    ours = git("rev-parse", "--show-prefix") == ""
    commit = (git("rev-parse", "--verify", "HEAD") or "") if ours else ""
    changed = commit and git("status", "--porcelain", "--", *_CODE, f":!{_NO_CODE}")
    return Source(inr.__version__, commit, bool(changed))


def git(*arguments: str) -> str | None:
    """What git says of the code that runs, without the last line break; None if it cannot say."""
    try:
        answer = subprocess.run(  # noqa: S603
            # who runs the code of a tree trusts it, whoever owns it
            ["git", "-c", f"safe.directory={ROOT}", *arguments],  # noqa: S607
            cwd=ROOT,
            # not of the repository that a hook or a shell is about
            env={name: value for name, value in os.environ.items() if name[:4] != "GIT_"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.removesuffix("\n")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers and files."""
    versions = {"python": platform.python_version(), "platform": sys.platform}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def slurm_job_id() -> str:
    """Slurm job, ``<array>_<task>`` in an array; empty outside Slurm."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def take_snapshot(layout: SweepLayout) -> Path:
    """Copy the code that runs now into the sweep, unless that copy is there. Returns its folder.

    Raises `UserError` if it cannot be written, or if a copy was changed since.
    """
    files = _collect()
    folder = layout.code / _digest(files)
    try:
        if not folder.is_dir():
            _write(folder, files)
        if _digest(_read(folder)) != folder.name:
            raise UserError(
                f"{folder}: was changed since the launch that made it. When no task that runs or "
                "waits needs it, remove it and launch again"
            )
    except OSError as error:
        raise UserError(f"the code cannot be kept: {describe_os_error(error)}") from error
    return folder


def snapshot_folder(layout: SweepLayout) -> Path:
    """Where `take_snapshot` would put its copy. Writes nothing."""
    return layout.code / _digest(_collect())


def import_path(code: Path) -> str:
    """The PYTHONPATH of a process that runs the snapshot ``code``.

    Behind it all that this process uses, in its order: PYTHONPATH precedes even Python's own.
    """
    return os.pathsep.join([str(code.resolve()), *filter(None, sys.path)])


def _collect() -> Files:
    if (ROOT / _SOURCE).is_file():  # a snapshot runs: its copy is the same
        return _read(ROOT)
    files = _read(ROOT, _CODE)
    about = asdict(source()) | {"versions": package_versions()}
    files[_SOURCE] = (json.dumps(about, indent=1, sort_keys=True) + "\n").encode()
    changed = ("diff", "--no-ext-diff", "HEAD", "--", *_CODE, f":!{_NO_CODE}")
    if source().dirty and (diff := git(*changed)):
        files[_DIFF] = f"{diff}\n".encode()
    return files


def _read(root: Path, names: Iterable[str] = ("",)) -> Files:
    """What belongs into a snapshot, or is in one, of the folders ``names`` below ``root``."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for name in names
        for path in (root / name).rglob("*")
        if (path.suffix in _SUFFIXES or path.name in (_SOURCE, _DIFF))
        and path.is_file()
        and "__pycache__" not in path.parts
        and not path.is_relative_to(root / _NO_CODE)
    }


def _digest(files: Files) -> str:
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        for part in (path.encode(), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def _write(folder: Path, files: Files) -> None:
    """Make ``folder`` with ``files``, all at once."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        for path, content in files.items():
            target = temporary / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
