#!/usr/bin/env python
"""Write the study: its tables from the sweeps, and its text from the tables."""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))  # noqa: PTH120
import inr.startup  # noqa: F401

# isort: split
from pathlib import Path

from inr.errors import ArgumentParser, UserError, run_main
from inr.files import write_text
from inr.storage.paths import SweepLayout, user_path
from postprocess.dataset.merged_sweep import read_merged
from postprocess.plots import style
from postprocess.plots.batch import plan_figures
from postprocess.replication.data import (
    collect,
    read_recipes,
    read_tables,
    sweep_names,
    write_tables,
)
from postprocess.replication.text import draw_rates, render

DOCS = Path(__file__).resolve().parents[1] / "docs"
# what the text shows: figure of a sweep -> its name in docs/study/
FIGURES = {
    ("learning_rate", "overview"): "learning_rate",
    ("original_learning_rate", "integrated_rate"): "integrated_rate",
    ("original_learning_rate", "loss_shares"): "loss_shares",
    ("activation", "improvement"): "activation",
    ("loss_weights", "weights_ranks"): "weights_ranks",
}


def main() -> int:
    """Run the command line."""
    parser = ArgumentParser(
        description="Write docs/study.md. With DIR, first make its tables and figures from the "
        "sweeps below DIR (see make study); without, compute the text from the tables that "
        "are kept in docs/study/."
    )
    parser.add_argument("outputs", nargs="?", metavar="DIR", type=user_path)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if the text is not up to date"
    )
    arguments = parser.parse_args()
    if arguments.outputs and arguments.check:
        parser.error("--check reads the kept tables: give it without DIR")
    folder, path = DOCS / "study", DOCS / "study.md"
    if arguments.outputs:
        refresh(arguments.outputs, folder)
    text = render(read_tables(folder), read_recipes(DOCS / "recipes"))
    if not arguments.check:
        write_text(path, text)
        print(f"wrote {path}")
    elif path.is_file() and path.read_text(encoding="utf-8") == text:
        print(f"{path}: agrees with {', '.join(f'{name}.csv' for name in sweep_names())}")
    else:
        raise UserError(f"{path}: not what the tables give. Write it with: postprocess/study.py")
    return 0


def refresh(outputs: Path, folder: Path) -> None:
    """Tables and figures from the sweeps. Raises `UserError` if one of them is missing."""
    for path in write_tables(collect(outputs), folder):
        print(f"wrote {path}")
    style.use_style()
    for (sweep, figure), name in FIGURES.items():
        drawings = plan_figures(read_merged(SweepLayout(outputs / sweep)))
        style.save(drawings[figure](), folder / name, ("png",))
    study = read_tables(folder)  # as they are kept: six digits
    style.save(draw_rates(study), folder / "rates", ("png",))


if __name__ == "__main__":
    sys.exit(run_main(main))
