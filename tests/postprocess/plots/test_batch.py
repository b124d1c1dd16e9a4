"""Every sweep gets all of its figures, whatever its runs look like."""

import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest

from inr.errors import UserError
from inr.metrics import ADDED_METRICS, METRICS
from inr.quantities import QUANTITIES
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.plots import batch, style
from postprocess.plots.batch import plan_figures, write_figures
from postprocess.worker_pool import ChildLostError
from tests.helpers.figures import RATES, SMALL, WEIGHTINGS, overlaps, write_quickly
from tests.helpers.synthetic import call, grid, quickstart, without_added_metrics

ALWAYS = ("overview", "curve_", "final_", "heldout", "tradeoff")  # every sweep gets them


def test_quickstart_gets_all_figures_once(eight, capsys):
    assert call("figures", eight.root, "--format", "png") == 0
    names = {path.name for path in eight.figures.iterdir()}
    for name in METRICS:
        if not name.startswith("mse_") and name not in ADDED_METRICS:  # all learn the value
            assert {f"{kind}_{name}.png" for kind in ("curve", "final")} <= names
    assert {
        "overview.png",
        "overview_heldout.png",
        "curve_loss.png",
        "curve_lr.png",
        "heldout.png",
        "tradeoff.png",
    } <= names
    assert len(names) == 27
    assert "wrote 27 files" in capsys.readouterr().out
    picture = matplotlib.image.imread(eight.figures / "curve_nmse_value.png")
    assert picture.shape[1] == round(style.PAGE_WIDTH * 200)
    assert np.unique(picture.reshape(-1, picture.shape[-1]), axis=0).shape[0] > 50  # not blank

    (eight.figures / "heldout.png").unlink()
    assert call("figures", eight.root, "--format", "png") == 0
    said = capsys.readouterr().out
    assert "wrote 1 file in" in said
    assert "kept 26 up-to-date files" in said


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
    said = capsys.readouterr().err
    assert "--only nonsense: no figure" in said
    assert "overview, " in said


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


PLANNED = {
    "one-run": (grid(**SMALL), set()),
    "two-seeds": (grid(**SMALL, model__activation=["sine", "elu"], training__seed=[0, 1]), set()),
    "seeds": (
        grid(**SMALL, model__activation=["sine", "elu"], training__seed=[0, 1, 2]),
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


@pytest.mark.parametrize(
    ("weights", "old", "shown"),
    [((1, 0.1), False, False), ((1, 0), False, True), ((1, 0), True, False)],
    ids=["value always trained", "not always", "not always, but not measured"],
)
def test_errors_with_the_mean_removed_are_drawn_of_runs_without_the_value(
    tmp_path, weights, old, shown
):
    weightings = [(weight, 1, 0, 0) for weight in weights]
    layout = write_quickly(tmp_path, grid(**SMALL, training__loss_weights=weightings))
    if old:
        for path in layout.runs.rglob("run.h5"):
            without_added_metrics(path)
    merged = ensure_merged(layout)
    plans = plan_figures(merged)
    names = {f"{kind}_{name}" for kind in ("curve", "final") for name in ADDED_METRICS}
    assert names & plans.keys() == (names if shown else set())
    assert call("report", layout.root) == 0
    assert ("value PSNR, mean removed (dB)</th>" in layout.report.read_text()) == shown


def test_figures_that_are_drawn_no_more_are_removed_but_never_the_users(eight):
    old, own = eight.figures / "targets" / "v1.5" / "old", eight.figures / "own.png"
    figure = matplotlib.figure.Figure(layout="constrained")
    figure.add_subplot()
    style.save(figure, old)
    matplotlib.image.imsave(own, np.zeros((8, 8)))
    write_figures(eight, ensure_merged(eight), only="tradeoff")
    assert sorted(path.name for path in old.parent.iterdir()) == ["old.pdf", "old.png"]
    write_figures(eight, ensure_merged(eight), formats=["png"])
    assert list(old.parent.iterdir()) == []
    assert own.is_file()
