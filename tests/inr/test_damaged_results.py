"""A thousand damaged result files: each is named with a reason, or was not harmed after all."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from inr.quantities import QUANTITIES
from inr.results import HELDOUT, ResultsError, open_run, read_attributes, read_heldout
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from inr.storage.sweep_index import IndexEntry, index_json, read_index
from jobs.manage import main as manage
from postprocess.dataset.merged_sweep import read_merged
from postprocess.worker_pool import run_isolated
from tests.helpers.synthetic import call, make_config, quickstart, write_run, write_sweep

SEED = 20_261_123
DAMAGED = 1_000
INTACT = 4
RENDERED = 2  # of the damaged files in which nothing that counts was hit
SHAPE = (12, 12)

States = dict[str, tuple[str, str]]


def mutate(content: bytes, kind: int, rng: np.random.Generator) -> bytes:
    """One of: cut off, one bit flipped, some bytes replaced, zeros, a piece moved, headers hit."""
    data = bytearray(content)
    size = len(data)
    start = int(rng.integers(0, size))
    length = min(int(rng.integers(1, 65)), size - start)
    if kind == 0:
        del data[start:]
    elif kind == 1:
        data[start] ^= 1 << int(rng.integers(0, 8))
    elif kind == 2:
        data[start : start + length] = rng.bytes(length)
    elif kind == 3:
        stop = min(size, start + 512)
        data[start:stop] = bytes(stop - start)
    elif kind == 4:
        del data[start : start + length]
    else:
        for place in rng.integers(0, 2048, 4):
            data[int(place)] = int(rng.integers(0, 256))
    return bytes(data)


def digest_frames(path: Path) -> str:
    """What the frames of a file hold, read in a child process; "" if they cannot be read."""
    digest = hashlib.sha256()
    try:
        with open_run(path) as file:
            digest.update(json.dumps(read_attributes(file)).encode())
            for data in (file["frames"][q][p] for q in QUANTITIES for p in PARTS):
                digest.update(data[:].tobytes())
            digest.update(file["frames/time"][:].tobytes())
    except ResultsError:
        return ""
    return digest.hexdigest()


PARTS = ("prediction", "target")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> SweepLayout:
    """A sweep of a few good runs and a thousand damaged copies of one."""
    root = tmp_path_factory.mktemp("fuzz")
    layout = write_sweep(root / "sweep", quickstart()[:INTACT], shape=SHAPE)
    config = make_config(data__frames=2, training__learning_rate=5e-4)
    write_run(root / "template.h5", config, shape=SHAPE)
    template = (root / "template.h5").read_bytes()
    rng = np.random.default_rng(SEED)
    entries = read_index(layout)
    for number in range(DAMAGED):
        name = f"damaged/{number:04}"
        results = layout.run(name).results
        results.parent.mkdir(parents=True)
        results.write_bytes(mutate(template, number % 6, rng))
        task = INTACT + number
        entries.append(IndexEntry(config.run_id, name, task, config.model_dump(mode="json")))
    layout.index.write_text(index_json("sweep", entries))
    write_run(layout.root / "template.h5", config, shape=SHAPE)
    return layout


@pytest.fixture(scope="module")
def merged(damaged):
    assert call("merge", damaged.root) == 0
    return read_merged(damaged)


def test_merge_names_every_damaged_run_or_has_its_exact_numbers(damaged, merged):
    runs = merged.runs
    assert len(runs) == INTACT + DAMAGED
    bad = runs[~runs["status"].isin(["complete"])]
    assert set(bad["status"]) <= {"broken", "unfinished"}
    assert len(bad) > DAMAGED / 3
    assert (bad["reason"].str.len() > 0).all()
    assert not bad["reason"].str.contains("\n").any()
    assert list(merged.problems["name"]) == list(bad["name"])
    # what still counts as complete holds the original numbers, to the last bit
    good = runs[(runs["status"] == "complete") & (runs["task"] >= INTACT)]
    assert len(good) > 0
    with open_run(damaged.root / "template.h5") as file:
        loss, ssim = file["series/loss"][:], file["series/ssim_value"][:]
        heldout = {points: read_heldout(file, points) for points in HELDOUT}
    for points, found in heldout.items():
        for name, number in found.items():
            assert set(good[f"{points}_{name}"]) == {number}
    table = merged.series("loss", "ssim_value").groupby("run")
    for number in good.index:
        rows = table.get_group(number)
        np.testing.assert_array_equal(rows["loss"], loss)
        np.testing.assert_array_equal(rows["ssim_value"], ssim)


def ask_status(layout: SweepLayout, capsys: pytest.CaptureFixture[str], *options: str) -> States:
    """State and reason of every run, by name."""
    assert manage(["status", str(layout.root), "--json", *options]) == 0
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return {run["name"]: (run["state"], run["reason"]) for run in json.loads(said.out)["runs"]}


def test_status_names_what_merging_names(damaged, merged, capsys):
    states = ask_status(damaged, capsys)
    assert set(states) == set(merged.runs["name"])
    named = {name for name, (state, _) in states.items() if state != "done"}
    assert named == set(merged.problems["name"])
    broken = merged.problems[merged.problems["status"] == "broken"]
    for name, reason in zip(broken["name"], broken["reason"], strict=True):
        state, told = states[name]
        # another run's file is nobody's result: this run is still to be done
        assert state == "failed" or "holds run" in reason
        assert reason in told or "holds run" in reason


def test_figures_are_drawn_of_the_rest(damaged, merged, capsys):
    assert call("figures", damaged.root, "--only", "nmse_value", "--format", "png") == 0
    said = capsys.readouterr()
    assert f"{len(merged.problems)} of {INTACT + DAMAGED} runs are left out" in said.out
    assert "Traceback" not in said.err


def test_videos_name_every_run_whose_frames_are_damaged(damaged, merged, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    chosen = merged.readable[merged.readable["task"] >= INTACT]
    paths = [damaged.root / "template.h5", *(damaged.root / path for path in chosen["results"])]
    first, *digests = run_isolated(digest_frames, paths)
    intact = [n for n, d in zip(chosen["name"], digests, strict=True) if d == first]
    harmed = sorted(set(chosen["name"]) - set(intact))
    assert len(harmed) > DAMAGED / 10
    assert len(intact) > RENDERED
    for name in intact[RENDERED:]:  # as if their videos had been made: that takes a second each
        made = damaged.videos / f"{name}.gif"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
    named = {name for name, (state, _) in ask_status(damaged, capsys, "--verify").items()
             if state != "done"}  # fmt: skip
    assert named == {*harmed, *merged.problems["name"]}
    assert call("videos", damaged.root, "--run", "damaged", "--format", "gif") == 0
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if line.startswith("  left out ")]
    named = {line.removeprefix("  left out ").partition(": ")[0] for line in lines}
    assert Counter(named) == Counter(harmed)
    assert all(line.partition(": ")[2] for line in lines)
    assert f"wrote {RENDERED} files" in said.out
    assert "Traceback" not in said.err
