"""Names of runs in a table: whole if all fit, else without what they have in common."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from jobs.sweeps.fields import all_fields

# the weights; then a field and its value are one part, also a field such as time_scale
_FIELDS = "|".join(path.rpartition(".")[2] for path in all_fields())
_PART = re.compile(rf"^.*/|(?:{_FIELDS})?[^_]+_?|_")


@dataclass(frozen=True)
class RunLabel:
    """The name of a run in a table; what is too long even when shortened goes on a line more."""

    name: str
    short: str
    longest: int  # of the names of its table: if this does not fit, all are short
    most: int  # columns that it may take

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._within(options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(len(self.short), len(self._within(options)))

    def _within(self, options: ConsoleOptions) -> Text:
        fits = self.longest <= min(self.most, options.max_width)
        return Text(self.name if fits else self.short, overflow="fold")


def run_labels(names: Sequence[str], most: int = sys.maxsize) -> dict[str, RunLabel]:
    """The labels of all runs of one table, by name."""
    longest = max(map(len, names), default=0)
    short = shorten(names)
    return {name: RunLabel(name, short[name], longest, most) for name in names}


def shorten(names: Sequence[str]) -> dict[str, str]:
    """Each name with ``…`` for the parts that all have in one place; its ends stay.

    All as they are if two would become the same.
    """
    parts = {name: _PART.findall(name) for name in names}
    # by their place from the front and from the end: some names have a part more than others
    placed = [{*enumerate(each), *enumerate(each, -len(each))} for each in parts.values()]
    common = set.intersection(*placed) if placed else set()
    short = {name: _without(common, each) for name, each in parts.items()}
    return short if len({*short.values()}) == len(short) else {name: name for name in names}


def _without(common: set[tuple[int, str]], parts: Sequence[str]) -> str:
    last = len(parts) - 1
    shown = (
        "…" if 0 < place < last and common & {(place, part), (place - last - 1, part)} else part
        for place, part in enumerate(parts)
    )
    return re.sub("…+", "…", "".join(shown))
