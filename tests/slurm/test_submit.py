"""Array submission without a cluster: scripts, splitting, refusals. See test_real_cluster.py."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inr.config import RunConfig
from inr.errors import UserError
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, index_json, read_submissions
from slurm import batch_script
from slurm.arrays import plan_arrays
from slurm.batch_script import JobScript, post_script
from slurm.profile import Profile, load_profile
from slurm.submit import preview, submit
from tests.helpers.fake_slurm import install

ARRAY = Path(__file__).parent / "golden" / "array.sh"
POST = Path(__file__).parent / "golden" / "post.sh"


def entries(count: int) -> list[IndexEntry]:
    configs = [RunConfig.model_validate({"training": {"seed": seed}}) for seed in range(count)]
    return [
        IndexEntry(config.run_id, f"{config.name}_{task}", task, config.model_dump(mode="json"))
        for task, config in enumerate(configs)
    ]


def profile(**fields: object) -> Profile:
    return Profile.model_validate({"time": 30, "gpus": 1, "cpus": 2, **fields})


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path / "a sweep")


@pytest.fixture
def listed(layout: SweepLayout) -> SweepLayout:
    """A sweep with an index, of which nothing was submitted."""
    layout.root.mkdir()
    layout.index.write_text(index_json(layout.name, entries(11)))
    return layout


@pytest.fixture
def no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory where a stand-in for sbatch keeps the scripts."""
    return install(tmp_path, monkeypatch).scripts


def leftovers(layout: SweepLayout) -> list[str]:
    """Files of jobs that were not submitted."""
    known = {submission.token for submission in read_submissions(layout)}
    kept = {str(submission.job_id or submission.token) for submission in read_submissions(layout)}
    scripts = [f for f in layout.submitit.glob("*.sh") if f.name.split("_")[0] not in kept]
    files = [f for f in layout.submissions.glob("*") if f.stem not in known]
    return [file.name for file in (*scripts, *files)]


def normalized(text: str, layout: SweepLayout) -> str:
    """A script with the names of this machine and of this code taken out."""
    python = shlex.quote(sys.executable)
    text = text.replace(str(layout.root.resolve()), "/SWEEP").replace(python, "PYTHON")
    return re.sub(r"/code/[0-9a-f]{16}", "/code/DIGEST", text)


# --- splitting


@pytest.mark.parametrize(
    ("count", "limit", "sizes"),
    [
        pytest.param(0, 5, [], id="none"),
        pytest.param(1, 5, [1], id="one"),
        pytest.param(5, 5, [5], id="exactly-full"),
        pytest.param(6, 5, [3, 3], id="one-too-many"),
        pytest.param(11, 5, [3, 4, 4], id="uneven"),
        pytest.param(3, 1, [1, 1, 1], id="arrays-of-one"),
        pytest.param(2, 0, [1, 1], id="arrays-forbidden"),
        pytest.param(10_000, 1001, [1000] * 10, id="many"),
    ],
)
def test_plan_arrays(count: int, limit: int, sizes: list[int]) -> None:
    parts = plan_arrays(count, limit)
    assert [part.stop - part.start for part in parts] == sizes
    assert [i for part in parts for i in range(count)[part]] == list(range(count))


# --- the script


@pytest.mark.usefixtures("no_slurm")
def test_scripts_are_the_golden_ones(layout: SweepLayout) -> None:
    full = profile(
        partition="gpu",
        account="lab",
        qos="high",
        gpus="a100:1",
        memory="8GB",
        parallelism=2,
        constraint="a100|h100",
        exclude="n[1-2]",
        setup=["module load cuda", "cd /data && . 'my env'"],
        extra={"mail-type": "FAIL", "exclusive": True, "oversubscribe": False, "nice": 3},
    )
    assert normalized(preview(layout, entries(3), full), layout) == ARRAY.read_text()
    post = full.model_copy(update={"post_partition": "cpu", "post_memory": "4GB"})
    script = post_script(layout, post, "TOKEN", layout.code / ("0" * 16), ["41", "42"])
    assert normalized(script.text, layout) == POST.read_text()


