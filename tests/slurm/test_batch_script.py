"""The scripts: what a job asks for and runs, as `preview` shows them. No cluster is needed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from inr.storage.paths import SweepLayout
from slurm.batch_script import BatchScripts
from slurm.profile import load_profile
from slurm.submit import preview
from tests.helpers.slurm.array_launch import entries, profile
from tests.helpers.slurm.fake_slurm import install

ARRAY = Path(__file__).parent / "golden" / "array.sh"
POST = Path(__file__).parent / "golden" / "post.sh"


def normalized(text: str, layout: SweepLayout) -> str:
    """A script with the names of this machine and of this code taken out."""
    python = shlex.quote(sys.executable)
    text = text.replace(str(layout.root.resolve()), "/SWEEP").replace(python, "PYTHON")
    return re.sub(r"/code/[0-9a-f]{16}", "/code/DIGEST", text)


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
    script = BatchScripts(layout, post, layout.code / ("0" * 16)).post("TOKEN", ["41", "42"])
    assert normalized(script, layout) == POST.read_text()


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
    post = BatchScripts(layout, container, layout.code).post("TOKEN", [])
    assert "apptainer exec --nv 'my image.sif' env " in post
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
