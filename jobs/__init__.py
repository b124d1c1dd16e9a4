"""Submit, watch and resume sweeps."""

import inr.startup  # noqa: F401
