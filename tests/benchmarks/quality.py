"""Time to quality: the recommended recipe against the reference recipe, interleaved.

reference      SIREN as published: nested autograd, Adam at a constant 1e-4, omega 30, whole frames
recommended    the sweep ``recommended``, with the product's step

Both train the same network on the same image, on all four terms. Errors are measured where nothing
was trained (pixel corners, half-way between frames) and divided by the variance of their target.
The clock stops while they are measured, for both alike. The recommended recipe has to bring all
four errors, at once and for good, down to the best that the reference has had of each until its
end.

``--ablation`` adds the sweep ``ablation``: the recipe with one part changed at a time.

Finished runs are kept beside the results, so that a benchmark that was cut off goes on; ``--fresh``
starts over, as it should after a change of the code.
"""

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import skimage.data
import torch

from inr.config import RunConfig
from inr.files import replace_atomically
from inr.storage.provenance import source
from inr.storage.sweep_index import flatten_config
from jobs.sweeps.sweep_file import find_sweep_file, load_sweep
from tests.benchmarks.quality_report import (
    Curves,
    ablation_rows,
    contest_rows,
    draw,
)
from tests.benchmarks.quality_training import Curve, check_agreement, learning_curve
from tests.benchmarks.report import circumstances, markdown_table

BUILT_IN = "camera"
IMAGES = (BUILT_IN, "coins", "gravel")
OTHERS = ("astronaut", "brick", "cell", "chelsea", "coffee", "grass", "moon", "page", "text")
SECONDS = 120.0
RECOMMENDED = "recommended"
TO = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"


@dataclass(frozen=True)
class Contestant:
    """A recipe for one image and one seed."""

    recipe: str
    image: str  # by name
    config: RunConfig  # its image may be a file
    seconds: float  # limit on training; infinite: its steps
    nested: bool = False

    @property
    def key(self) -> str:
        """What it computes, wherever its image lies."""
        data = self.config.data.model_copy(update={"image": self.image})
        identity = self.config.model_copy(update={"data": data}).run_id
        return f"{self.recipe}/{self.image}/{identity}/{self.seconds:g}"


def contestants(given: argparse.Namespace, folder: Path) -> Iterator[Contestant]:
    """Everyone in turn: the recipes take turns, so that a change of the machine meets all."""
    recipes = sweep_recipes(RECOMMENDED) | (sweep_recipes("ablation") if given.ablation else {})
    for image in given.images:
        path = image if image == BUILT_IN else str(write_image(image, folder))
        for seed in range(given.seeds):
            for recipe, base in recipes.items():
                config = placed(base, path, seed, given.steps)
                if recipe == RECOMMENDED:
                    reference = reference_to(config)
                    yield Contestant("reference", image, reference, given.seconds, nested=True)
                yield Contestant(recipe, image, config, math.inf)


def sweep_recipes(sweep: str) -> dict[str, RunConfig]:
    """The recipes of a shipped sweep, named by what differs from the recommended one."""
    configs = load_sweep(find_sweep_file(sweep)).configs
    standard = dict(
        flatten_config(load_sweep(find_sweep_file(RECOMMENDED)).configs[0].model_dump())
    )
    recipes = {}
    for config in configs:
        different = [
            f"{field} = {value}"
            for field, value in flatten_config(config.model_dump())
            if field != "training.seed" and value != standard[field]
        ]
        recipes.setdefault(", ".join(different) or RECOMMENDED, config)
    return recipes


def placed(config: RunConfig, image: str, seed: int, steps: int | None) -> RunConfig:
    """A recipe for an image and a seed; ``steps`` overrides its length."""
    training: dict[str, Any] = {"seed": seed} | ({"steps": steps} if steps else {})
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"image": image}),
            "training": config.training.model_copy(update=training),
        }
    )


def reference_to(config: RunConfig) -> RunConfig:
    """SIREN's recipe for the same image, network and terms."""
    model = config.model
    return RunConfig.model_validate(
        {
            "data": config.data.model_dump(),
            "model": {"width": model.width, "depth": model.depth},
            "training": {
                "steps": 10**9,  # the clock ends it
                "loss_weights": config.training.loss_weights.as_tuple(),
                "seed": config.training.seed,
            },
        }
    )


def write_image(name: str, folder: Path) -> Path:
    """An image that ships with scikit-image, as a file."""
    path = folder / f"{name}.png"
    iio.imwrite(path, getattr(skimage.data, name)())
    return path


class Store:
    """Finished runs, on disk after each."""

    def __init__(self, path: Path, fresh: bool) -> None:
        self.path = path
        kept = not fresh and path.is_file()
        self.runs: dict[str, Any] = json.loads(path.read_text())["runs"] if kept else {}

    def curve(self, contestant: Contestant) -> Curve:
        """Its curve, from the file or from training now."""
        if contestant.key not in self.runs:
            print(contestant.key, file=sys.stderr, flush=True)
            curve = learning_curve(
                contestant.config,
                nested=contestant.nested,
                seconds=contestant.seconds,
                tell=lambda line: print(line, file=sys.stderr, flush=True),
            )
            self.runs[contestant.key] = asdict(curve) | {"code": str(source())}
            self.save({})
        kept = self.runs[contestant.key]
        return Curve(kept["steps"], kept["seconds"], kept["errors"])

    def save(self, results: dict[str, Any]) -> None:
        """Runs and results."""
        with replace_atomically(self.path) as temporary:
            text = json.dumps({**results, "runs": self.runs}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")


def report(given: argparse.Namespace, curves: Curves, difference: float, store: Store) -> str:
    """Tables, as Markdown; figure and JSON on disk."""
    recipes = list(dict.fromkeys(recipe for recipe, _, _ in curves if recipe != "reference"))
    results: dict[str, Any] = {
        "title": "Time to quality",
        "facts": circumstances()
        | {
            "threads": str(torch.get_num_threads()),
            "code": ", ".join(sorted({run["code"] for run in store.runs.values()})),
            "seeds": str(given.seeds),
            "first gradients of the two ways differ by": f"{difference:.1e}",
            "load at the end": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        },
        "contest": contest_rows(curves, given.images),
    }
    if given.ablation:
        results["ablation"] = ablation_rows(curves, recipes, given.images)
    store.save(results)
    draw(curves, given.images, given.to / "quality.png")
    parts = ["\n".join(f"- {name}: {fact}" for name, fact in results["facts"].items())]
    parts += [markdown_table(results[name]) for name in ("contest", "ablation") if name in results]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", nargs="+", choices=sorted({*IMAGES, *OTHERS}), default=IMAGES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="training of the reference")
    parser.add_argument("--steps", type=int, help="other length of the recommended recipe")
    parser.add_argument("--ablation", action="store_true", help="also every part changed")
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works")
    parser.add_argument("--fresh", action="store_true", help="forget finished runs")
    parser.add_argument("--to", type=Path, help=f"folder of the results (default: {TO.name})")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.quick:
            given.images, given.seeds, given.seconds, given.steps = (BUILT_IN,), 1, 6.0, 60
        given.to = given.to or (folder if given.quick else TO)
        given.to.mkdir(parents=True, exist_ok=True)
        store = Store(given.to / "quality.json", given.fresh)
        everyone = list(contestants(given, folder))
        difference = check_agreement(everyone[0].config)
        curves = {(c.recipe, c.image, c.config.training.seed): store.curve(c) for c in everyone}
        text = report(given, curves, difference, store)
        (given.to / "quality.md").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
