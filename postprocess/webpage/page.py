"""Put the report of a sweep together and write it, unless it is up to date."""

import base64
import hashlib
import json
import math
import mimetypes
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from inr.errors import UserError, describe_os_error
from inr.files import write_text
from inr.results import ResultsError, open_run, read_attribute
from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from inr.storage.provenance import source
from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.dataset.run_reader import READABLE, account
from postprocess.stats.factors import name_targets
from postprocess.stats.fields import short
from postprocess.stats.ranking import SCORES, Ranking, add_scores, suits
from postprocess.webpage import wording
from postprocess.webpage.caveats import caveats
from postprocess.webpage.figures import find_figures
from postprocess.webpage.videos import choose_clips, find_highlights, find_videos
from postprocess.webpage.wording import duration, number

_TEMPLATES = Path(__file__).with_name("templates")
_DIVERGED = "the loss became NaN or infinite; last measured at step {:.0f}"
_HEAD = 4096  # bytes of the page in which it says what it was made from

Facts = list[tuple[str, str]]  # what, and its value


def write_report(
    layout: SweepLayout, merged: MergedSweep, ranking: Ranking, *, embed: bool, force: bool
) -> bool:
    """Write ``report.html`` of a sweep if it was made from anything else than what is there now.

    Returns whether it was written; if not, it was up to date. With ``force`` it is written anyway;
    ``embed`` puts figures and videos into the file, instead of links to them.

    Raises `UserError` if a figure or video cannot be read, or the report cannot be written.
    """
    inputs = _fingerprint(layout, merged, embed)
    if not force and _is_current(layout.report, inputs):
        return False
    try:
        page = _render(layout, merged, ranking, embed, inputs)
    except OSError as error:
        raise UserError(f"the report cannot be made: {describe_os_error(error)}") from error
    write_text(layout.report, page)
    return True


def _render(
    layout: SweepLayout, merged: MergedSweep, ranking: Ranking, embed: bool, inputs: str
) -> str:
    """The report as HTML, marked with what it is made from."""
    style, script = (
        _TEMPLATES.joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js")
    )
    runs = merged.runs
    scored = add_scores(runs)
    merged_at = merged.path.stat().st_mtime_ns
    figures = find_figures(layout, ranking.variation.target)
    drawn_at = [picture.path.stat().st_mtime_ns for group in figures.values() for picture in group]
    videos = find_videos(layout, ranking)
    clips = choose_clips(ranking, videos, find_highlights(layout, merged))
    paths = [layout.specification, *layout.earlier_specifications()]
    sweep_files = {p: p.read_text(encoding="utf-8", errors="replace") for p in paths if p.is_file()}
    template = _environment(layout.root, embed).get_template("report.html")
    return template.render(
        inputs=inputs,
        style=style,
        script=script,
        policy=_content_policy(style, script),
        embed=embed,
        sweep=merged.sweep,
        question=_question(sweep_files.get(layout.specification, "")),
        varied=wording.what_varied(ranking),
        ended=wording.how_it_went(runs, len(merged.dropped)),
        scale=wording.same_in_all(runs),
        awards=wording.awards(ranking),
        choices=wording.choices(ranking),
        on_each=wording.best_on_each(ranking),
        over=name_targets(ranking.variation.target),
        caveats=caveats(ranking),
        ranking=ranking,
        scores=[score for score in SCORES if suits(score.column, scored)],
        figures=figures,
        outdated=any(time < merged_at for time in drawn_at),
        clips=clips,
        videos=videos,
        more_videos=set(videos) - {clip.name for clip in clips},
        problems=[*find_problems(runs), *find_problems(merged.dropped)],
        dropped=len(merged.dropped),
        cost=find_cost(layout, runs, merged.dropped["name"]),
        provenance=find_provenance(layout, runs),
        sweep_files={path.name: text for path, text in sweep_files.items() if text},
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=str(source()),
    )


def _question(sweep_file: str) -> str:
    """What the sweep was to answer: the description in its file, or ""."""
    try:
        return str(YAML(typ="safe").load(sweep_file)["description"])
    except (YAMLError, KeyError, TypeError):
        return ""


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
    words = (wording.number, wording.interval, wording.duration, short, wording.heading)
    environment.filters |= {f.__name__: f for f in (*words, wording.capitalize, url)}
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
    figures = [*layout.figures.rglob("*.png"), *layout.figures.rglob("*.pdf")]
    shown = sorted([*figures, *layout.videos.rglob("*.mp4")])
    launched = [layout.specification, *layout.earlier_specifications()]
    sources = [merged.path, *launched, *shown, *sorted(_TEMPLATES.iterdir())]
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


def find_problems(runs: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Every run that is not complete: name, status, and why."""
    return [
        (run["name"], run["status"], run["reason"] or _DIVERGED.format(run["step"]))
        for run in runs[runs["status"] != "complete"].to_dict("records")
    ]


def find_cost(layout: SweepLayout, runs: pd.DataFrame, dropped: Iterable[str] = ()) -> Facts:
    """What all attempts at all runs used, also at those that were ``dropped``.

    CPU hours are those that the tasks were given: wall time x cores, shared by the runs of a task.
    """
    names = [*runs["name"], *dropped]
    attempts = [a for name in names for a in read_attempts(layout.run(name).attempts)]
    facts = [("runs", str(len(runs)))]
    training = runs["seconds"].dropna()
    if len(training):
        facts.append(("training of a run, median", duration(training.median())))
        facts.append((f"training, sum of {len(training)} runs", duration(training.sum())))
    if not attempts:
        return facts  # results that were copied without their attempts
    counts = Counter(a.status.replace("_", " ") or "not ended" for a in attempts).most_common()
    statuses = ", ".join(f"{count} {status}" for status, count in counts)
    used = account(attempts)
    gpu_hours, efficiency = float(used["gpu_hours"]), float(used["cpu_efficiency"])
    facts += [
        ("attempts", f"{len(attempts)} ({statuses})"),
        ("CPU hours", number(float(used["cpu_hours"]))),
        ("GPU hours", number(gpu_hours) if gpu_hours else ""),
        ("CPU efficiency", f"{efficiency:.0%}" if math.isfinite(efficiency) else "not known"),
    ]
    return [(what, value) for what, value in facts if value]


def find_provenance(layout: SweepLayout, runs: pd.DataFrame) -> Facts:
    """With which code, packages and machines the runs were made."""
    made: list[dict[str, Any]] = []
    for results in runs.loc[runs["status"].isin(READABLE), "results"]:
        try:
            with open_run(layout.root / results) as file:
                says = {n: read_attribute(file, n) for n in ("code_version", "created", "versions")}
                made.append(says | {"versions": json.loads(says["versions"])})
        except ResultsError:
            continue  # changed since it was merged
    created = sorted(str(run["created"]).replace("+00:00", " UTC") for run in made)
    packages = dict.fromkeys(package for run in made for package in run["versions"])
    facts = [
        ("code version", _distinct(run["code_version"] for run in made)),
        ("runs started", " to ".join(dict.fromkeys([*created[:1], *created[-1:]]))),
        ("machines", _distinct(runs["host"])),
        ("devices", _distinct(runs["device"])),
        *((p, _distinct(run["versions"].get(p, "") for run in made)) for p in packages),
    ]
    return [(what, value) for what, value in facts if value]


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value))
