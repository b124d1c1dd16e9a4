"""The study's text: a template whose every number is computed from the kept tables."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inr.errors import UserError
from inr.quantities import QUANTITIES
from postprocess.replication.data import Study, sweep_names
from postprocess.replication.numbers import Numbers
from postprocess.replication.ranking import find, is_best
from postprocess.replication.tables import Tables, figure, level, show
from postprocess.stats.loss_weightings import NAMES

TEMPLATES = Path(__file__).parent / "templates"

# The settings that the published conclusions compare: cyclic rates were left out there.
PUBLISHED_RATES: list[tuple[str, float]] = [
    *(("uniform", rate) for rate in (1e-4, 1e-5, 1e-6, 1e-7)),
    ("exponential", 1e-4),
    ("multi_step", 1e-4),
]
PUBLISHED_WEIGHTINGS: list[tuple[float, ...]] = [
    (0.1, 0, 0.01, 0),
    (1, 0.01, 0.001, 0),
    (0.01, 0.001, 0.1, 0),
    (1, 0.001, 0.01, 0.001),
]


def render(study: Study) -> str:
    """The text as Markdown. Raises `UserError` when the data no longer support a sentence."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701, Markdown
    )
    numbers = Numbers(study)
    environment.globals.update(
        n=numbers,
        tables=Tables(numbers),
        show=show,
        figure=figure,
        level=level,
        find=find,
        verdict=is_best,
        require=require,
        quantities=QUANTITIES,
        short=NAMES,
        sweeps=sweep_names(),
        published_rates=PUBLISHED_RATES,
        published_weightings=PUBLISHED_WEIGHTINGS,
    )
    text = environment.get_template("study.md").render()
    return re.sub(r"\n{3,}", "\n\n", text)  # where conditions stood


def require(condition: bool, sentence: str) -> str:
    """Nothing, when a sentence of the text still holds.

    Raises:
        UserError: it does not.
    """
    if not condition:
        raise UserError(f"the data no longer support this sentence of the study: {sentence}")
    return ""
