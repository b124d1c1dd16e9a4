"""Array submission without a cluster: scripts, splitting, refusals. See test_slurm.py for one."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import submitit

from inr.config import RunConfig
from inr.errors import UsageError, UserError
from inr.index import IndexEntry
from inr.layout import SweepLayout
from jobs import cluster
from jobs.cluster import Submission, plan_arrays, preview, submit
from jobs.profiles import Profile, load_profile

GOLDEN = Path(__file__).parent / "golden" / "array.sh"

# Accepts every script and keeps a copy, up to $ACCEPT of them; then refuses with $REFUSAL.
SBATCH = """#!/bin/bash
number=$(( $(ls "$KEPT" | wc -l) + 1 ))
if [ "$number" -gt "${ACCEPT:-99}" ]; then echo "$REFUSAL" >&2; exit 1; fi
cp "$1" "$KEPT/$number.sh"
echo "Submitted batch job $(( 40 + number ))"
"""
SCONTROL = """#!/bin/bash
[ -z "$SLURM_DOWN" ] || { echo "Unable to contact slurm controller" >&2; exit 1; }
echo "MaxArraySize            = ${LIMIT:-5}"
"""


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
def no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for sbatch, srun and scontrol; the directory where sbatch keeps the scripts."""
    programs = tmp_path / "bin"
    kept = tmp_path / "kept"
    programs.mkdir()
    kept.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", "#!/bin/bash\n"), ("scontrol", SCONTROL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KEPT", str(kept))
    return kept


def unsubmitted(layout: SweepLayout) -> list[str]:
    """Files of tasks that belong to no job."""
    files = [*layout.submitit.glob("*.pkl"), *layout.submitit.glob(".submission_file_*")]
    return [file.name for file in files if "submitted" not in file.name and not file.is_symlink()]


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
def test_script_is_the_golden_one(layout: SweepLayout) -> None:
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
        extra={"mail-type": "FAIL", "exclusive": True, "requeue": False, "comment": "two words"},
    )
    text = preview(layout, entries(3), full)
    text = text.replace(str(layout.root.resolve()), "/SWEEP").replace(
        shlex.quote(sys.executable), "PYTHON"
    )
    assert text == GOLDEN.read_text()


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
    for absent in ("partition", "account", "qos", "gpus", "mem=", "wckey", "# setup"):
        assert absent not in text


@pytest.mark.usefixtures("no_slurm")
def test_single_task_is_a_plain_job(layout: SweepLayout) -> None:
    text = preview(layout, entries(1), load_profile("default"))
    assert "--array" not in text
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


def test_percent_sign_in_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"50%.*--output"):
        preview(SweepLayout(tmp_path / "50%"), entries(2), profile())


# --- submission


def test_submits_what_it_previewed(layout: SweepLayout, slurm: Path) -> None:
    tasks = entries(4)
    chosen = profile(setup=["true"], parallelism=3)
    previewed = preview(layout, tasks, chosen)
    assert submit(layout, tasks, chosen) == [Submission("41", range(4))]
    script = (slurm / "1.sh").read_text()
    assert script == (layout.submitit / "41_submission.sh").read_text()
    assert previewed.partition("tasks: 4\n")[2] == script


def test_task_gets_root_name_and_configuration_only(layout: SweepLayout, slurm: Path) -> None:
    tasks = entries(2)
    submit(layout, tasks, profile())
    for number, entry in enumerate(tasks):
        path = layout.submitit / f"41_{number}_submitted.pkl"
        task = submitit.core.utils.DelayedSubmission.load(path)
        config = RunConfig.model_validate(entry.config).canonical_json()
        assert task.function.__module__ == "jobs.task"
        assert task.args == (str(layout.root.resolve()), entry.name, config)
        assert path.stat().st_size < 4096


def test_long_sweep_is_split_at_the_clusters_limit(layout: SweepLayout, slurm: Path) -> None:
    parts = submit(layout, entries(11), profile())
    assert parts == [
        Submission("41", range(3)),
        Submission("42", range(3, 7)),
        Submission("43", range(7, 11)),
    ]
    assert "--array=0-2%3\n" in (slurm / "1.sh").read_text()
    assert unsubmitted(layout) == []


def test_profile_overrides_the_clusters_limit(layout: SweepLayout, slurm: Path) -> None:
    assert len(submit(layout, entries(6), profile(max_array_size=2))) == 3


def test_cluster_that_forbids_arrays(
    layout: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMIT", "0")
    tasks = entries(2)
    assert "# array 1, 2: tasks: 1\n" in preview(layout, tasks, profile())
    assert [each.tasks for each in submit(layout, tasks, profile())] == [range(1), range(1, 2)]
    assert "--array" not in (slurm / "2.sh").read_text()


def test_nothing_to_submit(layout: SweepLayout, slurm: Path) -> None:
    assert submit(layout, [], profile()) == []


@pytest.mark.usefixtures("no_slurm")
def test_without_slurm(layout: SweepLayout) -> None:
    with pytest.raises(UserError, match=r"no sbatch and no srun here.*module load.*--local"):
        submit(layout, entries(2), profile())


def test_cluster_that_does_not_answer(
    layout: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_DOWN", "1")
    assert "no cluster answers" in preview(layout, entries(2), profile())
    with pytest.raises(UserError, match="does not answer"):
        submit(layout, entries(2), profile())
    assert list(slurm.iterdir()) == []


REFUSED = "sbatch: error: Batch job submission failed: "


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
        pytest.param("sbatch: unrecognized option '--frob=1'", "extra ({})", id="option"),
    ],
)
def test_refusal_names_the_field(
    layout: SweepLayout,
    slurm: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    refusal: str,
    field: str,
) -> None:
    monkeypatch.setenv("ACCEPT", "0")
    monkeypatch.setenv("REFUSAL", refusal)
    with pytest.raises(UserError) as caught:
        submit(layout, entries(2), profile(partition="nope"))
    message = str(caught.value)
    assert "\n" not in message
    assert refusal.splitlines()[-1].removeprefix("sbatch: ").removeprefix("error: ") in message
    assert f"In the cluster profile, look at {field}" in message
    assert "Already submitted" not in message
    assert unsubmitted(layout) == []
    assert capfd.readouterr().err == ""


def test_refusal_that_is_not_about_the_profile(
    layout: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCEPT", "0")
    monkeypatch.setenv("REFUSAL", f"{REFUSED}Unable to contact slurm controller")
    with pytest.raises(UserError, match=r"Unable to contact slurm controller$"):
        submit(layout, entries(2), profile())


def test_refusal_half_way_names_what_was_accepted(
    layout: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCEPT", "2")
    monkeypatch.setenv("REFUSAL", f"{REFUSED}Job violates accounting/QOS policy")
    with pytest.raises(UserError, match=r"Already submitted: 7 tasks as 41 42; `scancel 41 42`"):
        submit(layout, entries(11), profile())
    assert unsubmitted(layout) == []
    assert len(list(layout.submitit.glob("*_submitted.pkl"))) == 7


def test_interrupt_names_what_was_accepted(
    layout: SweepLayout, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster._ArrayExecutor, "_throttle", interrupt_second_call())
    with pytest.raises(UserError, match=r"interrupted. Already submitted: 3 tasks as 41"):
        submit(layout, entries(6), profile())
    assert unsubmitted(layout) == []


def interrupt_second_call() -> object:
    calls = []

    def throttle(_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    return throttle


def test_preview_works_where_there_is_slurm(layout: SweepLayout, slurm: Path) -> None:
    assert shutil.which("scontrol")
    assert "(an array holds at most 5)" in preview(layout, entries(2), profile())
