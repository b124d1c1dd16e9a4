"""Figures: every sweep gets all of them, whatever its runs look like."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from inr.errors import UserError
from inr.quantities import METRICS, QUANTITIES
from inr.storage.paths import SweepLayout
from postprocess.dataset.read import ensure_merged
from postprocess.intervals import bootstrap_interval, interquartile_mean
from postprocess.plots import batch, final_values, learning_curves, style
from postprocess.plots.batch import plan_figures, write_figures
from postprocess.plots.layout import study_scale
from postprocess.plots.plot_variable import metric
from postprocess.stats.factors import find_variation
from postprocess.worker_pool import ChildLostError
from tests.helpers.synthetic import (
    call,
    grid,
    make_config,
    quickstart,
    write_index,
    write_run,
    write_sweep,
)

SMALL = {"data__size": [12], "data__frames": [2]}
WEIGHTINGS = [(1, a, b, c) for a in (0, 0.1, 1) for b in (0, 0.1, 1) for c in (0, 0.1, 1)]
SCHEDULES = ["uniform", "exponential", "multi_step", "cyclic", "cosine"]
RATES = [1e-6, 1e-5, 1e-4, 1e-3]
ALWAYS = ("overview", "curve_", "final_", "heldout", "tradeoff")  # every sweep gets them


@pytest.fixture(autouse=True)
def _style() -> None:
    style.use_style()


def write_quickly(root: Path, configs, diverged=(), missing=(), **options) -> SweepLayout:
    layout = SweepLayout(root)
    configs = list(configs)
    for entry, config in zip(write_index(layout, configs), configs, strict=True):
        if entry.task not in missing:
            status = "diverged" if entry.task in diverged else "complete"
            path = layout.run(entry.name).results
            write_run(path, config, name=entry.name, status=status, shape=(12, 12), **options)
    return layout


@pytest.fixture(scope="module")
def eight(tmp_path_factory) -> SweepLayout:
    return write_sweep(tmp_path_factory.mktemp("figures") / "quickstart", quickstart())


def roles_of(configs) -> dict[str, str]:
    runs = pd.json_normalize([c.model_dump(mode="json") for c in configs])
    runs["training.schedule_options.milestones"] = "[]"
    roles = find_variation(runs).assign()
    named = {
        r: getattr(roles, r).key for r in ("hue", "style", "column", "row") if getattr(roles, r)
    }
    return named | ({"pooled": roles.pooled[0].key} if roles.pooled else {})


WEIGHTS, RATE = "training.loss_weights", "training.learning_rate"
ACTIVATION, SCHEDULE = "model.activation", "training.schedule"
ROLES = {
    "one": ([make_config()], {}),
    "quickstart": (quickstart(), {"hue": ACTIVATION, "column": WEIGHTS, "style": RATE}),
    "seeds": (grid(training__seed=[0, 1, 2]), {}),
    "rates": (
        grid(training__learning_rate=RATES, training__schedule=SCHEDULES),
        {"hue": SCHEDULE, "column": RATE},
    ),
    "rates-beside-schedules": (  # most combinations were not run
        [
            make_config(training__learning_rate=rate, training__schedule=schedule)
            for rate, schedule in [*((r, "uniform") for r in RATES), (1e-4, "cyclic")]
        ],
        {"hue": RATE, "style": SCHEDULE},
    ),
    "study": (
        grid(
            training__learning_rate=RATES,
            training__schedule=SCHEDULES,
            model__activation=["sine", "elu"],
            training__loss_weights=WEIGHTINGS[:5],
        ),
        {"hue": ACTIVATION, "column": WEIGHTS, "row": SCHEDULE, "style": RATE},
    ),
    "many-weights": (
        grid(model__activation=["sine", "elu"], training__loss_weights=WEIGHTINGS),
        {"hue": ACTIVATION, "pooled": WEIGHTS},
    ),
    "coupled": (  # the width follows from the depth: it says nothing new
        [make_config(model__depth=d, model__width=64 * d) for d in (1, 2, 3)],
        {"hue": "model.width"},
    ),
}


@pytest.mark.parametrize(("configs", "expected"), ROLES.values(), ids=ROLES)
def test_axes_get_the_roles_that_keep_panels_readable(configs, expected):
    assert roles_of(configs) == expected


def test_levels_are_ordered_and_named_for_people():
    runs = pd.json_normalize(
        [c.model_dump(mode="json") for c in grid(training__learning_rate=[1e-3, 2.5e-5, 1e-4])]
    ).drop(columns="training.schedule_options.milestones")
    (axis,) = find_variation(runs).axes
    assert axis.levels == ("2.5e-5", "1e-4", "1e-3")
    assert axis.label == "learning rate"


def test_quickstart_gets_all_figures_once(eight, capsys):
    assert call("figures", eight.root, "--format", "png") == 0
    names = {path.name for path in eight.figures.iterdir()}
    for name in METRICS:
        if not name.startswith("mse_"):
            assert {f"{kind}_{name}.png" for kind in ("curve", "final")} <= names
    assert {
        "overview.png",
        "curve_loss.png",
        "curve_lr.png",
        "heldout.png",
        "tradeoff.png",
    } <= names
    assert len(names) == 26
    assert "wrote 26 files" in capsys.readouterr().out
    picture = matplotlib.image.imread(eight.figures / "curve_nmse_value.png")
    assert picture.shape[1] == round(style.PAGE_WIDTH * 200)
    assert np.unique(picture.reshape(-1, picture.shape[-1]), axis=0).shape[0] > 50  # not blank

    (eight.figures / "heldout.png").unlink()
    assert call("figures", eight.root, "--format", "png") == 0
    said = capsys.readouterr().out
    assert "wrote 1 file in" in said
    assert "kept 25 up-to-date files" in said


def test_same_data_give_the_same_bytes(eight):
    written, _ = write_figures(eight, ensure_merged(eight), only="tradeoff", force=True)
    assert [path.suffix for path in written] == [".png", ".pdf"]
    before = [path.read_bytes() for path in written]
    assert before[1].startswith(b"%PDF")
    write_figures(eight, ensure_merged(eight), only="tradeoff", force=True)
    assert [path.read_bytes() for path in written] == before


def test_figures_drawn_in_processes_are_the_same(eight, monkeypatch):
    merged = ensure_merged(eight)
    several = {"formats": ["png"], "only": "psnr", "force": True}
    pictures = []
    monkeypatch.setattr(batch, "_WORTHWHILE", 1)
    for cores in (1, 2):
        monkeypatch.setattr(batch, "usable_cores", lambda cores=cores: cores)
        written, _ = write_figures(eight, merged, **several)
        pictures.append({path: path.read_bytes() for path in written})
    assert len(pictures[0]) == 2
    assert pictures[0] == pictures[1]
    assert list(pictures[0]) == list(pictures[1])


def test_a_figure_that_ends_its_process_is_named(eight, monkeypatch):
    monkeypatch.setattr(batch, "_WORTHWHILE", 1)
    monkeypatch.setattr(batch, "usable_cores", lambda: 2)
    monkeypatch.setattr(batch, "run_isolated", lambda *_, **__: iter([ChildLostError("it died")]))
    several = {"formats": ["png"], "only": "psnr", "force": True}
    with pytest.raises(UserError, match=r"curve_psnr_value: cannot be drawn: it died"):
        write_figures(eight, ensure_merged(eight), **several)


def test_unknown_figure_is_refused(eight, capsys):
    assert call("figures", eight.root, "--only", "nonsense") == 2
    assert "nonsense" in capsys.readouterr().err


def test_output_that_cannot_be_written_is_named(tmp_path, capsys):
    layout = write_quickly(tmp_path / "sweep", grid(**SMALL))
    layout.figures.write_text("a file where the directory should be")
    assert call("figures", layout.root, "--only", "heldout") == 1
    said = capsys.readouterr().err
    assert "figures" in said
    assert said.count("\n") == 1


def constant(columns) -> None:
    for name in ("loss", "lr", *METRICS):
        columns[name][:] = 0.5


def zero(columns) -> None:
    for name in ("loss", *METRICS):
        columns[name][:] = 0.0


def infinite(columns) -> None:
    for name in ("loss", *METRICS):
        columns[name][1:] = np.inf


def one_row(columns) -> None:
    for name in columns:
        columns[name] = columns[name][-1:]


TWO = {"model__activation": ["sine", "elu"], **SMALL}
SWEEPS = {
    "one-run": (grid(**SMALL), {}),
    "one-row": (grid(**TWO), {"change": one_row}),
    "diverged-and-missing": (quickstart(), {"diverged": (0, 3), "missing": (5,)}),
    "all-diverged": (grid(**TWO), {"diverged": (0, 1)}),
    "constant": (grid(**TWO, training__seed=[0, 1]), {"change": constant}),
    "zero": (grid(**TWO), {"change": zero}),
    "infinite": (grid(**TWO), {"change": infinite}),
    "other-lengths": (grid(**TWO, training__steps=[100, 200]), {}),
    "108-runs": (
        grid(
            training__loss_weights=WEIGHTINGS,
            model__activation=["sine", "elu"],
            training__seed=[0, 1],
            **SMALL,
        ),
        {"diverged": (4,)},
    ),
}


@pytest.mark.parametrize(("configs", "options"), SWEEPS.values(), ids=SWEEPS)
def test_every_figure_of_every_sweep_can_be_drawn(tmp_path, configs, options):
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs, **options))
    kinds = ("curve_nmse_value", "curve_ssim_value", "curve_lr", "final_psnr_value", "heldout")
    for name, draw in plan_figures(merged).items():
        if name in kinds:
            draw().draw_without_rendering()


def test_curves_show_the_recorded_numbers(eight):
    merged = ensure_merged(eight)
    runs = merged.readable
    series = merged.series("nmse_value")
    figure = learning_curves.draw_curves(metric("nmse_value"), series, find_variation(runs))
    drawn = {tuple(line.get_ydata()) for panel in figure.axes for line in panel.lines}
    assert drawn == {tuple(rows["nmse_value"]) for _, rows in series.groupby("run")}
    assert {panel.get_yscale() for panel in figure.axes} == {"log"}
    assert figure.axes[0].get_ylabel() == "value MSE / variance"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts() if text.get_text()] == [
        "activation:", "sine", "elu", "learning rate:", "1e-4", "1e-3",
    ]  # fmt: skip


def test_seeds_become_a_median_with_a_band(tmp_path):
    layout = write_quickly(tmp_path / "sweep", grid(training__seed=[0, 1, 2], **SMALL))
    merged = ensure_merged(layout)
    series = merged.series("nmse_value")
    variation = find_variation(merged.readable)
    (panel,) = learning_curves.draw_curves(metric("nmse_value"), series, variation).axes
    (line,) = panel.lines
    by_step = series.groupby("step")["nmse_value"]
    np.testing.assert_allclose(line.get_ydata(), by_step.median())
    (band,) = panel.collections
    low, high = band.get_datalim(panel.transData).intervaly
    np.testing.assert_allclose([low, high], [by_step.min().min(), by_step.max().max()])


def test_final_values_are_the_last_ones_and_diverged_runs_are_marked(tmp_path):
    configs = grid(training__learning_rate=RATES, **SMALL)
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs, diverged=(3,)))
    runs = merged.readable
    figure = final_values.draw_finals(metric("psnr_value"), runs, find_variation(runs))
    (panel,) = figure.axes
    points = [line for line in panel.lines if line.get_marker() == "o"]
    drawn = {y for line in points for y in line.get_ydata() if np.isfinite(y)}
    assert drawn == set(runs["psnr_value"].dropna())
    assert [line.get_marker() for line in panel.lines].count("x") == 1
    assert [label.get_text() for label in panel.get_xticklabels()] == [
        "1e-6",
        "1e-5",
        "1e-4",
        "1e-3",
    ]


def test_seeds_get_an_estimate_and_an_interval(tmp_path):
    configs = grid(training__learning_rate=[1e-4, 1e-3], training__seed=[0, 1, 2, 3, 4, 5], **SMALL)
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs, diverged=(0,)))
    runs = merged.readable
    figure = final_values.draw_finals(metric("nmse_value"), runs, find_variation(runs))
    (panel,) = figure.axes
    bars, estimates = panel.collections
    for position, (_, members) in enumerate(runs.groupby(RATE)["nmse_value"]):
        scores = np.log10(members.to_numpy())
        expected = bootstrap_interval([scores], interquartile_mean)
        assert estimates.get_offsets()[position][1] == pytest.approx(10**expected.estimate)
        high = 10**expected.high if np.isfinite(expected.high) else members.max()
        drawn = bars.get_segments()[position][:, 1]
        assert list(drawn) == pytest.approx([10**expected.low, high])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"interquartile mean", "95 % bootstrap interval"} <= set(texts)


def test_schedules_beside_many_rates_stand_side_by_side(tmp_path):
    configs = [
        c.model_copy(update={"data": make_config(data__size=12).data})
        for c in ROLES["rates-beside-schedules"][0]
    ]
    runs = ensure_merged(write_quickly(tmp_path / "sweep", configs)).readable
    (panel,) = final_values.draw_finals(metric("nmse_value"), runs, find_variation(runs)).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == [
        *(f"uniform\n{rate}" for rate in ("1e-6", "1e-5", "1e-4", "1e-3")), "cyclic\n1e-4"
    ]  # fmt: skip


PLANNED = {
    "one-run": (grid(**SMALL), set()),
    "seeds": (
        grid(**SMALL, model__activation=["sine", "elu"], training__seed=[0, 1]),
        {"improvement", *(f"improvement_{q}" for q in QUANTITIES)},
    ),
    "rates": (grid(**SMALL, training__learning_rate=RATES), {"integrated_rate"}),
    "weights": (
        grid(**SMALL, training__loss_weights=WEIGHTINGS[1:13]),
        {
            "loss_shares",
            *(f"weights_{name}" for name in ("ranking", "ranks", "pareto", "influence")),
        },
    ),
}


@pytest.mark.parametrize(("configs", "expected"), PLANNED.values(), ids=PLANNED)
def test_figures_are_planned_where_they_make_sense(tmp_path, configs, expected):
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs))
    plans = plan_figures(merged)
    assert {name for name in plans if not name.startswith(ALWAYS)} == expected
    for name in expected:
        figure = plans[name]()
        assert not overlaps(figure), name
        assert "camera 12 px" in figure.legends[0].get_title().get_text()


SCALES = {
    "all": ({}, "camera 64 px · 4 hidden layers of 128 · 1,000 steps · 2 seeds"),
    "varying-width": (
        {"model.width": [64, 128]},
        "camera 64 px · 4 hidden layers · 1,000 steps · 2 seeds",
    ),
    "own-image": (
        {"data.image": "/somewhere/cat.png", "training.steps": [1, 2]},
        "cat.png 64 px · 4 hidden layers of 128 · 2 seeds",
    ),
    "original": (
        {"training.protocol": "original", "training.seed": 0},
        "camera 64 px · 4 hidden layers of 128 · 1,000 steps · 1 seed · "
        "original protocol, errors against its own targets",
    ),
}


@pytest.mark.parametrize(("changes", "expected"), SCALES.values(), ids=SCALES)
def test_scale_says_what_all_runs_share(changes, expected):
    runs = pd.DataFrame(
        {
            "data.image": "camera",
            "data.size": 64,
            "model.width": 128,
            "model.depth": 4,
            "training.steps": 1000,
            "training.seed": [0, 1],
        }
    ).assign(**changes)
    assert study_scale(runs) == expected


def test_a_sweep_that_shares_nothing_has_no_scale():
    assert study_scale(pd.DataFrame({"model.depth": [1, 2]})) == ""


def test_ranking_starts_with_the_best(tmp_path):
    configs = grid(training__loss_weights=WEIGHTINGS, **SMALL)
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs))
    runs = merged.readable
    variation = find_variation(runs)
    (panel,) = final_values.draw_finals(metric("nmse_value"), runs, variation).axes
    best = variation.levels[WEIGHTS][runs["nmse_value"].idxmin()]
    assert panel.get_yticklabels()[-1].get_text() == best
    assert len(panel.get_yticklabels()) == 25


def overlaps(figure) -> bool:
    """True when a legend covers a panel or anything leaves the figure."""
    figure.draw_without_rendering()
    boxes = [panel.get_tightbbox() for panel in figure.axes]
    legends = [legend.get_window_extent() for legend in figure.legends]
    whole = figure.bbox.padded(1)
    inside = all(whole.containsx(b.x0) and whole.containsx(b.x1) for b in boxes + legends)
    inside &= all(whole.containsy(b.y0) and whole.containsy(b.y1) for b in boxes + legends)
    return not inside or any(a.overlaps(b) for a in boxes for b in legends)


def test_the_best_of_many_runs_are_drawn_by_themselves(tmp_path):
    merged = ensure_merged(
        write_quickly(tmp_path / "sweep", grid(training__loss_weights=WEIGHTINGS, **SMALL))
    )
    variation = find_variation(merged.readable)
    series = merged.series("nmse_value")
    figure = learning_curves.draw_curves(metric("nmse_value"), series, variation)
    median, *best = figure.axes[0].lines
    ranked = merged.readable["nmse_value"].sort_values().index[: len(best)]
    assert len(best) == 4
    for line, run in zip(best, ranked, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), series["nmse_value"][series["run"] == run])
    np.testing.assert_allclose(
        median.get_ydata(), series.groupby("step")["nmse_value"].median(), rtol=1e-12
    )
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert variation.levels[WEIGHTS][ranked[0]] in texts


@pytest.mark.parametrize("name", ["quickstart", "study", "many-weights"])
def test_legends_cover_no_data_and_no_name_is_cut(tmp_path, name):
    configs = [
        c.model_copy(update={"data": make_config(data__size=12).data}) for c in ROLES[name][0]
    ]
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs[:40]))
    plans = plan_figures(merged)
    for drawn in ("curve_nmse_time_derivative", "final_nmse_time_derivative"):
        assert not overlaps(plans[drawn]()), drawn
