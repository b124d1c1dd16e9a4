"""Make the zoom into one run: choose what to show, and write the video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np

from inr.errors import UsageError, UserError
from inr.files import replace_atomically
from inr.quantities import QUANTITIES, Quantity
from inr.results import open_run, read_heldout
from inr.storage.paths import RunLayout, SweepLayout
from postprocess.command_line import track
from postprocess.dataset.read import MergedSweep
from postprocess.dataset.run_frames import RunFrames
from postprocess.video.encoder import Format, encode
from postprocess.video.plans import zoom_target
from postprocess.video.selection import RANKED_BY, choose_by_text, order_runs
from postprocess.video.zoom_camera import find_detail, plan_views
from postprocess.video.zoom_canvas import ZoomCanvas
from postprocess.video.zoom_network import ZoomNetwork

_HOLD = 1.0  # seconds that the last picture stays


@dataclass(frozen=True)
class Subject:
    """A run to zoom into."""

    run: RunLayout
    title: tuple[str, str]
    target: Path  # of the video, without suffix
    inputs: tuple[Path, ...]  # the video is out of date when one of these is newer


@dataclass(frozen=True)
class Zoom:
    """How to show it.

    Attributes:
        scale: Magnification at the end.
        count: Number of pictures.
        centre: (x, y) of the region, px; None: where the first frame has most detail.
        derivative: What the lower row shows.
    """

    scale: float
    count: int
    centre: tuple[float, float] | None
    derivative: Quantity


def subject_of_run(directory: Path) -> Subject:
    """The run in a directory; the video goes into it.

    Raises:
        UserError: its network or its results are missing.
    """
    run = RunLayout(directory)
    for path in (run.model, run.results):
        if not path.is_file():
            raise UserError(
                f"{path}: missing. It is written when a run ends; one that diverged may have no "
                "network"
            )
    return Subject(
        run, ("zoom into one run", directory.name), directory / "zoom", (run.model, run.results)
    )


def subject_of_sweep(layout: SweepLayout, merged: MergedSweep, text: str) -> Subject:
    """The best run, by the order of `order_runs`, that has a network and ``text`` in its name.

    Raises:
        UsageError: no run has such a name.
        UserError: none of those that have it has a network.
    """
    asked = {choice.name for choice in choose_by_text(layout, merged, text)}
    ordered = order_runs(merged.readable)
    names = [name for name in ordered["name"] if name in asked]
    found = next((name for name in names if layout.run(name).model.is_file()), None)
    if found is None:
        raise UserError(
            f"{layout.root}: none of {len(names)} runs has its network (model.pt). It is written "
            "when a run ends; runs that diverged may have none"
        )
    run = layout.run(found)
    best = len(ordered) > 1 and found == ordered["name"].iloc[0]
    role = f"the best of {len(ordered)} by {RANKED_BY}" if best else "one run"
    return Subject(
        run,
        (f"zoom into {role}", found),
        zoom_target(layout, found),
        (run.model, run.results, *([merged.path] if best else [])),
    )


def write_zoom(subject: Subject, zoom: Zoom, outputs: dict[Format, Path], fps: float) -> None:
    """Film a zoom in every format that is wanted.

    Raises:
        UsageError: the region lies outside the image.
        UserError: results or network cannot be read, or a file cannot be written.
    """
    mpl.rcdefaults()  # nothing from a matplotlibrc of the user's
    with ExitStack() as stack:
        file = stack.enter_context(open_run(subject.run.results))
        frames = RunFrames(file)
        network = ZoomNetwork(subject.run.model, frames.shape)
        heldout = read_heldout(file)
        errors = {q: heldout[f"nmse_{q}"] for q in QUANTITIES} if heldout else {}
        centre = _centre(frames, zoom)
        views = plan_views(frames.shape, centre, zoom.scale, len(frames), zoom.count)
        quantities: tuple[Quantity, Quantity] = ("value", zoom.derivative)
        canvas = ZoomCanvas(frames, network, quantities, subject.title, errors, views[-1])
        hold = round(_HOLD * fps)
        temporary = {
            f: stack.enter_context(replace_atomically(path)) for f, path in outputs.items()
        }
        pictures = (canvas.draw(view) for view in track(views, "zooming"))
        encode(_hold(pictures, hold), canvas.size, zoom.count + hold, fps, temporary)


def _centre(frames: RunFrames, zoom: Zoom) -> tuple[float, float]:
    if zoom.centre is None:
        return find_detail(frames.picture("gradient", "target", 0), zoom.scale)
    height, width = frames.shape
    x, y = zoom.centre
    if not (0 <= x <= width and 0 <= y <= height):
        raise UsageError(
            f"--centre {x:g} {y:g}: outside the image. Give x from 0 to {width} and y from 0 to "
            f"{height} px, from its left and upper edge"
        )
    return x, y


def _hold(pictures: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The pictures, the last one ``count`` times more."""
    for picture in pictures:
        last = picture
        yield picture
    for _ in range(count):
        yield last
