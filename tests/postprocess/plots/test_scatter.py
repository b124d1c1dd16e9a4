"""Errors between the pixels and frames against those on them."""

import numpy as np
import pandas as pd
import pytest

from inr.metrics import METRICS
from postprocess.plots.scatter import draw_heldout
from postprocess.stats.factors import find_variation


@pytest.mark.parametrize("heldout", [(0.004, 0.02), (0.7, 0.95), (1.1, 1e5)])
def test_every_panel_has_one_scale_by_its_own_points(heldout: tuple[float, float]) -> None:
    runs = pd.DataFrame({"model.activation": ["sine", "elu"], "training.seed": 0})
    for place, name in enumerate(METRICS):
        runs[name] = np.array([0.7, 0.9]) * 10.0**place
        runs[f"heldout_{name}"] = np.array(heldout) * 10.0**place
    panels = draw_heldout(runs, find_variation(runs)).axes
    limits = {panel.get_xlim() for panel in panels}
    assert len(limits) == len(panels) == 6
    for panel in panels:
        assert panel.get_xlim() == panel.get_ylim()
        assert set(panel.get_xticks()) == set(panel.get_yticks())
        points = [line.get_xydata() for line in panel.lines if line.get_marker() == "o"]
        places = (panel.transScale + panel.transLimits).transform(np.concatenate(points))
        assert places.min() == pytest.approx(0.12 / 1.24)  # the margins of both axes
        assert places.max() == pytest.approx(1 - 0.12 / 1.24)
