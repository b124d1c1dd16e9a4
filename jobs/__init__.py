"""Submit, watch and resume sweeps."""

import inr  # noqa: F401 - before all else: it keeps this environment's packages first
