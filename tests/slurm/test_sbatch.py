"""What sbatch answers: refusals are explained, and lost answers are no refusals."""

from pathlib import Path

import pytest

from inr.errors import UserError
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_submissions
from slurm import sbatch, submit
from slurm.profile import Profile
from tests.helpers.slurm.array_launch import entries, leftovers, profile, submit_runs
from tests.helpers.slurm.fake_slurm import FakeSlurm

REFUSED = "sbatch: error: Batch job submission failed: "
POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
EXTRA = "extra ({'reservation': 'none'})"


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        pytest.param(
            "sbatch: error: invalid partition specified: nope\n"
            f"{REFUSED}Invalid partition name specified",
            "partition ('nope')",
            id="partition",
        ),
        pytest.param(
            f"{REFUSED}Invalid account or account/partition combination specified",
            "account (None), partition ('nope')",
            id="account",
        ),
        pytest.param(f"{REFUSED}Invalid qos specification", "qos (None)", id="qos"),
        pytest.param(f"{REFUSED}Invalid feature specification", "constraint (None)", id="feature"),
        pytest.param(
            "sbatch: error: Memory specification can not be satisfied\n"
            f"{REFUSED}Requested node configuration is not available",
            "memory (None)",
            id="memory",
        ),
        pytest.param(f"{REFUSED}Requested time limit is invalid", "time (30)", id="time"),
        pytest.param("sbatch: unrecognized option '--frob=1'", EXTRA, id="option"),
        pytest.param(f"{REFUSED}Requested reservation is invalid", EXTRA, id="reservation"),
        pytest.param(
            f"{REFUSED}Requested node configuration is not available",
            f"gpus (1), cpus (2), partition ('nope'), exclude ('n1'), {EXTRA}",
            id="node",
        ),
    ],
)
def test_refusal_names_the_field(
    listed: SweepLayout,
    slurm: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    refusal: str,
    field: str,
) -> None:
    monkeypatch.setenv("ACCEPT", "0")
    monkeypatch.setenv("REFUSAL", refusal)
    asked = profile(partition="nope", exclude="n1", extra={"reservation": "none"})
    with pytest.raises(UserError) as caught:
        submit_runs(listed, entries(2), asked)
    message = str(caught.value)
    assert "\n" not in message
    assert refusal.splitlines()[-1].removeprefix("sbatch: ").removeprefix("error: ") in message
    assert f"In the cluster profile, look at {field}" in message
    assert "Already submitted" not in message
    assert read_submissions(listed) == []
    assert leftovers(listed) == []
    assert capfd.readouterr().err == ""


def test_refusal_half_way_names_what_was_accepted(
    listed: SweepLayout, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCEPT", "2")
    monkeypatch.setenv("REFUSAL", f"{REFUSED}Job violates accounting/QOS policy")
    with pytest.raises(UserError, match=r"Already submitted: 7 tasks as 41 42; .*`scancel 41 42`"):
        submit_runs(listed, entries(11), profile())
    assert leftovers(listed) == []
    assert [each.job_id for each in read_submissions(listed)] == ["41", "42"]


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        pytest.param(
            f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{REFUSED}{POLICY}",
            "QOSMaxSubmitJobPerUserLimit; .*each task of an array counting.*--pack",
            id="submitted",
        ),
        pytest.param(
            f"sbatch: error: AssocMaxSubmitJobLimit\n{REFUSED}{POLICY}",
            "may be in the queue at once.*Launch again",
            id="submitted-by-account",
        ),
        pytest.param(
            f"{REFUSED}Slurm temporarily unable to accept job", "MaxJobCount", id="full-queue"
        ),
        pytest.param(f"{REFUSED}Resource temporarily unavailable", "MaxJobCount", id="again"),
        pytest.param(
            f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{REFUSED}{POLICY}",
            r"look at time \(30\)",
            id="wall",
        ),
        pytest.param(
            f"sbatch: error: QOSMaxGRESPerUser\n{REFUSED}{POLICY}",
            r"look at gpus \(1\)",
            id="gpus",
        ),
        pytest.param(
            f"sbatch: error: AssocGrpJobsLimit\n{REFUSED}{POLICY}",
            "Lower parallelism",
            id="running",
        ),
        pytest.param(f"{REFUSED}{POLICY}", "sacctmgr show qos.*--pack", id="unnamed"),
    ],
)
def test_limit_of_the_cluster_is_named_and_no_account(
    listed: SweepLayout,
    slurm: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
    refusal: str,
    advice: str,
) -> None:
    monkeypatch.setenv("ACCEPT", "1")
    monkeypatch.setenv("REFUSAL", refusal)
    with pytest.raises(UserError, match=rf"{advice}.*Already submitted: 3 tasks as 41") as caught:
        submit_runs(listed, entries(11), profile())
    assert "account (" not in str(caught.value)


def test_queue_that_stays_full_is_named(
    listed: SweepLayout, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sbatch, "SECONDS", 1.0)
    said = "Slurm temporarily unable to accept job, sleeping and retrying"
    program = f"#!/bin/bash\necho 'sbatch: error: {said}' >&2\nexec sleep 60\n"
    (slurm.scripts.parent / "bin" / "sbatch").write_text(program)
    with pytest.raises(UserError, match=r"no answer within 1 seconds \(.*\)\. .*\(MaxJobCount\)"):
        submit_runs(listed, entries(3), profile())


@pytest.mark.parametrize(
    "refusal",
    ["Unable to contact slurm controller", "Socket timed out on send/recv operation"],
    ids=["away", "timeout"],
)
def test_job_that_may_have_been_accepted_is_not_forgotten(
    listed: SweepLayout, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    monkeypatch.setenv("ACCEPT", "1")
    monkeypatch.setenv("REFUSAL", f"{REFUSED}{refusal}")
    with pytest.raises(UserError, match=refusal):
        submit_runs(listed, entries(11), profile())
    assert [each.job_id for each in read_submissions(listed)] == ["41", None]
    assert leftovers(listed) == []


def test_interrupt_names_what_was_accepted(
    listed: SweepLayout, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    def interrupted(script: str, path: Path, profile: Profile) -> str:
        sent.append(sbatch.send(script, path, profile))
        if len(sent) == 2:
            raise KeyboardInterrupt
        return sent[-1]

    monkeypatch.setattr(submit, "send", interrupted)
    with pytest.raises(UserError, match=r"interrupted. Already submitted: 3 tasks as 41"):
        submit_runs(listed, entries(11), profile())
    # the second was accepted, but nobody learned its name
    assert [each.job_id for each in read_submissions(listed)] == ["41", None]
    assert leftovers(listed) == []