@pytest.mark.usefixtures("no_slurm")
def test_container_runs_what_runs_without_one(layout: SweepLayout) -> None:
    image = ["apptainer", "exec", "--nv", "my image.sif"]
    container = profile(container=image)
    bare = preview(layout, entries(1), profile()).splitlines()
    lines = preview(layout, entries(1), container).splitlines()
    python = shlex.quote(sys.executable)
    line = bare[-1].replace(f" {python} ", " python3 ")
    start = " bash apptainer exec --nv 'my image.sif' env INR_REQUEUE_CODE=75 "
    (found,) = [each for each in lines if start in each]
    before, _, words = found.partition(start)
    passed, _, after = words.rpartition("=') ")
    passed += "=')"
    assert f"{before} bash env {after}" == line
    variables = {"SLURM_ARRAY_TASK_ID": "3", "CUDA_VISIBLE_DEVICES": "1", "SLURM_JOB_NAME": "a b"}
    environment = variables | {"PATH": os.defpath}
    shown = subprocess.check_output(["/bin/bash", "-c", f"echo {passed}"], env=environment)
    assert set(shown.split()) == {b"SLURM_ARRAY_TASK_ID=3", b"CUDA_VISIBLE_DEVICES=1"}
    post = post_script(layout, container, "TOKEN", layout.code, [])
    assert "apptainer exec --nv 'my image.sif' env " in post.text
    text = preview(layout, entries(1), profile(container="apptainer exec $IMAGE"))
    assert " bash apptainer exec $IMAGE env " in text  # as the shell of the job knows it


@pytest.mark.parametrize(
    ("code", "job", "requeued"),
    [
        (0, "", ""),
        (1, "", ""),
        (75, "", "requeue 7_3\n"),
        (76, "JobState=RUNNING Reason=None PreemptTime=2026-01-01T00:00:00", "requeue 7_3\n"),
        (76, "JobState=RUNNING Reason=None PreemptTime=None", ""),
        (76, "JobState=CANCELLED Reason=None PreemptTime=2026-01-01T00:00:00", ""),
    ],
)
def test_task_in_a_container_is_requeued_from_outside(
    layout: SweepLayout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    job: str,
    requeued: str,
) -> None:
    install(tmp_path, monkeypatch)
    (tmp_path / "bin" / "scontrol").write_text(
        f'#!/bin/sh\n[ "$*" = "-o show job 7_3" ] && echo "JobId=7 {job} EndTime=x" && exit\n'
        f'echo "$@" > {tmp_path}/asked\n'
    )
    (tmp_path / "asked").touch()
    (tmp_path / "bin" / "srun").write_text(f"#!/bin/sh\nexit {code}\n")
    script = preview(layout, entries(3), profile(container="x", max_array_size=5)).partition(
        "tasks: 3\n#"
    )[2]
    done = subprocess.run(
        ["bash", "-c", f"#{script}"],
        env=os.environ | {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"},
    )
    assert done.returncode == code
    assert (tmp_path / "asked").read_text() == requeued


def test_comment_that_the_site_demands_is_the_jobs(layout: SweepLayout) -> None:
    assert "--comment='budget 7'\n" in preview(layout, entries(2), profile(comment="budget 7"))


@pytest.mark.usefixtures("no_slurm")
def test_preview_leaves_no_file(layout: SweepLayout) -> None:
    preview(layout, entries(3), load_profile("default"))
    assert not layout.root.exists()


@pytest.mark.usefixtures("no_slurm")
def test_preview_shows_equal_scripts_once(layout: SweepLayout) -> None:
    text = preview(layout, entries(7), profile(max_array_size=3, parallelism=6))
    assert "# tasks: 7, arrays: 3 (an array holds at most 3)" in text
    assert "# array 1, 2: tasks: 2\n" in text
    assert "# array 3: tasks: 3\n" in text
    assert "--array=0-1%2\n" in text  # 6 at the same time, over 3 arrays
    assert text.count("#!/bin/bash") == 2


@pytest.mark.usefixtures("no_slurm")
def test_minimal_profile_asks_for_nothing_else(layout: SweepLayout) -> None:
    text = preview(layout, entries(2), profile(gpus=0))
    assert "--array=0-1%2\n" in text
    for absent in ("partition", "account", "qos", "gpus", "mem=", "wckey", "MEM_PER", "dependency"):
        assert absent not in text


@pytest.mark.usefixtures("no_slurm")
def test_single_task_is_a_plain_job(layout: SweepLayout) -> None:
    text = preview(layout, entries(1), load_profile("default"))
    assert "--array" not in text
    assert " SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID\n" in text
    assert "/%j_0_log.out" in text


@pytest.mark.parametrize(
    ("line", "goes_on"),
    [
        pytest.param("true", True, id="works"),
        pytest.param("false", False, id="fails"),
        pytest.param("cd /nowhere && true", False, id="fails-left-of-and"),
        pytest.param("export A=1  # note", True, id="comment"),
        pytest.param("false # it's", False, id="quote"),
        pytest.param("if true; then\n  grep -q x /dev/null\nfi", False, id="several-lines"),
    ],
)
def test_failing_setup_line_ends_the_job(layout: SweepLayout, line: str, goes_on: bool) -> None:
    text = preview(layout, entries(2), profile(setup=[line]))
    setup = text.partition("# setup\n")[2].partition("# command")[0]
    done = subprocess.run(["bash", "-c", setup + "echo reached"], capture_output=True, text=True)
    assert (done.returncode == 0, "reached" in done.stdout) == (goes_on, goes_on)
    assert ("setup failed: " + line in done.stderr) is not goes_on


def test_signal_before_python_listens_does_not_end_the_task(layout: SweepLayout) -> None:
    words = shlex.split(preview(layout, entries(1), profile()).splitlines()[-1])
    wrapper = words[words.index("bash") : words.index("env")]
    raised = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGUSR2)"]
    assert subprocess.run([*wrapper, *raised]).returncode == 0
    assert subprocess.run(raised).returncode != 0


