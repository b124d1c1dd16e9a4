"""What a launch does: checks, code snapshot, tasks in Slurm or on this machine."""

__all__ = ["arguments", "modes", "plan", "run_labels", "terminal"]
