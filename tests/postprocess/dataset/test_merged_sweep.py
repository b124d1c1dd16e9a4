"""A merged sweep is merged again when that is due."""

import pytest

from postprocess.dataset.merged_sweep import ensure_merged, is_current
from tests.helpers.synthetic import first_results


def test_merges_again_only_when_a_run_changed(sweep):
    ensure_merged(sweep)
    before = sweep.merged.stat().st_mtime_ns
    ensure_merged(sweep)
    assert sweep.merged.stat().st_mtime_ns == before
    first_results(sweep).unlink()
    assert not is_current(sweep)
    assert len(ensure_merged(sweep).problems) == 1
    sweep.summary.unlink()
    assert not is_current(sweep)


@pytest.mark.parametrize("content", [b"", b"garbage"], ids=["empty", "garbage"])
def test_a_damaged_merged_file_is_replaced(sweep, content):
    sweep.merged.write_bytes(content)
    assert len(ensure_merged(sweep).readable) == 3
