"""The commands and code blocks of the README and of docs/ do what they say."""

import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as iio
import pytest
import yaml
from filelock import FileLock
from skimage.data import camera

from inr.storage.provenance import ROOT
from jobs.launch import main as launch

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = ["data.size=16", "data.frames=4", "model.width=8", "model.depth=1", "training.steps=8"]
SMALL += ["training.batch=64", "record.metrics_every=4", "record.images_every=4"]
# what changes the reader's machine, or this project itself
ELSEWHERE = {
    "git clone <this repository> inr-sweeps && cd inr-sweeps",
    "source .venv/bin/activate",
    "cp slurm/profiles/example.yaml my_cluster.yaml",
    "tensorboard --logdir outputs/quickstart/runs",
    "eval $(slurm/testbed/testbed up)",
    "python postprocess/study.py",
    "python -m tests.benchmarks.learning.networks --text",
    "python -m tests.benchmarks.learning.recipes --text",
    "python -m tests.benchmarks.learning.reconstruction",
}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


def blocks(*languages: str) -> list[object]:
    """Those in these languages; a block of commands may have none."""
    return [
        pytest.param(block, id=f"{block.page}:{block.line}")
        for page in PAGES
        for text in [page.read_text()]
        for found in BLOCK.finditer(text)
        for line in [text.count("\n", 0, found.start()) + 1]
        for block in [Block(page.name, line, *found.groups())]
        if block.language in languages
    ]


def commands() -> list[str]:
    """Every line of the shell, but no two that differ only in the sweep they name."""
    text = "\n".join(parameter.values[0].text for parameter in blocks("", "sh"))
    lines = {line: shlex.split(line, comments=True) for line in text.splitlines()}
    kinds = {
        " ".join(words).replace("study", "quickstart"): " ".join(words) for words in lines.values()
    }
    return [line for line in kinds.values() if line and line not in ELSEWHERE]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A directory with the photographs, profile and finished sweeps of which the pages speak.

    Each process of pytest-xdist has a copy of what the first one that needs it has made.
    """
    temporary = tmp_path_factory.getbasetemp()
    finished = (temporary if worker_id == "master" else temporary.parent) / "documented"
    with FileLock(finished.with_suffix(".lock")):
        if not finished.exists():
            prepare(tmp_path_factory.mktemp("project")).rename(finished)
    return Path(shutil.copytree(finished, tmp_path_factory.mktemp("project") / "copy"))


def prepare(directory: Path) -> Path:
    """Fill a directory with them."""
    for name in ("photo.png", "my_photo.png"):
        iio.imwrite(directory / name, camera()[::8, ::8])
    shutil.copy(ROOT / "slurm" / "profiles" / "example.yaml", directory / "my_cluster.yaml")
    together = ["--local", "--no-post", "--pack", "10", "--pack-mode", "fused", "--set", *SMALL]
    study = ["training.schedule=uniform", "training.learning_rate=1e-4"]
    study += ["training.loss_weights=[1, 1, 1, 1]", "--sweep", "study"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        assert launch(together) == 0
        assert launch([*together, *study]) == 0
    return directory


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(block: Block, inside: Path) -> None:
    exec(compile(block.text, block.page, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", blocks("yaml"))
def test_yaml_is_a_sweep_or_a_profile(block: Block, inside: Path) -> None:
    given = yaml.safe_load(block.text)
    if "grid" not in given:  # a page may show a part of a profile
        given = yaml.safe_load((inside / "my_cluster.yaml").read_text()) | given
    (inside / "block.yaml").write_text(yaml.safe_dump(given))
    options = ["--local", "--sweep"] if "grid" in given else ["--array", "--profile"]
    assert launch([*options, "block.yaml", "--dry-run"]) == 0


@pytest.mark.parametrize("line", commands())
def test_command_runs(line: str, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = line.split()
    if program == "make":
        subprocess.run(["make", "-n", *words], check=True, cwd=ROOT, capture_output=True)
        return
    assert program == "python"
    if words[0] == "jobs/launch.py":
        words.append("--dry-run")
    if words[0] == "postprocess/figures.py":  # all others are drawn in tests of their own
        words += ["--only", "overview"]
    if words[1] == "drop":  # there is nobody to be asked
        words += ["--yes", "--no-post"]
    monkeypatch.setattr("sys.argv", words)
    module = importlib.import_module(words[0].removesuffix(".py").replace("/", "."))
    assert module.main() in (0, None)
