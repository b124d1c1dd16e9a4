"""Everything that talks to Slurm: profiles, scripts, submissions, the queue."""

__all__ = ["batch_script", "commands", "job_queue", "journal", "profile", "requeue", "submit"]
