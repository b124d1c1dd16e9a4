"""A copy of the code beside the sweep, so that what was launched is what runs.

``code/<digest>/`` holds the packages, the cluster profiles, and where they come from:
``source.json`` and, if the code differs from the commit, ``diff.patch``. The digest is that of
all its content, so the same code has the same folder however often it is launched.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from inr.errors import UserError, describe_os_error
from inr.storage.paths import SweepLayout
from inr.storage.provenance import CODE, NO_CODE, ROOT, SOURCE, git, package_versions, source

_SUFFIXES = (".py", ".yaml", ".yml", ".typed", ".html", ".css", ".js")
_DIGEST_LENGTH = 16

Files = dict[str, bytes]  # path relative to the snapshot, with '/' -> content


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
    if (ROOT / SOURCE).is_file():  # a snapshot runs: its copy is the same
        return _read(ROOT)
    files: Files = {}
    for name in CODE:
        files |= {f"{name}/{path}": content for path, content in _read(ROOT / name).items()}
    files = {path: each for path, each in files.items() if not path.startswith(f"{NO_CODE}/")}
    about = asdict(source()) | {"versions": package_versions()}
    files[SOURCE] = (json.dumps(about, indent=1, sort_keys=True) + "\n").encode()
    changed = ("diff", "--no-ext-diff", "HEAD", "--", *CODE, f":!{NO_CODE}")
    if source().dirty and (diff := git(*changed)):
        files["diff.patch"] = f"{diff}\n".encode()
    return files


def _read(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in _walk(folder)}


def _walk(folder: Path) -> Iterator[Path]:
    """The files of ``folder`` that belong into a snapshot, or are in one."""
    for path in sorted(folder.rglob("*")):
        kept = path.suffix in _SUFFIXES or path.name in (SOURCE, "diff.patch")
        if kept and path.is_file() and "__pycache__" not in path.parts:
            yield path


def _digest(files: Files) -> str:
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        for part in (path.encode(), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:_DIGEST_LENGTH]


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