# --- submission


def test_submits_what_it_previewed(listed: SweepLayout, slurm: Path) -> None:
    tasks = entries(4)
    chosen = profile(setup=["true"], parallelism=3)
    previewed = preview(listed, tasks, chosen)
    [submission] = submit(listed, tasks, chosen)
    assert (submission.job_id, submission.tasks) == ("41", 4)
    script = (slurm / "1.sh").read_text()
    assert script == (listed.submitit / "41_submission.sh").read_text()
    assert previewed.partition("tasks: 4\n")[2].replace("TOKEN", submission.token) == script


def test_submission_file_holds_runs_in_task_order(listed: SweepLayout, slurm: Path) -> None:
    tasks = entries(3)
    [submission] = submit(listed, tasks, load_profile("testbed"))
    document = json.loads(listed.submission(submission.token).read_text())
    assert document["schema"] == "inr-submission/1"
    assert (document["token"], document["profile"]) == (submission.token, "testbed")
    assert (listed.root / document["code"] / "jobs" / "worker" / "array_task.py").is_file()
    wanted = [{"run_id": t.run_id, "name": t.name, "config": t.config} for t in tasks]
    assert document["runs"] == wanted
    assert f"--comment=inr:{submission.token}\n" in (slurm / "1.sh").read_text()
    assert read_submissions(listed) == [submission]


def test_long_sweep_is_split_at_the_clusters_limit(listed: SweepLayout, slurm: Path) -> None:
    parts = submit(listed, entries(11), profile())
    assert [(part.job_id, part.tasks) for part in parts] == [("41", 3), ("42", 4), ("43", 4)]
    assert "--array=0-2%3\n" in (slurm / "1.sh").read_text()
    assert leftovers(listed) == []


def test_no_more_tasks_run_at_once_than_allowed(listed: SweepLayout, slurm: Path) -> None:
    few = profile(max_array_size=2, parallelism=2)
    text = preview(listed, entries(7), few)
    assert "# array 2: tasks: 2\n" in text
    assert text.count("--array=0-1%1\n") + text.count("%j_0_log.out") / 2 >= 2
    assert text.count("--dependency=afterany:JOB\n") == 1
    submit(listed, entries(7), few)
    scripts = [(slurm / f"{number}.sh").read_text() for number in (1, 2, 3, 4)]
    waits = [re.findall(r"--dependency=(\S+)", script) for script in scripts]
    assert waits == [[], [], ["afterany:41"], ["afterany:42"]]


def test_profile_overrides_the_clusters_limit(listed: SweepLayout, slurm: Path) -> None:
    assert len(submit(listed, entries(6), profile(max_array_size=2))) == 3


