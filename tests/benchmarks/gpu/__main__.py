"""One training step on a GPU: ours against what one would otherwise use, interleaved.

Every contestant computes the loss and all parameter gradients of one network on one batch, which is
checked first against nested autograd in float64. Then they take turns; medians are given. Full
float32 products and TF32 are measured apart. Then packs: sixteen runs as one against one alone.

``--device cpu --quick`` tries the same on a machine without a GPU. Writes ``gpu.json``, ``gpu.md``
and ``gpu.png`` to ``--output``. Contestants that cannot be built here are left out and named.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
import torch

from inr.config import RunConfig
from inr.network.matmul import arithmetic
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.fit import Run
from inr.training.step import take_step
from inr.training.step_graph import prepare_graph
from inr.training.trainer import Trainer
from tests.benchmarks import steps
from tests.benchmarks.derivatives import reference
from tests.benchmarks.gpu.contestants import BASE, CONTESTANTS, FLOORS, Device
from tests.benchmarks.report import circumstances, markdown_table
from tests.benchmarks.steps import Case, as_numpy

PRECISIONS = {"float32": "highest", "tf32": "high"}  # by torch's own name of it
CASES = [Case(width=w, points=p) for w in (128, 256, 512) for p in (1024, 8192, 65_536)]
PACK = 16
_PACK_STEPS = 50


def measure(case: Case, device: Device, precision: str, rounds: int) -> list[dict[str, Any]]:
    """All contestants in turn on one case, in one precision."""
    torch.compiler.reset()
    problem = steps.make_problem(case, device.name)
    expected = reference(problem)[1]
    rows: dict[str, dict[str, Any]] = {}
    built = {}
    for name, build in CONTESTANTS.items():
        print(f"{case.label}, {precision}: {name}", file=sys.stderr)
        started = time.perf_counter()
        try:
            built[name] = step = build(problem)
            gradients = step()[1]
            device.wait()
        except Exception as error:  # whatever a library says to this machine
            rows[name] = {"left_out": f"{type(error).__name__}: {error}".splitlines()[0]}
            built.pop(name, None)
            continue
        row: dict[str, Any] = {"first_s": time.perf_counter() - started}
        if name not in FLOORS:
            row["gradient_error"] = _relative_error(gradients, expected)
        row["launches"], row["peak_bytes"] = device.launches(step), device.peak_bytes(step)
        rows[name] = row
    seconds: dict[str, list[float]] = {name: [] for name in built}
    for _ in range(rounds):
        for name, step in built.items():
            started = time.perf_counter()
            step()
            device.wait()
            seconds[name].append(time.perf_counter() - started)
    for name, each in seconds.items():
        rows[name]["median_s"] = statistics.median(each)
    return [{"contestant": name, **row} for name, row in rows.items()]


def _relative_error(found: Sequence[Any], expected: Sequence[Any]) -> float:
    pairs = [(0 if g is None else as_numpy(g), e) for g, e in zip(found, expected, strict=True)]
    squares = sum(float(((g - e) ** 2).sum()) for g, e in pairs)
    return float((squares / sum(float((e**2).sum()) for _, e in pairs)) ** 0.5)


def measure_pack(device: Device, count: int) -> float:
    """Steps a second, of all runs together, of ``count`` runs of width 128 trained as one."""
    config = RunConfig.model_validate(
        {
            "model": {"width": 128, "depth": 3},
            "training": {"steps": 1000, "batch": 1024, "optimizer": "muon", "clip_norm": 1}
            | {"loss_weights": [1, 1, 1, 1], "schedule": "cosine"},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        trainers = []
        for seed in range(count):
            training = config.training.model_copy(update={"seed": seed})
            own = config.model_copy(update={"training": training})
            writer = RunWriter(RunLayout(Path(folder) / str(seed)), own, str(seed))
            trainers.append(Trainer(Run(own, writer), torch.device(device.name)))
        with arithmetic("float32"):
            graph, note = prepare_graph(trainers, steps.EAGER)
            if note:
                print(note, file=sys.stderr)
            for turn in range(2):  # the first one is a warm-up
                for trainer in trainers:
                    trainer.batches.prepare(trainer.step, _PACK_STEPS)
                device.wait()
                started = time.perf_counter()
                for _ in range(_PACK_STEPS if turn else 5):
                    graph() if graph else take_step(trainers)
                device.wait()
    return count * _PACK_STEPS / (time.perf_counter() - started)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One case for people."""
    medians = {row["contestant"]: row["median_s"] for row in rows if "median_s" in row}
    base, floor = (medians.get(name) for name in (BASE, FLOORS[1]))

    def shown(row: Mapping[str, Any]) -> dict[str, str]:
        median, launches, peak = row["median_s"], row["launches"], row["peak_bytes"]
        error = row.get("gradient_error")
        return {
            "contestant": row["contestant"],
            "median, ms": f"{1e3 * median:.3g}",
            "speed / nested autograd": f"{base / median:.2f}" if base else "",
            "time / bare products": f"{median / floor:.2f}" if floor else "",
            "launches": "" if launches is None else f"{launches}",
            "peak, MiB": "" if peak is None else f"{peak / 2**20:.0f}",
            "first call, s": f"{row['first_s']:.1f}",
            "gradient error": "" if error is None else f"{error:.0e}",
        }

    text = markdown_table([shown(row) for row in rows if "median_s" in row])
    out = [f"- {row['contestant']}: {row['left_out']}" for row in rows if "left_out" in row]
    return "\n".join([text, *(["", "Left out:", "", *out] if out else [])])


