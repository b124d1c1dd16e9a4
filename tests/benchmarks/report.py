"""What every benchmark says about itself: when, on what, and the figures as JSON and a table.

``python -m tests.benchmarks.report`` puts the tables that benchmarks wrote into
``docs/performance.md``, each between ``<!-- NAME -->`` and ``<!-- /NAME -->``.
"""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from postprocess.worker_pool import usable_cores

DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
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
    """Print facts and a Markdown table; write them to the JSON file ``to``, if it is given.

    The table goes beside it, with the suffix ``.md``.
    """
    facts = circumstances() | facts
    lines = [f"{title}.", "", markdown_table(rows), ""]
    lines += [f"- {name}: {fact}" for name, fact in facts.items()]
    text = "\n".join(lines)
    print(text)
    if to:
        document = {"title": title, **facts, "rows": list(rows)}
        path = Path(to)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(text + "\n", encoding="utf-8")


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def embed(page: Path, tables: Path) -> list[str]:
    """Replace what lies between the marks of a page by the files of these names; the names."""
    text = page.read_text(encoding="utf-8")
    names = re.findall(r"<!-- (\w+) -->", text)
    for name in names:
        file = tables / f"{name}.md"
        table = file.read_text(encoding="utf-8").strip() if file.exists() else "*Not measured yet.*"
        block = f"<!-- {name} -->\n\n{table}\n\n<!-- /{name} -->"
        pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
        text = re.sub(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")
    return names


if __name__ == "__main__":
    print("embedded", ", ".join(embed(DOCS.parent / "performance.md", DOCS)))
