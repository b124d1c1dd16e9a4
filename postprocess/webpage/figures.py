"""The figures that a report shows, and what it says of each."""

from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as imageio

from inr.errors import UserError
from inr.metrics import METRICS
from inr.storage.paths import SweepLayout
from postprocess.stats.factors import Axis, name_targets, target_folder
from postprocess.stats.loss_weightings import NAMES
from postprocess.webpage.wording import capitalize

_ZOOM = 0.625  # CSS px of the page per px of a figure
_COLUMN = 480  # CSS px of a column of pictures

_ALL_ELSE = "On the training grid, all else equal; 0.5 says nothing."
_CAPTIONS = {
    "overview": (
        "All four errors on the training grid",
        "At the end of training, best setting first. The dashed line is predicting the mean.",
    ),
    "overview_heldout": (
        "All four errors held out",
        "The same between pixels and frames, where nothing was trained: the order may differ.",
    ),
    "tradeoff": (
        "Errors of the derivatives against that of the value",
        "On the training grid. Does a good value mean good derivatives? A point for each run.",
    ),
    "heldout": (
        "Between pixels and frames against on them",
        "On the diagonal a network is as good where nothing was trained; above it, worse.",
    ),
    "weights_ranking": (
        "Best weightings",
        "The best on each error, with their ranks on the others, on the training grid.",
    ),
    "weights_ranks": (
        "Rank of every weighting on each error",
        "Does the best on the value fail on the gradient?",
    ),
    "weights_pareto": (
        "Weightings that no other beats on both errors",
        "The error of the value against that of each derivative.",
    ),
    "weights_influence": (
        "Which weight matters for which error",
        "Rank correlation; negative: more weight, less error.",
    ),
    "improvement": ("How probably one setting beats another", _ALL_ELSE),
    **{
        f"improvement_{q}": (f"How probably one setting beats another on the {n} error", _ALL_ELSE)
        for q, n in NAMES.items()
    },
    "loss_shares": (
        "What the loss consists of",
        "Share of each term while training. Of more than six settings this is a choice, from the "
        "best to the worst.",
    ),
    "integrated_rate": (
        "Errors against the learning rate summed over all steps",
        "In steps at 1e-4: does a schedule do more than train less?",
    ),
    "curve_loss": (
        "training loss",
        "It depends on the weights of its terms: between weightings it ranks nothing.",
    ),
    "final_pde_residual": (
        METRICS["pde_residual"].label,
        "On the training grid. Small also for a network that hardly changes in time: read it "
        "beside the errors.",
    ),
    **{
        f"{kind}_{name}": (
            METRICS[name].label,
            "On the training grid, after each frame's mean error is subtracted.",
        )
        for kind in ("curve", "final")
        for name in ("nmse_value_mean_removed", "psnr_value_mean_removed")
    },
    "curve_lr": ("learning rate", "As it was used, once for each schedule."),
}
_FIRST = "At a glance"
_KINDS = (  # prefix of the name, heading, caption
    ("curve_", "During training", "On the training grid, against optimiser steps."),
    ("final_", "At the end of training", "On the training grid, by the settings that vary."),
)


@dataclass(frozen=True)
class Picture:
    """One figure."""

    title: str
    caption: str
    path: Path
    width: int  # CSS px, so that texts have the same size in all of them
    height: int

    @property
    def pdf(self) -> Path | None:
        """The same as PDF, if it was drawn."""
        path = self.path.with_suffix(".pdf")
        return path if path.is_file() else None

    @property
    def wide(self) -> bool:
        """Whether it would have to shrink to stand beside another one."""
        return self.width > _COLUMN


def find_figures(layout: SweepLayout, target: Axis | None) -> dict[str, list[Picture]]:
    """All figures that were drawn, by the heading that they come under.

    First those of the whole sweep, then those of each level of ``target``. Raises `UserError` if
    one of them is no picture.
    """
    groups: dict[str, list[Picture]] = {_FIRST: [], **{heading: [] for _, heading, _ in _KINDS}}
    found = [("", path) for path in sorted(layout.figures.glob("*.png"), key=_importance)]
    if target is not None:
        for level in target.levels:
            paths = sorted((layout.figures / target_folder(level)).glob("*.png"), key=_importance)
            found += [(f"{capitalize(target.label)}: {level}", path) for path in paths]
    for own, path in found:
        try:
            sides = imageio.improps(path, plugin="pillow").shape[:2]
        except OSError as error:
            raise UserError(
                f"{path}: cannot be read as a picture. `python postprocess/figures.py --force` "
                "draws it again"
            ) from error
        height, width = (round(side * _ZOOM) for side in sides)
        heading, title, caption = _describe(path.stem)
        over = f"over {name_targets(target)}" if target and heading == _FIRST else ""
        title = f"{title} ({own or over})" if own or over else title
        picture = Picture(capitalize(title), caption, path, width, height)
        groups.setdefault(own or heading, []).append(picture)
    return {heading: pictures for heading, pictures in groups.items() if pictures}


def _describe(stem: str) -> tuple[str, str, str]:
    """Heading, title and caption of a figure."""
    for prefix, heading, caption in _KINDS:
        if stem.startswith(prefix):
            name = stem.removeprefix(prefix)
            label = METRICS[name].label if name in METRICS else name.replace("_", " ")
            return heading, *_CAPTIONS.get(stem, (label, caption))
    return _FIRST, *_CAPTIONS.get(stem, (stem.replace("_", " "), ""))


def _importance(path: Path) -> tuple[int, str]:
    """Of what is drawn of each metric, errors first; other figures as they have captions."""
    metrics = sorted(METRICS, key=lambda name: not name.startswith("nmse_"))
    known = [*(f"{prefix}{name}" for prefix, *_ in _KINDS for name in metrics), *_CAPTIONS]
    return known.index(path.stem) if path.stem in known else len(known), path.stem
