"""Figures and videos of the report: linked beside it, or embedded in it."""

from __future__ import annotations

import base64
import math
import mimetypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import imageio.v3 as imageio
import pandas as pd

from inr.errors import UserError
from inr.quantities import METRICS
from inr.storage.paths import SweepLayout
from postprocess.dataset.run_reader import READABLE
from postprocess.stats.loss_weightings import NAMES
from postprocess.stats.ranking import AWARDS, OVERALL, Ranking
from postprocess.webpage.featured_videos import Clip
from postprocess.webpage.wording import describe, number

_MOST_PLAYERS = 8  # up to here every video gets one
_ZOOM = 0.625  # CSS px of the page per px of a figure
_COLUMN = 480  # CSS px of a column of pictures

_CAPTIONS = {
    "overview": (
        "All four errors at the end of training",
        "Best setting first. The dashed line is what predicting the mean gives.",
    ),
    "tradeoff": (
        "Errors of the derivatives against that of the value",
        "Does a good value mean good derivatives? A point for each run.",
    ),
    "heldout": (
        "Between pixels and frames against on them",
        "On the diagonal a network is as good where nothing was trained; above it, worse.",
    ),
    "weights_ranking": (
        "Best weightings",
        "The best on each error, with their ranks on the others.",
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
    "improvement": (
        "How probably one setting beats another",
        "All else equal; 0.5 says nothing.",
    ),
    **{
        f"improvement_{quantity}": (
            f"How probably one setting beats another on the {name} error",
            "All else equal; 0.5 says nothing.",
        )
        for quantity, name in NAMES.items()
    },
    "loss_shares": ("What the loss consists of", "Share of each term while training."),
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
        "Small also for a network that hardly changes in time: read it beside the errors.",
    ),
    "curve_lr": ("learning rate", "As it was used, once for each schedule."),
}
_KINDS = (
    ("curve_", "During training", "Against optimiser steps."),
    ("final_", "At the end of training", "Every run, by the settings that vary."),
)
_FIRST = "At a glance"

_Choice = tuple[pd.Series, str, str]  # a run to show, why, and its setting in words


@dataclass(frozen=True)
class Picture:
    """One figure."""

    title: str
    caption: str
    source: str  # URL
    pdf: str  # URL, or "" where there is none to link
    width: int  # CSS px, so that texts have the same size in all of them
    height: int

    @property
    def wide(self) -> bool:
        """Whether it would have to shrink to stand beside another one."""
        return self.width > _COLUMN


