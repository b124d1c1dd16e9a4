"""What every benchmark says about itself: when, on what, and the figures as JSON and a table."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from postprocess.isolation import usable_cores

_PACKAGES = ("torch", "numpy", "h5py", "pandas")


def circumstances(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Machine, date and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {usable_cores()} cores, {platform.platform()}",
        "versions": ", ".join(
            [f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in packages)]
        ),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def publish(title: str, rows: Sequence[Mapping[str, Any]], facts: dict[str, Any], to: str) -> None:
    """Print a Markdown table; write everything as JSON to the path ``to``, if it is given."""
    facts = circumstances() | facts
    print(f"### {title}\n")
    for name, fact in facts.items():
        print(f"- {name}: {fact}")
    print("\n" + markdown_table(rows))
    if to:
        document = {"title": title, **facts, "rows": list(rows)}
        Path(to).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
