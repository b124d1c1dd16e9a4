"""One training step: ours against what one would otherwise use, interleaved.

Every contestant computes the loss and all parameter gradients of the same network on the same
batch; that is checked first, against nested autograd in float64. Then they take turns. Medians are
given, and half the range between the quartiles as spread. Two rows are bare matrix products,
measured in the same turns: what the products of the step cost if nothing else had to be done, by
``torch.matmul`` and by the library that ours uses.

Writes ``derivatives.json``, ``derivatives.md`` and ``derivatives.png`` to ``--output``.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inr.training.allocator import keep_freed_memory
from tests.benchmarks import memory, steps
from tests.benchmarks.derivatives_figure import draw
from tests.benchmarks.jax_steps import folx_jit
from tests.benchmarks.report import circumstances, markdown_table
from tests.benchmarks.steps import Case, Problem, Step, as_numpy

CONTESTANTS: dict[str, Callable[[Problem], Step]] = {
    "nested autograd": steps.nested,
    "nested autograd, our products": steps.nested_by_our_products,
    "torch.func": steps.functional,
    "folx, jax.jit": folx_jit,
    "forward Laplacian": steps.forward_laplacian,
    "forward Laplacian, compiled": steps.forward_laplacian_compiled,
    "adjoint form, autograd": steps.adjoint_autograd,
    "ours": steps.ours,
    "ours, compiled": steps.ours_compiled,
    "pixels only, autograd": steps.pixel_only,
    "bare products, torch.matmul": steps.products_by_matmul,
    "bare products, ours": steps.products_by_ours,
}
FLOORS = ("pixels only, autograd", "bare products, torch.matmul", "bare products, ours")
BASE = "nested autograd"
# torch.func takes about five times the memory of nested autograd
POINT_LIMITS = {"torch.func": 16_384}

HEADLINE = Case()
TABLES: dict[str, list[Case]] = {
    "The step": [HEADLINE],
    "By width": [Case(width=width) for width in (64, 128, 256, 512)],
    "By number of points": [Case(points=points) for points in (1024, 4096, 16_384, 65_536)],
    "First derivatives only": [Case(weighting="first order only")],
    "Value only": [Case(weighting="value only")],
    "elu": [Case(activation="elu")],
}
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3  # relative, float32
_PAUSE = 0.05  # s; threads of one library spin for a moment after their work


def reference(problem: Problem) -> tuple[float, list[np.ndarray[Any, Any]]]:
    """Loss and gradients by nested autograd in float64, in parts of 4,096 points."""
    count, loss = len(problem.points), 0.0
    gradients = [np.zeros(tuple(p.shape)) for p in problem.network.parameters]
    for start in range(0, count, 4096):
        part = problem.part(slice(start, start + 4096), torch.float64)
        share = len(part.points) / count
        found, slopes = steps.nested(part)()
        loss += share * float(found.detach())
        for total, slope in zip(gradients, slopes, strict=True):
            total += share * (0 if slope is None else as_numpy(slope))
    return loss, gradients


def check(name: str, step: Step, expected: tuple[float, list[np.ndarray[Any, Any]]]) -> float:
    """Relative error of the gradients, over all parameters; ends the benchmark if it is large."""
    loss, gradients = step()
    off = abs(float(as_numpy(loss)) / expected[0] - 1)
    pairs = list(zip(gradients, expected[1], strict=True))
    error = sum(np.sum((_zero_if_none(g, e) - e) ** 2) for g, e in pairs)
    relative = float(np.sqrt(error / sum(np.sum(e**2) for _, e in pairs)))
    if off > LOSS_TOLERANCE or relative > GRADIENT_TOLERANCE:
        raise SystemExit(f"{name}: loss off by {off:.1e}, gradients by {relative:.1e}")
    return relative


def _zero_if_none(gradient: Any, like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.zeros_like(like) if gradient is None else as_numpy(gradient)


def measure(case: Case, names: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    """All contestants in turn on one case."""
    torch.compiler.reset()
    problem = steps.make_problem(case)
    expected = reference(problem)
    built, errors = {}, {}
    for name in names:
        if len(problem.points) > POINT_LIMITS.get(name, len(problem.points)):
            continue
        print(f"{case.label}: {name}", file=sys.stderr)
        built[name] = CONTESTANTS[name](problem)
        if name not in FLOORS:
            errors[name] = check(name, built[name], expected)
        built[name]()
    seconds: dict[str, list[float]] = {name: [] for name in built}
    for _ in range(rounds):
        for name, step in built.items():
            time.sleep(_PAUSE)
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    return [
        {"contestant": name, **_summary(taken), "gradient_error": errors.get(name)}
        for name, taken in seconds.items()
    ]


def _summary(seconds: list[float]) -> dict[str, Any]:
    low, middle, high = statistics.quantiles(seconds, n=4)
    return {"median_s": middle, "spread_s": (high - low) / 2, "each_s": seconds}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One case for people."""
    medians = {row["contestant"]: row["median_s"] for row in rows}

    def ratio(name: str, row: Mapping[str, Any], inverse: bool = False) -> str:
        quotient = medians[name] / row["median_s"]
        return f"{1 / quotient if inverse else quotient:.2f}"

    return markdown_table(
        [
            {
                "contestant": row["contestant"],
                "median, ms": f"{1e3 * row['median_s']:.1f}",
                "spread, ms": f"{1e3 * row['spread_s']:.1f}",
                "speed / nested autograd": ratio(BASE, row),
                "time / torch.matmul's products": ratio(
                    "bare products, torch.matmul", row, inverse=True
                ),
                "time / our products": ratio("bare products, ours", row, inverse=True),
                "gradient error": (
                    "" if row["gradient_error"] is None else f"{row['gradient_error']:.0e}"
                ),
            }
            for row in rows
        ]
    )


