r"""Settings compared block by block: runs of one seed, or of one image, belong together.

Runs of one seed begin with the same random numbers, and those of one image learn the same thing:
their differences vary less than the runs do. With costs :math:`c_{s,b}` of setting s in block b
(`postprocess.stats.ranking.Score.costs`, of errors log10), a setting is compared with another by

.. math:: d_b = c_{s,b} - c_{r,b}, \qquad t = \bar d \sqrt{B} / \mathrm{sd}(d),

Student's t of B - 1 degrees of freedom. A run that diverged has infinite costs, and its difference
a sign but no size: then the sign test takes its place. Several comparisons are corrected for
their number as Holm (1979) does: under the null the chance that any of them is below `LEVEL` is
at most `LEVEL`.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest, t

LEVEL = 0.05


def difference(costs: pd.Series, others: pd.Series) -> tuple[float, float, float, float]:
    """Mean of the differences by block, its 95 % limits, and the p-value that it is 0.

    Blocks that only one of both has do not count. Limits are infinite where a difference is.
    """
    found = _differences(costs, others)
    if not np.isfinite(found).all():
        ends = {float(each) for each in found[np.isinf(found)]}
        return ends.pop() if len(ends) == 1 else 0.0, -np.inf, np.inf, _p_value(found)
    middle = float(found.mean())
    half = t.ppf(1 - LEVEL / 2, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return middle, middle - half, middle + half, _p_value(found)


def compare(costs: pd.DataFrame, setting: object) -> pd.DataFrame:
    """Every other setting of ``costs`` [setting, block] against one.

    A row for each, in the order of ``costs``: ``difference`` of the other less the one, ``low``
    and ``high`` (95 %, of this comparison alone), and ``p`` by `holm` for all rows.
    """
    others = [other for other in costs.index if other != setting]
    rows = [difference(costs.loc[other], costs.loc[setting]) for other in others]
    table = pd.DataFrame(rows, pd.Index(others, tupleize_cols=False), _COLUMNS, dtype=float)
    return table.assign(p=holm(table["p"]))


def holm(p_values: ArrayLike) -> np.ndarray:
    r"""P-values as Holm corrects them.

    With the m given ones rising,

    .. math:: \tilde p_{(i)} = \min(1, \max_{j \le i} (m - j + 1) p_{(j)}).
    """
    given = np.asarray(p_values, dtype=float)
    order = np.argsort(given)
    steps = given[order] * np.arange(len(given), 0, -1)
    found = np.empty_like(given)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return found


_COLUMNS = ["difference", "low", "high", "p"]


def _differences(costs: pd.Series, others: pd.Series) -> np.ndarray:
    both = pd.concat([costs, others], axis=1, join="inner").to_numpy(float)
    same = both[:, 0] == both[:, 1]  # both may be infinite
    with np.errstate(invalid="ignore"):
        return np.where(same, 0.0, both[:, 0] - both[:, 1])


def _p_value(differences: np.ndarray) -> float:
    """Two-sided; 1 where nothing differs, or one block is all there is."""
    apart = differences[differences != 0]
    if len(differences) < 2 or len(apart) == 0:
        return 1.0
    if np.isfinite(differences).all() and np.ptp(differences) > 0:
        error = differences.std(ddof=1) / np.sqrt(len(differences))
        return float(2 * t.sf(abs(differences.mean()) / error, len(differences) - 1))
    return float(binomtest(int((apart > 0).sum()), len(apart)).pvalue)
