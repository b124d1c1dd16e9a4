"""Post-processing: video frames against a figure per frame, figures of a sweep, and commands.

Contestants take turns. Frames are drawn from the same run by this product and by a matplotlib
figure for every frame (`tests.benchmarks.frame_figures`), and compared first. Drawing is one
thread's work and given as CPU time; encoding works beside it, and is given as wall time. What is
drawn once a video is counted apart, and shared among its frames. Figures and commands run as a
user runs them, in processes of their own.

Writes ``postprocess.json``, ``postprocess.md`` and ``postprocess.png`` to ``--output``.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from inr.config import RunConfig
from inr.results import open_run
from inr.storage.paths import SweepLayout
from postprocess.dataset.run_frames import RunFrames
from postprocess.video import run_video
from postprocess.video.encoder import FORMATS, encode
from tests.benchmarks.frame_figures import check_same, draw_frames
from tests.benchmarks.report import circumstances, markdown_table
from tests.helpers.synthetic import grid, make_config, write_index, write_run

ROOT = Path(__file__).resolve().parents[2]
OURS, PEER = "ours", "figure per frame"
COLOURS = {OURS: "#0072B2", PEER: "#999999"}
NAME, SIGMAS = "1_0_0_0/sine_uniform_1e-4", (0.7, 4.0)
PACKAGES = ("matplotlib", "seaborn", "pandas", "numpy", "h5py", "imageio-ffmpeg")
WEIGHTINGS = [(1, 0, 0, 0), (1, 0.1, 0, 0), (1, 0.1, 0.01, 0), (1, 0.1, 0.01, 0.1), (0, 1, 0, 0)]
SCHEDULES = ["uniform", "exponential", "multi_step", "cyclic", "cosine"]


Pictures = Callable[[], Iterator[np.ndarray]]
# what a video needs once, then its pictures
WAYS: dict[str, Callable[[RunFrames], Pictures]] = {
    OURS: lambda frames: partial(run_video.draw_frames, [frames], NAME),
    PEER: lambda frames: partial(draw_frames, frames, NAME, SIGMAS),
}


@dataclass
class Timings:
    """Repeated measurements of one thing, all in one unit."""

    what: str
    way: str
    unit: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def row(self) -> dict[str, Any]:
        """For the JSON document."""
        return {
            "what": self.what,
            "way": self.way,
            "unit": self.unit,
            "median": self.median,
            "low": min(self.values),
            "high": max(self.values),
            "values": self.values,
        }


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    frames: int  # of a video
    seeds: int  # of the sweeps whose figures are drawn
    points: int  # of every series


FULL = Size(rounds=7, frames=10, seeds=5, points=1_000)
QUICK = Size(rounds=2, frames=3, seeds=1, points=50)


def measure_frames(folder: Path, pixels: int, size: Size) -> tuple[list[Timings], int]:
    """Milliseconds a frame, drawn and drawn and encoded; and how many pixels were compared."""
    path = folder / f"run{pixels}.h5"
    write_run(path, make_config(data__frames=size.frames), shape=(pixels, pixels))
    label = f"video frame, {pixels} x {pixels} px"
    kinds = ("drawn", "drawn, set-up included", "drawn and encoded")
    found = {(kind, way): Timings(f"{label}, {kind}", way, "ms") for kind in kinds for way in WAYS}
    with open_run(path) as file:
        frames = RunFrames(file)
        shape, count = frames.shape, len(frames)
        theirs = draw_frames(frames, NAME, SIGMAS, interpolation="nearest")
        pairs = zip(WAYS[OURS](frames)(), theirs, strict=True)
        compared = sum(check_same(*pair, shape) for pair in pairs)
        for _ in range(size.rounds):
            for way, prepare in WAYS.items():
                started = time.process_time()
                pictures = prepare(frames)
                prepared = time.process_time()
                for _picture in pictures():
                    pass
                ended = time.process_time()
                found["drawn", way].values.append(1e3 * (ended - prepared) / count)
                found["drawn, set-up included", way].values.append(1e3 * (ended - started) / count)
            for way, prepare in WAYS.items():
                outputs = {kind: folder / f"video.{kind}" for kind in FORMATS}
                begun = time.perf_counter()
                encode(prepare(frames)(), count, 4.0, outputs)
                seconds = time.perf_counter() - begun
                found["drawn and encoded", way].values.append(1e3 * seconds / count)
    return list(found.values()), compared


def sweeps(size: Size) -> dict[str, list[RunConfig]]:
    """Sweeps of 100 runs in full size: with seeds in 5 panels a figure, without in 25."""
    settings: dict[str, list[Any]] = {
        "training__loss_weights": WEIGHTINGS,
        "model__activation": ["sine", "elu"],
        "training__learning_rate": [1e-4, 1e-3],
        "training__steps": [size.points - 1],
        "record__metrics_every": [1],
    }
    return {
        "seeds": grid(**settings, training__seed=list(range(size.seeds))),
        "schedules": grid(**settings, training__schedule=SCHEDULES[: size.seeds]),
    }


def write(root: Path, configs: Sequence[RunConfig]) -> SweepLayout:
    """A merged sweep of complete runs without frames."""
    layout = SweepLayout(root)
    for entry, config in zip(write_index(layout, configs), configs, strict=True):
        write_run(layout.run(entry.name).results, config, name=entry.name, shape=None)
    run("postprocess/merge.py", str(root))
    return layout


def run(*command: str) -> tuple[float, float]:
    """Run a script of this product; its wall and CPU seconds, with all its children."""
    before, started = _cpu_seconds(), time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started, _cpu_seconds() - before


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure_figures(layouts: dict[str, SweepLayout], size: Size) -> list[Timings]:
    """Seconds for all figures of a sweep, and for one of them."""
    found = []
    for _ in range(max(2, size.rounds // 2)):
        for kind, layout in layouts.items():
            seconds, cpu = run("postprocess/figures.py", str(layout.root), "--force")
            count = len(list(layout.figures.glob("*.png")))
            runs = len(list(layout.root.rglob("run.h5")))
            what = f"{runs} runs ({kind}) x {size.points:,} points"
            found += [
                (f"all {count} figures, png and pdf: {what}", "s", seconds),
                (f"all {count} figures, CPU time: {what}", "s", cpu),
                (f"one figure: {what}", "s", seconds / count),
            ]
    return _collect(found)


def measure_commands(sweep: SweepLayout, size: Size) -> list[Timings]:
    """CPU seconds of commands that should answer at once."""
    output = ("--output", str(sweep.root.parent / "new"))
    commands = {
        "launch.py --help": ("jobs/launch.py", "--help"),
        "launch.py --local --dry-run": ("jobs/launch.py", "--local", "--dry-run", *output),
        "manage.py status": ("jobs/manage.py", "status", str(sweep.root)),
    }
    found = []
    for _ in range(2 * size.rounds):
        found += [
            (f"{name}, CPU time", "s", run(*command)[1]) for name, command in commands.items()
        ]
    return _collect(found)


def _collect(found: Sequence[tuple[str, str, float]]) -> list[Timings]:
    """Measurements of the same thing together."""
    timings: dict[str, Timings] = {}
    for what, unit, value in found:
        timings.setdefault(what, Timings(what, OURS, unit)).values.append(value)
    return list(timings.values())


def rows(timings: Sequence[Timings]) -> list[dict[str, str]]:
    """The Markdown table; ratios over this product, where there are two ways."""
    ours = {each.what: each.median for each in timings if each.way == OURS}
    alone = {each.what for each in timings} - {e.what for e in timings if e.way == PEER}
    return [
        {
            "what": each.what,
            "way": each.way,
            "median": f"{each.median:.3g} {each.unit}",
            "lowest to highest": f"{min(each.values):.3g} to {max(each.values):.3g}",
            "time / ours": "" if each.what in alone else f"{each.median / ours[each.what]:.1f}",
        }
        for each in timings
    ]


def draw(timings: Sequence[Timings], path: Path) -> None:
    """Time a frame by way, and seconds of figures and commands."""
    frames = [each for each in timings if each.unit == "ms"]
    figure, axis = plt.subplots(figsize=(7.2, 0.6 + 0.3 * len(frames)), layout="constrained")
    names = [f"{each.what.removeprefix('video frame, ')}: {each.way}" for each in frames]
    medians = np.array([each.median for each in frames])
    low, high = (np.array([f(each.values) for each in frames]) for f in (min, max))
    bars = axis.barh(
        names, medians, xerr=(medians - low, high - medians), color=[COLOURS[e.way] for e in frames]
    )
    axis.bar_label(bars, labels=[f"{m:.0f}" for m in medians], padding=4, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel("ms a video frame: median, lowest, highest")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def publish(timings: Sequence[Timings], facts: dict[str, Any], folder: Path) -> None:
    """Print the table, and write it with the JSON document and the figure."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    text += f"\n\n{markdown_table(rows(timings))}\n"
    print(text)
    document = {"title": "Post-processing", "facts": facts, "rows": [e.row for e in timings]}
    (folder / "postprocess.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "postprocess.md").write_text(text)
    draw(timings, folder / "postprocess.png")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    load = os.getloadavg()
    timings, checked = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for pixels in (64, 256):
            found, compared = measure_frames(folder, pixels, size)
            timings += found
            checked.append(f"{compared:,} ({pixels} px)")
        layouts = {kind: write(folder / kind, configs) for kind, configs in sweeps(size).items()}
        timings += measure_figures(layouts, size)
        timings += measure_commands(layouts["seeds"], size)
    facts = circumstances(PACKAGES) | {
        "rounds": size.rounds,
        "frames a video": size.frames,
        "pixels of panels compared, all equal but for rounding": ", ".join(checked),
        "load before": ", ".join(f"{each:.1f}" for each in load),
        "load after": ", ".join(f"{each:.1f}" for each in os.getloadavg()),
    }
    publish(timings, facts, given.output)


if __name__ == "__main__":
    main()