def write(document: Mapping[str, Any], output: Path) -> str:
    """JSON, Markdown and the figure; returns the Markdown."""
    parts = ["\n".join(f"- {name}: {fact}" for name, fact in document["facts"].items())]
    parts += [
        f"### {each['case'].capitalize()}, {each['precision']}\n\n{table(each['rows'])}"
        for each in document["cases"]
    ]
    alone, together = document["steps_a_second"].values()
    parts.append(
        f"{PACK} runs of width 128 and 1,024 points as one took {together:.0f} steps a second, one "
        f"alone {alone:.0f}: {together / alone:.1f} times as many."
    )
    text = "\n\n".join(parts) + "\n"
    output.mkdir(parents=True, exist_ok=True)
    (output / "gpu.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (output / "gpu.md").write_text(text, encoding="utf-8")
    draw(document, output / "gpu.png")
    return text


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Time of a step over that of its bare products, one panel a case."""
    mpl.use("Agg")
    entries = [
        {
            "case": f"{each['width']} wide, {each['points']:,} points, {each['precision']}",
            "contestant": row["contestant"],
            "ms": 1e3 * row["median_s"],
        }
        for each in document["cases"]
        for row in each["rows"]
        if "median_s" in row
    ]
    columns = {key: [entry[key] for entry in entries] for key in entries[0]}
    grid = sns.catplot(
        columns,
        kind="bar",
        x="ms",
        y="contestant",
        col="case",
        col_wrap=min(3, len(document["cases"])),
        height=3,
        aspect=1.5,
        sharex=False,
    )
    grid.set_titles("{col_name}").set_axis_labels("ms a step", "")
    grid.figure.suptitle(f"One training step on {document['facts']['device']}", y=1.02)
    grid.savefig(path, dpi=110)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:1... or cpu")
    parser.add_argument("--quick", action="store_true", help="width 128 and 1,024 points alone")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    given = parser.parse_args()
    device = Device(given.device)
    if device.on_gpu and not torch.cuda.is_available():
        parser.error(f"--device {given.device}: no CUDA device here. Allowed here: cpu")
    cases = []
    for precision, name in PRECISIONS.items():
        torch.set_float32_matmul_precision(name)
        for case in CASES[:1] if given.quick else CASES:
            rows = measure(case, device, precision, given.rounds)
            sizes = {"width": case.width, "points": case.points}
            cases.append({"case": case.label, "precision": precision, **sizes, "rows": rows})
    torch.set_float32_matmul_precision("highest")
    document = {
        "title": "One training step on a GPU",
        "facts": circumstances(("torch", "numpy"))
        | {"device": device.described, "rounds": given.rounds},
        "cases": cases,
        "steps_a_second": {str(count): measure_pack(device, count) for count in (1, PACK)},
    }
    print(write(document, given.output))


if __name__ == "__main__":
    main()
