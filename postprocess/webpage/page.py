"""Put the report of a sweep together and write it, unless it is up to date."""

import base64
import hashlib
import mimetypes
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inr.errors import UserError, describe_os_error
from inr.files import write_text
from inr.storage.paths import SweepLayout
from inr.storage.provenance import source
from postprocess.dataset.read import MergedSweep
from postprocess.stats.ranking import SCORES, rank
from postprocess.webpage import wording
from postprocess.webpage.facts import find_cost, find_problems, find_provenance
from postprocess.webpage.figures import find_figures
from postprocess.webpage.videos import choose_clips, find_highlights, find_videos

_TEMPLATES = Path(__file__).with_name("templates")
_HEAD = 4096  # bytes of the page in which it says what it was made from


def write_report(layout: SweepLayout, merged: MergedSweep, *, embed: bool, force: bool) -> bool:
    """Write ``report.html`` of a sweep if it was made from anything else than what is there now.

    Returns whether it was written; if not, it was up to date. With ``force`` it is written anyway;
    ``embed`` puts figures and videos into the file, instead of links to them.

    Raises `UserError` if a figure or video cannot be read, or the report cannot be written.
    """
    inputs = _fingerprint(layout, merged, embed)
    if not force and _is_current(layout.report, inputs):
        return False
    try:
        page = _render(layout, merged, embed, inputs)
    except OSError as error:
        raise UserError(f"the report cannot be made: {describe_os_error(error)}") from error
    write_text(layout.report, page)
    return True


def _render(layout: SweepLayout, merged: MergedSweep, embed: bool, inputs: str) -> str:
    """The report as HTML, marked with what it is made from."""
    style, script = (
        _TEMPLATES.joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js")
    )
    runs = merged.runs
    ranking = rank(runs)
    merged_at = merged.path.stat().st_mtime_ns
    figures = find_figures(layout)
    drawn_at = [picture.path.stat().st_mtime_ns for group in figures.values() for picture in group]
    videos = find_videos(layout, ranking)
    clips = choose_clips(ranking, videos, find_highlights(layout, merged))
    try:
        sweep_file = layout.specification.read_text(encoding="utf-8", errors="replace")
    except OSError:
        sweep_file = ""
    template = _environment(layout.root, embed).get_template("report.html")
    return template.render(
        inputs=inputs,
        style=style,
        script=script,
        policy=_content_policy(style, script),
        embed=embed,
        sweep=merged.sweep,
        varied=wording.what_varied(ranking),
        ended=wording.how_it_went(runs),
        scale=wording.same_in_all(runs),
        awards=wording.awards(ranking),
        caveats=wording.caveats(ranking),
        ranking=ranking,
        scores=SCORES,
        figures=figures,
        outdated=any(time < merged_at for time in drawn_at),
        clips=clips,
        videos=videos,
        more_videos=set(videos) - {clip.name for clip in clips},
        problems=find_problems(runs),
        cost=find_cost(layout, runs),
        provenance=find_provenance(layout, runs),
        sweep_file=sweep_file,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=str(source()),
    )


def _environment(root: Path, embed: bool) -> Environment:
    """Templates for a page in the directory ``root``."""

    def url(path: Path) -> str:
        """A link relative to the page, or the content of the file as a ``data:`` URL."""
        if not embed:
            return quote(path.relative_to(root).as_posix())
        kind, _ = mimetypes.guess_type(path.name)
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (wording.number, wording.interval, wording.duration, wording.short, wording.heading)
    environment.filters |= {filter_.__name__: filter_ for filter_ in (*words, url)}
    return environment


def _content_policy(style: str, script: str) -> str:
    """What a browser may load: this script, this style, files beside the page; nothing remote."""
    digests = (hashlib.sha256(text.encode()).digest() for text in (style, script))
    ours = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    media = "'self' file: data:"
    return (
        f"default-src 'none'; style-src {ours[0]}; script-src {ours[1]}; "
        f"img-src {media}; media-src {media}; base-uri 'none'; form-action 'none'"
    )


def _fingerprint(layout: SweepLayout, merged: MergedSweep, embed: bool) -> str:
    """Identify everything that a report is made from."""
    figures = [*layout.figures.glob("*.png"), *layout.figures.glob("*.pdf")]
    shown = sorted([*figures, *layout.videos.rglob("*.mp4")])
    sources = [merged.path, layout.specification, *shown, *sorted(_TEMPLATES.iterdir())]
    stats = [(path.name, path.stat()) for path in sources if path.is_file()]
    states = [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in stats]
    text = "\n".join([f"embed={embed}", str(source()), *states])
    return hashlib.sha256(text.encode()).hexdigest()


def _is_current(path: Path, inputs: str) -> bool:
    try:
        with path.open("rb") as file:
            return inputs.encode() in file.read(_HEAD)
    except OSError:
        return False
