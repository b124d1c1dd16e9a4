"""Few modules in a folder, short ones, and packages that keep their inside to themselves."""

from pathlib import Path

import grimp
import pytest

from inr.storage.provenance import ROOT
from tests.project.rooms import PACKAGES, PAGE, import_graph, named_by, rooms, with_graph

MODULES = [path for name in (*PACKAGES, "tests") for path in sorted((ROOT / name).rglob("*.py"))]


def test_no_folder_holds_more_than_twenty_modules_or_lies_deeper_than_three_levels() -> None:
    folders = {path.parent for path in MODULES}
    counts = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > 20} == {}
    assert max(len(folder.relative_to(ROOT).parts) for folder in folders) <= 3


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_is_longer_than_three_hundred_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return import_graph()


@pytest.mark.parametrize("room", rooms())
def test_others_use_what_a_package_names(room: str, graph: grimp.ImportGraph) -> None:
    entered = {
        module.removeprefix(f"{room}.")
        for module in graph.find_descendants(room)
        for importer in graph.find_modules_that_directly_import(module)
        if not f"{importer}.".startswith(f"{room}.")
    }
    assert sorted(entered) == named_by(room)


def test_the_picture_in_the_docs_is_the_import_graph() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_graph(text) == text
