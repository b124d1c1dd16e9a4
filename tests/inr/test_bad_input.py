"""Bad input to any command: one clear line, exit code 1 or 2, no traceback, nothing left behind."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from imageio.v3 import imwrite

from inr.errors import run_main
from inr.storage.provenance import ROOT
from jobs import launch
from postprocess import figures, merge, videos
from tests.helpers.synthetic import quickstart, write_sweep

COMMANDS = {
    "launch": launch.main,
    "merge": merge.main,
    "figures": figures.main,
    "videos": videos.main,
}
SCRIPTS = {"launch": "jobs/launch.py"} | {
    name: f"postprocess/{name}.py" for name in ("merge", "figures", "videos")
}


@dataclass(frozen=True)
class Case:
    """A command line, the files it finds, and what its message must say."""

    command: str  # name of the command, then its arguments
    says: tuple[str, ...]
    code: int = 2
    files: dict[str, str | bytes] = field(default_factory=dict)


def sweep(text: str) -> dict[str, str | bytes]:
    return {"s.yaml": text}


def png(pixels: np.ndarray) -> bytes:
    return bytes(imwrite("<bytes>", pixels.astype(np.uint8), extension=".png"))


LOCAL = "launch --local --dry-run"
MINE = f"{LOCAL} --sweep s.yaml"
IMAGE = f"{LOCAL} --set data.image=i.png"
RANDOM = "random: {count: 1, choices: {model.width: [1]}, constraint: {sum: model.width, above: 9}}"
PICTURE = np.arange(20 * 20).reshape(20, 20) % 251

CASES = {
    # the command line
    "no-mode": Case("launch", ("--local", "--array", "--debug")),
    "two-modes": Case("launch --local --array", ("--array", "not allowed with", "--local")),
    "unknown-option": Case("launch --local --worker 2", ("--worker",)),
    "no-workers": Case("launch --local --workers 0", ("--workers 0", "at least 1")),
    "workers-word": Case("launch --local --workers many", ("--workers", "'many'")),
    "workers-of-array": Case("launch --array --workers 3", ("--workers 3", "--local only")),
    "profile-of-local": Case("launch --local --profile default", ("--profile", "--array only")),
    "unknown-run": Case("launch --debug --run 8", ("--run 8", "0 to 7")),
    "unknown-profile": Case("launch --array --dry-run --profile defualt", ("defualt", "default")),
    "no-cluster": Case("launch --array", ("sbatch", "--local"), code=1),
    # overrides
    "set-without-equals": Case(f"{LOCAL} --set model.width", ("model.width", "field=value")),
    "set-without-value": Case(f"{LOCAL} --set model.width=", ("model.width=", "field=value")),
    "set-unknown-field": Case(f"{LOCAL} --set model.widht=3", ("model.widht", "model.width?")),
    "set-list": Case(f"{LOCAL} --set model.width=[3,4]", ("[3, 4]", "model.width", "integer")),
    "set-bad-yaml": Case(f"{LOCAL} --set model.width=[", ("'['", "YAML")),
    "set-contradiction": Case(f"{LOCAL} --set data.sigma_end=0.1", ("sigma_end=0.1", "larger")),
    # sweep files
    "unknown-sweep": Case(f"{LOCAL} --sweep quikstart", ("'quikstart'", "study", "quickstart?")),
    "missing-sweep-file": Case(MINE, ("s.yaml", "no such sweep file")),
    "unreadable-yaml": Case(MINE, ("s.yaml", "not valid YAML", "line 1"), files=sweep("base: {")),
    "binary-sweep-file": Case(
        MINE, ("s.yaml", "not a text file"), files={"s.yaml": b"\xff\xfe\x80"}
    ),
    "empty-sweep-file": Case(MINE, ("s.yaml", "mapping"), files=sweep("")),
    "unknown-key": Case(MINE, ("s.yaml:1", "grdi", "grid?"), files=sweep("grdi: {}")),
    "unknown-field": Case(
        MINE,
        ("s.yaml:1", "actvation", "model.activation?"),
        files=sweep("base: {model.actvation: elu}"),
    ),
    "wrong-type": Case(
        MINE,
        ("s.yaml:1", "'wide'", "model.width", "integer"),
        files=sweep("base: {model.width: wide}"),
    ),
    "negative": Case(
        MINE,
        ("s.yaml:1", "-1e-3", "greater than 0"),
        files=sweep("base: {training.learning_rate: -1e-3}"),
    ),
    "unknown-activation": Case(
        MINE,
        ("grid.model.activation[1]", "'sinus'", "gelu"),
        files=sweep("grid: {model.activation: [elu, sinus]}"),
    ),
    "three-weights": Case(
        MINE,
        ("[1, 2, 3]", "3 weights", "4"),
        files=sweep("base: {training.loss_weights: [1, 2, 3]}"),
    ),
    "all-zero-weights": Case(
        MINE,
        ("base.training", "at least one"),
        files=sweep("base: {training.loss_weights: [0, 0, 0, 0]}"),
    ),
    "impossible-constraint": Case(MINE, ("random.constraint", "only 0"), files=sweep(RANDOM)),
    # images
    "missing-image": Case(IMAGE, ("i.png", "does not exist"), code=1),
    "no-image": Case(IMAGE, ("i.png", "cannot be read"), code=1, files={"i.png": "words"}),
    "empty-image": Case(IMAGE, ("i.png", "empty"), code=1, files={"i.png": b""}),
    "truncated-image": Case(
        IMAGE, ("i.png", "cannot be read"), code=1, files={"i.png": png(PICTURE)[:60]}
    ),
    "one-pixel-wide": Case(
        IMAGE, ("i.png", "1 x 20 px", "narrow"), code=1, files={"i.png": png(PICTURE[:, :1])}
    ),
    "constant-image": Case(
        IMAGE, ("i.png", "constant"), code=1, files={"i.png": png(np.full((20, 20), 7))}
    ),
    "image-of-nobody": Case(
        f"{LOCAL} --set data.image=~nosuch/p.png", ("~nosuch/p.png", "does not exist"), code=1
    ),
    "image-is-a-device": Case(
        f"{LOCAL} --set data.image=/dev/zero", ("/dev/zero", "not a regular file"), code=1
    ),
    "image-with-a-long-name": Case(
        f"{LOCAL} --set data.image={'a' * 300}.png", ("aaa.png", "too long"), code=1
    ),
    "image-with-a-NUL": Case(
        MINE, (r"a\x00.png", "NUL"), files=sweep('base: {data.image: "a\\0.png"}')
    ),
    "image-with-a-line-break": Case(
        MINE,
        (r"a\nb.png", "does not exist"),
        code=1,
        files=sweep('base: {data.image: "a\\nb.png"}'),
    ),
    "nothing-left-at-this-blur": Case(
        f"{LOCAL} --set data.sigma_start=400 data.sigma_end=500",
        ("camera", "nothing is left of the image at this blur", "data.sigma_start 400", "Lower"),
        code=1,
    ),
    "nothing-left-of-a-checkerboard": Case(
        IMAGE,
        ("i.png", "nothing is left of the image at this blur"),
        code=1,
        files={"i.png": png(np.indices((64, 64)).sum(0) % 2 * 255)},
    ),
    "nothing-left-in-one-combination": Case(
        MINE,
        ("nothing is left", "data.sigma_end 900"),
        code=1,
        files=sweep("base: {data: {size: 32, sigma_end: 900}}\ngrid: {data.sigma_start: [1, 800]}"),
    ),
    "fine-pattern-at-this-size": Case(
        IMAGE,
        ("i.png", "nothing is left of the image at data.size 64"),
        code=1,
        files={"i.png": png(np.indices((200, 200)).sum(0) % 2 * 255)},
    ),
    "not-square-for-the-original": Case(
        f"{LOCAL} --sweep s.yaml",
        ("40 x 20 px", "square"),
        code=1,
        files={
            "i.png": png(np.arange(800).reshape(20, 40) % 251),
            **sweep("base: {data: {image: i.png, size: 40}, training.protocol: original}"),
        },
    ),
    "tiny-size": Case(f"{LOCAL} --set data.size=4", ("data.size=4", "greater than or equal to")),
    # where results go
    "output-is-a-file": Case(f"{LOCAL} --output f", ("--output f", "is a file"), files={"f": "x"}),
    "output-is-no-sweep": Case(
        f"{LOCAL} --output d", ("--output d", "no sweep"), files={"d/thesis.txt": "x"}
    ),
    "broken-index": Case(
        f"{LOCAL} --output d", ("d/index.json", "broken"), code=1, files={"d/index.json": "{"}
    ),
    # post-processing
    "merge-missing": Case("merge nowhere", ("nowhere", "does not exist")),
    "figures-missing": Case("figures nowhere", ("nowhere", "does not exist")),
    "videos-missing": Case("videos nowhere", ("nowhere", "does not exist")),
    "merge-no-sweep": Case("merge d", ("d", "not a sweep"), files={"d/thesis.txt": "x"}),
    "figures-nothing-yet": Case("figures", ("no sweep below", "launch.py")),
    "merge-broken-index": Case("merge d", ("index.json", "broken"), 1, {"d/index.json": "[]"}),
    "merge-unknown-option": Case("merge --froce d", ("--froce",)),
}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def check(case: Case, code: int, error: str) -> None:
    lines = error.splitlines()
    assert code == case.code, error
    assert [line for line in lines if "error: " in line] == lines[-1:], error
    assert "Traceback" not in error
    for words in case.says:
        assert words in lines[-1]
    if case.command.startswith("launch"):
        assert len(lines) == 1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")  # no sbatch, wherever the tests run
    return tmp_path


def arrange(case: Case, folder: Path) -> None:
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_clear_line(case, folder, capsys, monkeypatch):
    arrange(case, folder)
    before = snapshot(folder)
    name, *arguments = case.command.split()
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    try:
        code = run_main(COMMANDS[name])
    except SystemExit as stop:  # argparse ends the program by itself
        code = int(stop.code or 0)
    check(case, code, capsys.readouterr().err)
    assert snapshot(folder) == before


def test_a_current_directory_that_is_gone_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    monkeypatch.setattr(sys, "argv", ["launch.py", "--local", "--dry-run"])
    assert run_main(COMMANDS["launch"]) == 1
    assert "error: the current directory was removed." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["unknown-field", "no-mode", "merge-missing"])
def test_the_same_from_a_shell(name, folder):
    case = CASES[name]
    arrange(case, folder)
    before = snapshot(folder)
    command, *arguments = case.command.split()
    script = str(ROOT / SCRIPTS[command])
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, check=False
    )
    check(case, done.returncode, done.stderr)
    assert snapshot(folder) == before


@pytest.mark.parametrize("name", ["merge", "figures", "videos"])
def test_a_sweep_without_a_readable_run(name, folder, capsys, monkeypatch):
    layout = write_sweep(folder / "d", quickstart()[:2])
    first, second = sorted(layout.runs.rglob("run.h5"))
    first.write_bytes(first.read_bytes()[:3000])
    second.unlink()
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "d"])
    assert run_main(COMMANDS[name]) == 1
    captured = capsys.readouterr()
    assert len([line for line in captured.err.splitlines() if "error: " in line]) == 1
    assert "Traceback" not in captured.err + captured.out
