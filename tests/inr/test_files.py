"""A file is replaced completely or not at all."""

from pathlib import Path

import pytest

from inr.errors import UserError
from inr.files import replace_atomically, write_text


def test_content_appears_at_the_end_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with replace_atomically(path) as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".txt"
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def half(path: Path) -> None:
    with replace_atomically(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_failure_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError):
        half(path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_unwritable_places_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/a\.txt: cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "text")
    (tmp_path / "directory").mkdir()
    with pytest.raises(UserError, match="directory: cannot be written"):
        write_text(tmp_path / "directory", "text")
