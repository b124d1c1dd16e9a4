"""Which videos the report shows, and which one it must not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from inr.storage.paths import SweepLayout
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.stats.ranking import rank
from postprocess.webpage.videos import choose_clips, find_highlights, find_videos
from tests.helpers.ranked import BEST, MEDIAN, WORST, write_ranked
from tests.helpers.synthetic import call


@pytest.fixture
def sweep(tmp_path: Path) -> SweepLayout:
    return write_ranked(tmp_path / "sweep")


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")
    return path


def test_the_report_shows_what_tells_of_the_whole_sweep_first(sweep: SweepLayout) -> None:
    merged = ensure_merged(sweep)
    assert find_highlights(sweep, merged) == []
    paths = [
        touch(sweep.videos / name)
        for name in (
            "best.mp4", "median.mp4", "worst.mp4", "compare/best_and_worst.mp4",
            f"zoom/{MEDIAN}.mp4",
        )
    ]  # fmt: skip
    touch(sweep.videos / f"zoom/{WORST}.mp4")
    for name in (BEST, MEDIAN, "1_0_0_0/sine_uniform_1e-3"):
        touch(sweep.videos / f"{name}.mp4")
    highlights = find_highlights(sweep, merged)
    assert [highlight.path for highlight in highlights] == paths
    assert highlights[0].title == "Best of 5 by mean log error"
    assert highlights[0].caption == "Error over all 1.00e-4"
    ranking = rank(merged.runs)
    clips = choose_clips(ranking, find_videos(sweep, ranking), highlights)
    assert [clip.name for clip in clips] == [
        BEST, MEDIAN, WORST, f"{BEST}, {WORST}", MEDIAN, "1_0_0_0/sine_uniform_1e-3",
    ]  # fmt: skip
    assert call("report", sweep.root) == 0
    assert 'src="videos/best.mp4"' in sweep.report.read_text()
    assert clips[-1].title == "Rank 2"


def test_with_many_videos_a_run_stands_for_its_setting(sweep: SweepLayout) -> None:
    runs = ensure_merged(sweep).runs
    videos = dict.fromkeys([*runs["name"], *map(str, range(9))], sweep.videos / "any.mp4")
    titles = [clip.title for clip in choose_clips(rank(runs), videos)]
    assert titles[0].startswith("A run of the setting that is best over all, best on value")
    assert titles[-1] == "A run of the setting that is worst over all"


def outdated(sweep: SweepLayout) -> None:
    call("merge", sweep.root, "--force")


def elsewhere(sweep: SweepLayout) -> None:
    outside = touch(sweep.root.parent / "outside.mp4")
    for path in sweep.videos.rglob("*.mp4"):
        path.unlink()
        path.symlink_to(outside)


@pytest.mark.parametrize("spoil", [outdated, elsewhere])
def test_a_video_that_may_tell_untruths_is_not_shown(
    sweep: SweepLayout, spoil: Callable[[SweepLayout], None]
) -> None:
    ensure_merged(sweep)
    touch(sweep.videos / "best.mp4")
    touch(sweep.videos / "compare/best_and_worst.mp4")
    assert len(find_highlights(sweep, ensure_merged(sweep))) == 2
    spoil(sweep)
    assert find_highlights(sweep, ensure_merged(sweep)) == []