def measure_memory(points: int) -> list[dict[str, Any]]:
    """Peak of one step, each contestant in a process of its own."""
    rows = []
    for name in memory.CONTESTANTS:
        print(f"memory: {name}", file=sys.stderr)
        rows.append({"contestant": name, "peak_mib": memory.peak_of_step(name, points)})
    base = rows[0]["peak_mib"]
    return [{**row, "share": row["peak_mib"] / base} for row in rows]


def write(document: Mapping[str, Any], output: Path) -> str:
    """JSON, Markdown and the figure; returns the Markdown."""
    facts = "\n".join(f"- {name}: {fact}" for name, fact in document["facts"].items())
    parts = [facts]
    for title, cases in document["tables"].items():
        parts.append(f"### {title}")
        parts += [
            f"{case['case'][0].upper()}{case['case'][1:]}:\n\n{table(case['rows'])}"
            for case in cases
        ]
    if document["memory"]:
        lines = [
            {
                "contestant": row["contestant"],
                "peak, MiB": f"{row['peak_mib']:.0f}",
                "share of nested autograd": f"{row['share']:.2f}",
            }
            for row in document["memory"]
        ]
        title = f"### Peak memory of a step, {document['memory_points']:,} points, width 256"
        parts += [title, markdown_table(lines)]
    text = "\n\n".join(parts) + "\n"
    output.mkdir(parents=True, exist_ok=True)
    (output / "derivatives.json").write_text(json.dumps(document, indent=1) + "\n")
    (output / "derivatives.md").write_text(text)
    draw(document, output / "derivatives.png")
    return text


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first table alone, no memory")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS])
    parser.add_argument("--memory-points", type=int, default=65_536)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    given = parser.parse_args()
    needed = [BASE, *FLOORS[1:]]
    names = [name for name in CONTESTANTS if name in {*given.contestants, *needed}]
    limit_threads(given.threads)
    started = os.getloadavg()
    chosen = dict([*TABLES.items()][:1]) if given.quick else TABLES
    done: dict[Case, list[dict[str, Any]]] = {}  # a case may stand in several tables
    for case in dict.fromkeys(case for cases in chosen.values() for case in cases):
        done[case] = measure(case, names, given.rounds)
    document = {
        "title": "One training step",
        "facts": circumstances(("torch", "numpy", "jax", "folx"))
        | {
            "threads": given.threads,
            "rounds": given.rounds,
            "load before": ", ".join(f"{load:.1f}" for load in started),
            "load after": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        },
        "tables": {
            title: [{"case": case.label, "width": case.width, "rows": done[case]} for case in cases]
            for title, cases in chosen.items()
        },
        "memory_points": given.memory_points,
        "memory": [] if given.quick else measure_memory(given.memory_points),
    }
    print(write(document, given.output))


def limit_threads(threads: int) -> None:
    """As many threads for torch, and as many cores for everybody: jax sizes its pool by them."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        raise SystemExit(f"--threads {threads}: this machine offers {len(cores)} cores")
    os.sched_setaffinity(0, cores[:threads])
    torch.set_num_threads(threads)
    keep_freed_memory()  # for all contestants, as training does


if __name__ == "__main__":
    main()
