"""Submit, watch and resume sweeps."""
