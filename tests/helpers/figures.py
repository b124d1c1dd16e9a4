"""Sweeps of every shape that figures must show, and whether a figure keeps its parts apart."""

from pathlib import Path

from inr.storage.paths import SweepLayout
from tests.helpers.synthetic import grid, make_config, quickstart, write_index, write_run

SMALL = {"data__size": [12], "data__frames": [2]}
WEIGHTINGS = [(1, a, b, c) for a in (0, 0.1, 1) for b in (0, 0.1, 1) for c in (0, 0.1, 1)]
SCHEDULES = ["uniform", "exponential", "multi_step", "cyclic", "cosine"]
RATES = [1e-6, 1e-5, 1e-4, 1e-3]
WEIGHTS, RATE = "training.loss_weights", "training.learning_rate"
ACTIVATION, SCHEDULE = "model.activation", "training.schedule"
# name -> its runs, and the role of each axis
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
    "coupled": (  # the width follows from the depth
        [make_config(model__depth=d, model__width=64 * d) for d in (1, 2, 3)],
        {"hue": "model.width+model.depth"},
    ),
    "many-settings": (  # two recipes
        [
            config.model_copy(update={"model": config.model.model_copy(update=recipe)})
            for recipe in ({}, {"depth": 1, "omega_first": 20, "time_scale": 0.2})
            for config in grid(model__activation=["sine", "elu", "tanh"], training__seed=[0, 1])
        ],
        {"hue": ACTIVATION, "style": "model.depth+model.omega_first+model.time_scale"},
    ),
}


def write_quickly(root: Path, configs, diverged=(), missing=(), **options) -> SweepLayout:
    layout = SweepLayout(root)
    configs = list(configs)
    for entry, config in zip(write_index(layout, configs), configs, strict=True):
        if entry.task not in missing:
            status = "diverged" if entry.task in diverged else "complete"
            path = layout.run(entry.name).results
            write_run(path, config, name=entry.name, status=status, shape=(12, 12), **options)
    return layout


def overlaps(figure) -> bool:
    """True when a legend covers a panel or anything leaves the figure."""
    figure.draw_without_rendering()
    boxes = [panel.get_tightbbox() for panel in figure.axes]
    legends = [legend.get_window_extent() for legend in figure.legends]
    whole = figure.bbox.padded(1)
    inside = all(whole.containsx(b.x0) and whole.containsx(b.x1) for b in boxes + legends)
    inside &= all(whole.containsy(b.y0) and whole.containsy(b.y1) for b in boxes + legends)
    return not inside or any(a.overlaps(b) for a in boxes for b in legends)


def text_share(figure) -> float:
    """The part of a figure's height beside its panels: heading, legend and caption."""
    figure.draw_without_rendering()
    boxes = [panel.get_tightbbox() for panel in figure.axes]
    return 1 - (max(b.y1 for b in boxes) - min(b.y0 for b in boxes)) / figure.bbox.height


def unlabelled(figure) -> list[str]:
    """Ticks that are drawn without a label, and axes of values with fewer than two ticks."""
    figure.draw_without_rendering()
    found = []
    for panel in figure.axes:
        for name, axis in (("x", panel.xaxis), ("y", panel.yaxis)):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
            label = "label2" if axis.get_ticks_position() in ("top", "right") else "label1"
            drawn = [t for t in ticks if t.tick1line.get_visible() or t.tick2line.get_visible()]
            bare = [t for t in drawn if not getattr(t, label).get_text()]
            if bare or len(axis.get_minorticklocs()):
                found.append(f"{panel.get_title()} {name}: ticks without a label")
            if axis.get_scale() == "log" and len(ticks) < 2:
                found.append(f"{panel.get_title()} {name}: {len(ticks)} ticks")
    return found