def test_cluster_that_forbids_arrays(
    listed: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMIT", "0")
    tasks = entries(2)
    assert "# array 1, 2: tasks: 1\n" in preview(listed, tasks, profile())
    assert [each.tasks for each in submit(listed, tasks, profile())] == [1, 1]
    assert "--array" not in (slurm / "2.sh").read_text()


def test_nothing_to_submit(listed: SweepLayout, slurm: Path) -> None:
    assert submit(listed, [], profile()) == []


@pytest.mark.usefixtures("no_slurm")
def test_without_slurm(listed: SweepLayout) -> None:
    with pytest.raises(UserError, match=r"no sbatch and no srun here.*module load.*--local"):
        submit(listed, entries(2), profile())


def test_cluster_that_does_not_answer(
    listed: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER_DOWN", "1")
    assert "no cluster answers" in preview(listed, entries(2), profile())
    with pytest.raises(UserError, match="does not answer"):
        submit(listed, entries(2), profile())
    assert list(slurm.iterdir()) == []


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
    slurm: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    refusal: str,
    field: str,
) -> None:
    monkeypatch.setenv("ACCEPT", "0")
    monkeypatch.setenv("REFUSAL", refusal)
    asked = profile(partition="nope", exclude="n1", extra={"reservation": "none"})
    with pytest.raises(UserError) as caught:
        submit(listed, entries(2), asked)
    message = str(caught.value)
    assert "\n" not in message
    assert refusal.splitlines()[-1].removeprefix("sbatch: ").removeprefix("error: ") in message
    assert f"In the cluster profile, look at {field}" in message
    assert "Already submitted" not in message
    assert read_submissions(listed) == []
    assert leftovers(listed) == []
    assert capfd.readouterr().err == ""


def test_refusal_half_way_names_what_was_accepted(
    listed: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCEPT", "2")
    monkeypatch.setenv("REFUSAL", f"{REFUSED}Job violates accounting/QOS policy")
    with pytest.raises(UserError, match=r"Already submitted: 7 tasks as 41 42; .*`scancel 41 42`"):
        submit(listed, entries(11), profile())
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
    listed: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch, refusal: str, advice: str
) -> None:
    monkeypatch.setenv("ACCEPT", "1")
    monkeypatch.setenv("REFUSAL", refusal)
    with pytest.raises(UserError, match=rf"{advice}.*Already submitted: 3 tasks as 41") as caught:
        submit(listed, entries(11), profile())
    assert "account (" not in str(caught.value)


def test_queue_that_stays_full_is_named(
    listed: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_script, "_SBATCH_SECONDS", 1.0)
    said = "Slurm temporarily unable to accept job, sleeping and retrying"
    program = f"#!/bin/bash\necho 'sbatch: error: {said}' >&2\nexec sleep 60\n"
    (slurm.parent / "bin" / "sbatch").write_text(program)
    with pytest.raises(UserError, match=r"no answer within 1 seconds \(.*\)\. .*\(MaxJobCount\)"):
        submit(listed, entries(3), profile())


@pytest.mark.parametrize(
    "refusal",
    ["Unable to contact slurm controller", "Socket timed out on send/recv operation"],
    ids=["away", "timeout"],
)
def test_job_that_may_have_been_accepted_is_not_forgotten(
    listed: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    monkeypatch.setenv("ACCEPT", "1")
    monkeypatch.setenv("REFUSAL", f"{REFUSED}{refusal}")
    with pytest.raises(UserError, match=refusal):
        submit(listed, entries(11), profile())
    assert [each.job_id for each in read_submissions(listed)] == ["41", None]
    assert leftovers(listed) == []


def test_interrupt_names_what_was_accepted(
    listed: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = JobScript.send
    sent = []

    def interrupted(script: JobScript) -> str:
        sent.append(send(script))
        if len(sent) == 2:
            raise KeyboardInterrupt
        return sent[-1]

    monkeypatch.setattr(JobScript, "send", interrupted)
    with pytest.raises(UserError, match=r"interrupted. Already submitted: 3 tasks as 41"):
        submit(listed, entries(11), profile())
    # the second was accepted, but nobody learned its name
    assert [each.job_id for each in read_submissions(listed)] == ["41", None]
    assert leftovers(listed) == []


def test_preview_works_where_there_is_slurm(layout: SweepLayout, slurm: Path) -> None:
    assert shutil.which("scontrol")
    assert "(an array holds at most 5)" in preview(layout, entries(2), profile())
