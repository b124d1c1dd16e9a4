"""What was submitted: one file a job in ``submissions/``, and the list of all in ``index.json``.

Both are written before the job is, under a token that is also written on the job. So a launcher
may be killed at any instant: the next one finds the job by its token, or knows that there is none.
"""

import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inr.errors import UserError
from inr.files import exists, retried, write_text
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import Submission, index_json, read_index, read_submissions
from jobs.sweeps.grouping import Group, PackMode, tasks_of

SCHEMA = "inr-submission/1"


def post_name(sweep: str) -> str:
    """Name of the job that merges and draws."""
    return f"{sweep}_post"


class Journal:
    """The submissions of a sweep, oldest first. Only who holds the launch lock may change it.

    Raises `UserError` if the index of the sweep is missing or broken.
    """

    def __init__(self, layout: SweepLayout) -> None:
        self._layout, self.sweep = layout, layout.name
        self._entries = read_index(layout)
        self.submissions = list_submissions(layout)

    def tasks(self, submission: Submission) -> list[list[str]]:
        """Run ids of each task of ``submission``, in order; none for post-processing."""
        document = _read(self._layout.submission(submission.token))
        return tasks_of(document) if document else []

    def after(self, submission: Submission) -> list[str]:
        """The jobs that post-processing is about."""
        return list(_read(self._layout.submission(submission.token)).get("after", []))

    def script(self, submission: Submission) -> Path:
        """Where the script of a submission is before its job id is known."""
        return self._layout.submitit.resolve() / f"{submission.token}_submission.sh"

    def record_intent(
        self,
        batches: Sequence[Sequence[Group]],
        profile: str,
        code: Path,
        after: Sequence[str] = (),
        mode: PackMode = "auto",
    ) -> list[Submission]:
        """Write down submissions that are about to be made, one a batch of tasks.

        They run the snapshot ``code``; post-processing is about the jobs ``after``.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        new = [Submission(secrets.token_hex(6), now, profile, len(b), None) for b in batches]
        for submission, tasks in zip(new, batches, strict=True):
            runs = [run for task in tasks for run in task]
            document: dict[str, Any] = {
                "schema": SCHEMA,
                "token": submission.token,
                "created": now,
                "profile": profile,
                "code": code.relative_to(self._layout.root).as_posix(),
                "runs": [{"run_id": r.run_id, "name": r.name, "config": r.config} for r in runs],
                "tasks": [[run.run_id for run in task] for task in tasks],
                "pack_mode": mode,
            }
            if after:
                document["after"] = list(after)
            write_text(self._layout.submission(submission.token), json.dumps(document) + "\n")
        self._write([*self.submissions, *new])
        return new

    def record_job_id(self, submission: Submission, job_id: str) -> Submission:
        """Write down what Slurm calls it, and keep its script under that name."""
        script = self.script(submission)
        with suppress(FileNotFoundError):
            script.replace(script.with_name(f"{job_id}_submission.sh"))
        confirmed = replace(submission, job_id=job_id)
        self._write([confirmed if s == submission else s for s in self.submissions])
        return confirmed

    def withdraw(self, submissions: Sequence[Submission]) -> None:
        """Take back what was announced. A job of it that appears all the same finds no work."""
        for submission in submissions:
            self._layout.submission(submission.token).unlink(missing_ok=True)
            self.script(submission).unlink(missing_ok=True)
        self._write([s for s in self.submissions if s not in submissions])

    def _write(self, submissions: list[Submission]) -> None:
        write_text(self._layout.index, index_json(self.sweep, self._entries, submissions))
        self.submissions = submissions


def list_submissions(layout: SweepLayout) -> list[Submission]:
    """The submissions in the index, and those of which only the file is left."""
    found = read_submissions(layout) if exists(layout.index) else []
    tokens = {submission.token for submission in found}
    for path in sorted(layout.submissions.glob("[0-9a-f]*.json")):
        if path.stem not in tokens and (document := _read(path)):
            token, created, profile = (document[key] for key in ("token", "created", "profile"))
            found.append(Submission(token, created, profile, len(tasks_of(document)), None))
    return sorted(found, key=lambda submission: submission.created)


def _read(path: Path) -> dict[str, Any]:
    """A submission file; empty if it is missing or broken. Raises `UserError` if unreadable."""
    try:
        document = json.loads(retried(path.read_bytes))
    except (FileNotFoundError, ValueError):
        return {}
    except OSError as error:  # nothing may be taken for not submitted
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return document if isinstance(document, dict) and document.get("schema") == SCHEMA else {}
