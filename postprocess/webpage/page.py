"""Put the report of a sweep together and write it, unless it is up to date."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inr.errors import UserError, describe_os_error
from inr.files import write_text
from inr.storage.paths import SweepLayout
from inr.storage.provenance import source
from postprocess.dataset.read import MergedSweep
from postprocess.stats.ranking import ERRORS, HELDOUT, OVERALL, PSNR, Ranking, rank
from postprocess.webpage import wording
from postprocess.webpage.facts import cost, find_problems, provenance
from postprocess.webpage.featured_videos import find_highlights
from postprocess.webpage.media import Media, files

_TEMPLATES = Path(__file__).with_name("templates")
_HEAD = 4096  # bytes of the page in which it says what it was made from


def write_report(layout: SweepLayout, merged: MergedSweep, *, embed: bool, force: bool) -> bool:
    """Write ``report.html`` of a sweep if it was made from anything else than what is there now.

    Returns whether it was written; if not, it was up to date.

    Args:
        layout: the sweep.
        merged: its merged results.
        embed: put figures and videos into the file, instead of links to them.
        force: write it even if it is up to date.

    Raises:
        UserError: a figure or video cannot be read, or the report cannot be written.
    """
    inputs = _fingerprint(layout, merged, embed)
    if not force and _is_current(layout.report, inputs):
        return False
    try:
        page = render(layout, merged, Media(layout, embed), inputs)
    except OSError as error:
        raise UserError(f"the report cannot be made: {describe_os_error(error)}") from error
    write_text(layout.report, page)
    return True


def render(layout: SweepLayout, merged: MergedSweep, media: Media, inputs: str) -> str:
    """The report as HTML, marked with what it is made from.

    Raises `OSError` if a figure or video cannot be read.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": wording.number,
        "interval": wording.interval,
        "duration": wording.duration,
        "short": wording.short,
        "heading": wording.heading,
    }
    ranking = rank(merged.runs)
    style, script = (
        _TEMPLATES.joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js")
    )
    return environment.get_template("report.html").render(
        inputs=inputs,
        style=style,
        script=script,
        policy=_content_policy(style, script),
        sweep=merged.sweep,
        media=media,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=str(source()),
        **_results(merged, ranking),
        **_media(layout, merged, media, ranking),
        problems=find_problems(merged.runs),
        cost=cost(layout, merged.runs),
        provenance=provenance(layout, merged.runs),
    )


def _results(merged: MergedSweep, ranking: Ranking) -> dict[str, Any]:
    """What the answer and the ranking show."""
    return {
        "ranking": ranking,
        "scores": (OVERALL, *ERRORS, HELDOUT, PSNR),
        "awards": wording.awards(ranking),
        "caveats": wording.caveats(ranking),
        "varied": wording.what_varied(ranking),
        "ended": wording.how_it_went(merged.runs),
        "scale": wording.same_in_all(merged.runs),
    }


def _media(
    layout: SweepLayout, merged: MergedSweep, media: Media, ranking: Ranking
) -> dict[str, Any]:
    """Figures and videos, and the links to the videos that have no player of their own."""
    figures = [path for path in files(layout) if path.suffix == ".png"]
    due = merged.path.stat().st_mtime_ns
    videos = media.videos(ranking)
    clips = media.clips(ranking, videos, find_highlights(layout, merged))
    players = {clip.name for clip in clips}
    return {
        "figures": media.figures(),
        "outdated": any(path.stat().st_mtime_ns < due for path in figures),
        "clips": clips,
        "videos": {} if media.embed else {name: media.url(path) for name, path in videos.items()},
        "video_count": len(videos),
        "more_videos": any(name not in players for name in videos),
    }


def _content_policy(style: str, script: str) -> str:
    """What a browser may load: this script, this style, files beside the page; nothing remote."""
    media = "'self' file: data:"
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        f"img-src {media}; media-src {media}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _fingerprint(layout: SweepLayout, merged: MergedSweep, embed: bool) -> str:
    """Identify everything that a report is made from."""
    templates = sorted(_TEMPLATES.iterdir())
    sources = [merged.path, layout.specification, *files(layout), *templates]
    states = [
        f"{path.name} {status.st_size} {status.st_mtime_ns}"
        for path in sources
        if path.is_file() and (status := path.stat())
    ]
    text = "\n".join([f"embed={embed}", str(source()), *states])
    return hashlib.sha256(text.encode()).hexdigest()


def _is_current(path: Path, inputs: str) -> bool:
    try:
        with path.open("rb") as file:
            return inputs.encode() in file.read(_HEAD)
    except OSError:
        return False
