"""``index.json``: every run that belongs to a sweep. Written by the launcher, read by all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inr.errors import UserError
from inr.layout import SweepLayout

SCHEMA = "inr-index/1"


@dataclass(frozen=True)
class IndexEntry:
    """One run of a sweep."""

    run_id: str
    name: str  # directory below runs/
    task: int  # position in the sweep, from 0
    config: dict[str, Any]  # the complete configuration


def read_index(layout: SweepLayout) -> list[IndexEntry]:
    """All runs of a sweep in task order. Raises `UserError` if the file is missing or broken."""
    try:
        document = json.loads(layout.index.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise UserError(
                f"{layout.index}: schema {document['schema']!r}, expected {SCHEMA!r}. "
                "It was written by another version of this software"
            )
        return [IndexEntry(**entry) for entry in document["runs"]]
    except FileNotFoundError:
        raise UserError(f"{layout.index}: missing. Launch the sweep first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{layout.index}: broken ({error}). Delete it and launch the sweep again: "
            "runs that are complete are kept"
        ) from error


def index_json(sweep: str, entries: Sequence[IndexEntry]) -> str:
    """The text of ``index.json``."""
    runs = [asdict(entry) for entry in entries]
    return json.dumps({"schema": SCHEMA, "sweep": sweep, "runs": runs}, indent=1) + "\n"
