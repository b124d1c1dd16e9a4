"""What a launch does: checks, code snapshot, tasks in Slurm or on this machine."""

__all__ = ["arguments", "modes", "plan", "postprocessing", "run_labels", "terminal"]
