"""Which videos are made of a sweep, and two runs side by side."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from inr.quantities import QUANTITIES
from inr.results import open_run
from inr.storage.paths import SweepLayout
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.dataset.run_frames import RunFrames
from postprocess.video.run_video import BETWEEN, ERROR, draw_frames, lay_out
from postprocess.video.selection import (
    MOST_RUNS,
    choose_by_role,
    choose_one,
    plan_comparison,
    plan_comparisons,
    plan_selection,
)
from tests.helpers.film import decode
from tests.helpers.ranked import BEST, MEDIAN, RATES, SHAPE, SMALL, WORST, write_ranked
from tests.helpers.synthetic import call, grid, make_config, write_run, write_sweep
from tests.helpers.targets import IMAGES, write_targets

TWO = ("sine", "elu")


@pytest.fixture
def sweep(tmp_path: Path) -> SweepLayout:
    return write_ranked(tmp_path / "sweep")


def test_places_follow_the_mean_log_error_and_a_diverged_run_is_the_worst(
    sweep: SweepLayout,
) -> None:
    merged = ensure_merged(sweep)
    chosen = {role: choose_by_role(sweep, merged, role) for role in ("best", "median", "worst")}
    assert {role: choice.name for role, choice in chosen.items()} == {
        "best": BEST,
        "median": MEDIAN,
        "worst": WORST,
    }
    assert chosen["median"].role == "median of 5 by mean log error"


def test_chosen_runs_are_filmed_under_their_place(
    sweep: SweepLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (sweep.root, "--select", "worst,best", "--format", "mp4")
    assert call("videos", *command) == 0
    assert sorted(path.name for path in sweep.videos.rglob("*.*")) == ["best.mp4", "worst.mp4"]
    best = sweep.videos / "best.mp4"
    layout = lay_out(SHAPE, lines=2)
    pictures = decode(best)
    assert pictures.shape == (2, layout.size[1], layout.size[0], 3)
    with open_run(sweep.run(BEST).results) as file:
        drawn = next(draw_frames([RunFrames(file)], f"x\n{BEST}"))
    box = layout.panel(0, 1)
    difference = pictures[0][box].astype(float) - drawn[box][..., :3]
    assert np.abs(difference).mean() < 3  # what compression loses

    before = best.stat().st_mtime_ns
    assert call("videos", *command) == 0
    assert "kept 2 up-to-date files" in capsys.readouterr().out
    with h5py.File(sweep.run(MEDIAN).results, "r+") as file:  # another one becomes the best
        for quantity in QUANTITIES:
            file[f"series/nmse_{quantity}"][-1] = 1e-6
    assert call("videos", *command) == 0
    assert best.stat().st_mtime_ns > before


def test_many_runs_get_three_videos_and_few_all(sweep: SweepLayout, tmp_path: Path) -> None:
    merged = ensure_merged(sweep)
    assert len(plan_selection(sweep, merged, "auto")) == len(RATES)
    rates = [round(float(rate), 6) for rate in np.linspace(1e-4, 1e-2, MOST_RUNS + 1)]
    configs = grid(training__learning_rate=rates, **SMALL)
    many = write_sweep(tmp_path / "many", configs, shape=SHAPE)
    plans = plan_selection(many, ensure_merged(many), "auto")
    assert [plan.target.name for plan in plans] == ["best", "median", "worst"]
    assert len(plan_selection(many, ensure_merged(many), "all")) == MOST_RUNS + 1


def test_two_runs_stand_below_their_common_target(sweep: SweepLayout) -> None:
    with h5py.File(sweep.run(BEST).results, "r+") as file:
        file["frames/value/prediction"][:] = file["frames/value/target"][:]
    with h5py.File(sweep.run(MEDIAN).results, "r+") as file:
        file["frames/value/prediction"][:] = np.float32(1e9)
    command = (sweep.root, "--compare", BEST, "uniform_3e-5", "--format", "mp4")
    assert call("videos", *command) == 0
    (path,) = (sweep.videos / "compare").iterdir()
    assert path.name == f"{BEST}_and_{MEDIAN}.mp4".replace("/", "-")
    layout = lay_out(SHAPE, networks=2, lines=2)
    pictures = decode(path)
    assert pictures.shape == (2, layout.size[1], layout.size[0], 3)
    target, first, second = (pictures[0][layout.panel(0, row)].astype(float) for row in range(3))
    assert np.abs(target - first).mean() < 1
    assert (second > 250).all()  # beyond the upper end of the target's scale
    with open_run(sweep.run(BEST).results) as one, open_run(sweep.run(MEDIAN).results) as other:
        drawn = next(draw_frames([RunFrames(one), RunFrames(other)], "a\nb"))
    assert drawn.shape[1::-1] == layout.size
    np.testing.assert_array_equal(drawn[layout.panel(0, 0)], drawn[layout.panel(0, 1)])


def test_errors_stand_below_each_network_and_do_not_touch_the_next(sweep: SweepLayout) -> None:
    layout = lay_out(SHAPE, networks=2, lines=2)
    ends = [layout.panel(0, row)[0].stop for row in range(3)]
    starts = [layout.panel(0, row)[0].start for row in range(3)]
    assert starts[1] - ends[0] == BETWEEN
    assert starts[2] - ends[1] == layout.bar.start - ends[2] == ERROR


def test_runs_of_other_sweeps_are_given_by_file(
    sweep: SweepLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_sweep(tmp_path / "other", grid(model__activation=["elu"], **SMALL), shape=SHAPE)
    file = next(other.runs.rglob("run.h5"))
    assert call("videos", sweep.root, "--compare", "best", file, "--format", "mp4") == 0
    (path,) = (sweep.videos / "compare").iterdir()
    assert path.name == "best_and_other-1_0_0_0-elu_uniform_1e-4.mp4"
    merged = ensure_merged(sweep)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (str(file.parent), f"~/{file.relative_to(tmp_path)}"):
        assert choose_one(sweep, merged, given).name == "other: 1_0_0_0/elu_uniform_1e-4"
    (title, below) = plan_comparison(sweep, merged, ["best", str(file)]).title.splitlines()
    assert title == f"A   best of 5 by mean log error: {BEST}"
    assert below == "B   other: 1_0_0_0/elu_uniform_1e-4"


@pytest.mark.parametrize("shape", [(12, 12), (8, 8)], ids=["another sequence", "another size"])
def test_runs_that_learned_different_targets_are_not_compared(
    sweep: SweepLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: tuple[int, int]
) -> None:
    other = tmp_path / "run.h5"
    write_run(other, make_config(data__frames=2, data__sigma_end=2.0), shape=shape)
    assert call("videos", sweep.root, "--compare", "best", other) == 1
    said = capsys.readouterr().out
    assert "learned another sequence" in said
    assert not list(sweep.videos.rglob("*.mp4"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--select", "best,first"], "--select best,first: 'first' is not known"),
        (["--select", ""], "'' is not known"),
        (["--select", "best", "--run", "sine"], "not allowed with"),
        (["--compare", "best", "none-such"], "none-such: no readable run"),
        (["--compare", "best", "sine"], "sine: 5 runs have that in their names"),
        (["--compare", "best", BEST], f"both are {BEST}"),
        (["--compare", "best"], "expected 2 arguments"),
    ],
)
def test_bad_choices_get_one_clear_message(
    sweep: SweepLayout, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert call("videos", sweep.root, *options) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_each_image_has_its_own_best_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = write_targets(tmp_path / "images", IMAGES[:2], ["sine", "elu"], shape=SHAPE)
    merged = ensure_merged(layout)
    assert [plan.target.relative_to(layout.videos).as_posix() for plan in
            plan_selection(layout, merged, "best,worst")] == [
        "targets/camera/best", "targets/camera/worst",
        "targets/coins.png/best", "targets/coins.png/worst",
    ]  # fmt: skip
    plans = plan_comparisons(layout, merged, ["best", "worst"])
    names = [[run.name for run in plan.runs] for plan in plans]
    assert names == [
        [f"1_0_0_0/{activation}_uniform_1e-4_{task + i}" for i, activation in enumerate(TWO)]
        for task in (0, 2)
    ]
    assert "best of 2 on image: coins.png by mean log error" in plans[1].title
    assert call("videos", layout.root, "--compare", "best", names[0][1]) == 2
    assert "best: the runs learned 2 images, and each has its own" in capsys.readouterr().err
    single = write_targets(tmp_path / "single", IMAGES[:2], ["sine"], shape=SHAPE)
    command = ("--select", "auto", "--compare", "best", "worst", "--format", "mp4")
    assert call("videos", single.root, *command) == 0
    assert "wrote 2 files" in capsys.readouterr().out


def test_one_run_is_filmed_and_compared_with_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = write_sweep(tmp_path / "one", [make_config(data__frames=2)], shape=SHAPE)
    command = ("videos", layout.root, "--format", "mp4", "--compare", "best", "worst")
    assert call(*command, "--select", "auto") == 0
    assert "wrote 1 file" in capsys.readouterr().out
    assert call(*command) == 2
    assert "Give two different runs" in capsys.readouterr().err
