"""Legends below the panels, a titled column for each visual role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from postprocess.intervals import FEW
from postprocess.plots import style
from postprocess.stats.factors import Axis, Roles


@dataclass(frozen=True)
class Section:
    """One titled column of a legend."""

    title: str  # "" for a column that goes on with the one before
    entries: Sequence[tuple[Artist, str]]


def blank() -> Line2D:
    """A legend handle that shows nothing."""
    return Line2D([], [], linestyle="none")


def add_legend(figure: Figure, sections: Sequence[Section]) -> None:
    """Put one legend below the panels, a column for each section; it never covers data."""
    sections = [section for section in sections if section.entries]
    if not sections:
        return
    height = max(len(section.entries) for section in sections)
    handles: list[Artist] = []
    labels: list[str] = []
    for section in sections:
        padding = [(blank(), "")] * (height - len(section.entries))
        heading = f"{section.title}:" if section.title else ""
        for handle, label in [(blank(), heading), *section.entries, *padding]:
            handles.append(handle)
            labels.append(label)
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(sections), columnspacing=1.5
    )
    # the panels keep their height: the legend gets its own
    width, panels = figure.get_size_inches()
    figure.set_size_inches(width, panels + 0.16 * (height + 1))


def role_sections(roles: Roles, *, points: bool = False) -> list[Section]:
    """Legend sections for colour and line style, or for colour and marker."""
    sections = []
    if roles.hue:
        swatch = _dot if points else _line
        entries = [(swatch(c), level) for level, c in style.colors(roles.hue).items()]
        sections.append(Section(roles.hue.label, entries))
    if roles.style:
        shape = _marker if points else _dashes
        entries = [(shape(roles.style, level), level) for level in roles.style.levels]
        sections.append(Section(roles.style.label, entries))
    return sections


def interval_entries(seeds: int, marker: str = "_") -> list[tuple[Artist, str]]:
    """Legend entries for what `Measure.summarise` gives of ``seeds`` runs: a marker on a line."""
    shape = style.ESTIMATE if marker == "_" else {"linestyle": "none", "marker": marker}
    point = Line2D([], [], color=style.NEUTRAL, **shape)
    bar = Line2D([], [], color=style.NEUTRAL, linewidth=style.INTERVAL_WIDTH)
    few = " (the range)" if seeds <= FEW else ""
    return [(point, "interquartile mean"), (bar, f"95 % bootstrap interval{few}")]


def _line(color: str) -> Line2D:
    return Line2D([], [], color=color)


def _dot(color: str) -> Line2D:
    return Line2D([], [], color=color, linestyle="none", marker="o")


def _marker(axis: Axis, level: str) -> Line2D:
    return Line2D([], [], color=style.NEUTRAL, linestyle="none", marker=style.markers(axis)[level])


def _dashes(axis: Axis, level: str) -> Line2D:
    pattern = style.dashes(axis)[level]
    return Line2D([], [], color=style.NEUTRAL, linestyle=(0, pattern) if pattern else "-")