@dataclass(frozen=True)
class Media:
    """Gives the URLs of files of one sweep, as a page in its root directory refers to them."""

    layout: SweepLayout
    embed: bool

    def url(self, path: Path) -> str:
        """A relative link, or the content of the file as a ``data:`` URL.

        Raises `OSError` if a file to embed cannot be read.
        """
        if not self.embed:
            return quote(path.relative_to(self.layout.root).as_posix())
        kind, _ = mimetypes.guess_type(path.name)
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

    def figures(self) -> list[tuple[str, list[Picture]]]:
        """All figures that were drawn, under their headings.

        Raises:
            UserError: one of them is no picture.
            OSError: one of them cannot be read.
        """
        groups: dict[str, list[Picture]] = {_FIRST: [], **{kind[1]: [] for kind in _KINDS}}
        for path in sorted(self.layout.figures.glob("*.png"), key=_importance):
            heading, picture = self._picture(path)
            groups[heading].append(picture)
        return [(heading, pictures) for heading, pictures in groups.items() if pictures]

    def _picture(self, path: Path) -> tuple[str, Picture]:
        heading, title, caption = _caption(path.stem)
        height, width = _size(path)
        pdf = path.with_suffix(".pdf")
        linked = pdf.is_file() and not self.embed
        return heading, Picture(
            title[:1].upper() + title[1:],
            caption,
            self.url(path),
            self.url(pdf) if linked else "",
            round(width * _ZOOM),
            round(height * _ZOOM),
        )

    def videos(self, ranking: Ranking) -> dict[str, Path]:
        """The videos of all runs that have one, by name, best settings first."""
        names = (
            name
            for setting in ranking.settings
            for name, status in zip(setting.runs["name"], setting.runs["status"], strict=True)
            if status in READABLE
        )
        root = self.layout.videos.resolve()
        paths = {name: self.layout.videos / f"{name}.mp4" for name in names}
        return {
            name: path
            for name, path in paths.items()
            if path.is_file() and path.resolve().is_relative_to(root)
        }

    def clips(
        self, ranking: Ranking, videos: Mapping[str, Path], highlights: Sequence[Clip] = ()
    ) -> list[Clip]:
        """Videos to show: highlights, then all if they are few, or else those of chosen settings.

        Args:
            ranking: All settings.
            videos: The videos of single runs, by name.
            highlights: What is shown first; runs that it shows whole are not shown again.
        """
        chosen = self._all if len(videos) <= _MOST_PLAYERS else self._chosen
        shown = {highlight.name for highlight in highlights if highlight.whole_run}
        return [
            *highlights,
            *self._of_runs(chosen(ranking), {n: p for n, p in videos.items() if n not in shown}),
        ]

    def _of_runs(self, chosen: Iterable[_Choice], videos: Mapping[str, Path]) -> list[Clip]:
        return [
            Clip(
                name=run["name"],
                title=title[:1].upper() + title[1:],
                caption=f"{text}; error over all {number(run[OVERALL.column])}",
                path=videos[run["name"]],
            )
            for run, title, text in chosen
            if run["name"] in videos
        ]

    def _all(self, ranking: Ranking) -> Iterator[_Choice]:
        for place, setting in enumerate(ranking.settings, start=1):
            text = ", ".join(describe(setting, ranking.variation.axes))
            for _, run in setting.runs.iterrows():
                ranked = math.isfinite(run[OVERALL.column])
                yield run, f"Rank {place}" if ranked else "Diverged", text

    def _chosen(self, ranking: Ranking) -> Iterator[_Choice]:
        titles: dict[int, list[str]] = {}
        for score in AWARDS:
            if score.column in ranking.best:
                titles.setdefault(id(ranking.best[score.column]), []).append(f"best {score.label}")
        ordered = ranking.ordered(OVERALL)
        if ordered:
            titles.setdefault(id(ordered[len(ordered) // 2]), []).append("median over all")
            titles.setdefault(id(ordered[-1]), []).append("worst over all")
        settings = {id(setting): setting for setting in ranking.settings}
        for key, reasons in titles.items():
            text = ", ".join(describe(settings[key], ranking.variation.axes))
            yield settings[key].typical, ", ".join(reasons), text


def files(layout: SweepLayout) -> Sequence[Path]:
    """Every figure and video that a report may show, in a fixed order."""
    figures = (path for suffix in ("png", "pdf") for path in layout.figures.glob(f"*.{suffix}"))
    return sorted([*figures, *layout.videos.rglob("*.mp4")])


def _size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, px. Raises `UserError` if it is none."""
    try:
        height, width = imageio.improps(path, plugin="pillow").shape[:2]
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read as a picture. `python postprocess/figures.py --force` draws "
            "it again"
        ) from error
    return height, width


def _caption(stem: str) -> tuple[str, str, str]:
    """Heading, title and caption of a figure."""
    for prefix, heading, caption in _KINDS:
        if stem.startswith(prefix):
            name = stem.removeprefix(prefix)
            label = METRICS[name].label if name in METRICS else name.replace("_", " ")
            return heading, *_CAPTIONS.get(stem, (label, caption))
    return _FIRST, *_CAPTIONS.get(stem, (stem.replace("_", " "), ""))


def _importance(path: Path) -> tuple[int, str]:
    """Figures by kind, then as the results contract lists what they show."""
    known = [*_CAPTIONS, *(f"{prefix}{name}" for prefix, *_ in _KINDS for name in METRICS)]
    return known.index(path.stem) if path.stem in known else len(known), path.stem
