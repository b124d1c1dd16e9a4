"""The launcher from the command line, with everything but the training itself."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from inr.config import RunConfig
from inr.errors import run_main
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import index_json, read_index
from jobs.launch import main
from jobs.launching.plan import make_plan
from jobs.launching.postprocessing import describe_results, run_postprocessing
from jobs.sweeps.sweep_file import load_sweep
from jobs.sweeps.yaml_file import read_document
from jobs.worker.train import train_runs
from tests.helpers.slurm.fake_slurm import install
from tests.helpers.synthetic import write_run

HEAVY = ("torch", "submitit", "skimage", "h5py")
TINY = [
    "--set=data.size=16",
    "--set=data.frames=3",
    "--set=model.width=8",
    "--set=model.depth=1",
    "--set=training.steps=4",
    "--set=record.metrics_every=2",
    "--set=record.tensorboard=false",
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_sweep(tmp_path, text: str, name: str = "mine"):
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def test_dry_run_shows_what_varies_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["--local", "--dry-run", "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert "8 runs: 8 to train" in out
    assert "outputs/quickstart" in out
    header = next(line for line in out.splitlines() if line.startswith("#"))
    together = ["time_scale", "optimizer", "learning_rate"]
    assert header.split() == ["#", "activation", *together, "loss_weights", "run"]
    time = r"about [\d:]+ of training on this machine, as busy as it is now \(8 runs, 2 at a time\)"
    assert re.search(rf"\nexpected: {time}, 0\.\d GB of memory a task, 1,000 steps a run\n$", out)
    assert list(tmp_path.iterdir()) == []


def test_long_table_is_cut_in_the_middle(capsys):
    assert main(["--local", "--dry-run", "--sweep", "study"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("… 120 more …" in line for line in lines)
    assert len(lines) < 50


def test_array_takes_the_study_and_the_default_profile(tmp_path, capsys):
    assert main(["--array", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "160 runs" in out
    assert "profile default" in out
    assert "#SBATCH" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        pytest.param(["--help"], HEAVY, id="help"),
        pytest.param(["--debug", "--dry-run"], HEAVY, id="dry"),
        # steps are timed in other processes
        pytest.param(["--local", "--dry-run"], ("torch", "skimage"), id="timed"),
    ],
)
def test_nothing_heavy_is_loaded_to_look(arguments, heavy):
    code = (
        "import sys; from jobs.launch import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded: []\n")


def test_debug_trains_one_run_here_again_and_again(tmp_path, capsys):
    text = "grid: {model.activation: [sine, elu, tanh]}"
    command = ["--debug", "--sweep", write_sweep(tmp_path, text), "--run", "1", *TINY]
    for _ in range(2):
        assert main(command) == 0
        out = capsys.readouterr().out
        assert "1_0_0_0/elu_uniform_1e-4: complete" in out
        assert "step 4/4" in out
    layout = SweepLayout(tmp_path / "outputs" / "mine_debug")
    assert [entry.name for entry in read_index(layout)] == ["1_0_0_0/elu_uniform_1e-4"]
    assert layout.run("1_0_0_0/elu_uniform_1e-4").results.is_file()


def test_debug_touches_nothing_that_another_process_trains(tmp_path, capsys):
    text = """
    grid: {training.seed: [0, 1]}
    """
    command = ["--debug", "--sweep", write_sweep(tmp_path, text), "--run", "1", *TINY]
    output = tmp_path / "elsewhere"
    layout = SweepLayout(output)
    assert run_main(lambda: main([*command, "--output", str(output)])) == 0
    run = layout.run(read_index(layout)[-1].name)
    for path in (run.checkpoint, run.progress, run.error, layout.index, layout.specification):
        path.write_bytes(path.read_bytes() if path.exists() else b"of the other")
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in output.rglob("*") if p.is_file()}
    with RunLock(run.lock):
        code = run_main(lambda: main([*command, "--output", str(output)]))
    assert code == 1
    assert "in use by process" in capsys.readouterr().err
    after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in output.rglob("*") if p.is_file()}
    assert after == before


def test_debug_takes_a_name(tmp_path, capsys):
    sweep = write_sweep(tmp_path, "grid: {model.activation: [sine, elu]}")
    name = "1_0_0_0/elu_uniform_1e-4"
    assert main(["--debug", "--dry-run", "--sweep", sweep, "--run", name]) == 0
    assert name in capsys.readouterr().out


@pytest.fixture
def fake_training(monkeypatch):
    """Local training without processes: each run in this one, by way of the task."""
    trained = []

    class Pool:
        def __init__(self, layout, workers, code, mode):
            self.layout = layout

        def train(self, tasks, display):
            for (run,) in tasks:
                trained.append(run.name)
                train_runs(str(self.layout.root), [(run.name, json.dumps(run.config))])
            return []

    monkeypatch.setattr("jobs.launching.local_pool.LocalPool", Pool)
    return trained


def test_second_launch_trains_only_what_is_new(tmp_path, capsys, fake_training):
    sweep = write_sweep(tmp_path, "grid: {model.activation: [sine, elu]}")
    command = ["--local", "--no-post", "--sweep", sweep, "--output", "out", *TINY]
    assert main(command) == 0
    first = read_index(SweepLayout(tmp_path / "out"))
    assert fake_training == ["1_0_0_0/sine_uniform_1e-4", "1_0_0_0/elu_uniform_1e-4"]

    fake_training.clear()
    capsys.readouterr()
    assert main(command) == 0
    assert "2 of 2 complete: nothing to train" in capsys.readouterr().out
    assert fake_training == []

    sweep = write_sweep(tmp_path, "grid: {model.activation: [elu, tanh], training.seed: [0, 1]}")
    assert main([*command[:3], sweep, *command[4:]]) == 0
    assert fake_training == [
        "1_0_0_0/elu_uniform_1e-4_seed1",
        "1_0_0_0/tanh_uniform_1e-4_seed0",
        "1_0_0_0/tanh_uniform_1e-4_seed1",
    ]
    entries = read_index(SweepLayout(tmp_path / "out"))
    assert entries[:2] == first
    assert [entry.task for entry in entries] == [0, 1, 2, 3, 4]
    assert all(RunConfig(**entry.config).run_id == entry.run_id for entry in entries)


def test_index_may_be_deleted(tmp_path, fake_training):
    sweep = write_sweep(tmp_path, "grid: {model.activation: [sine, elu]}")
    command = ["--local", "--no-post", "--sweep", sweep, "--output", "out", *TINY]
    layout = SweepLayout(tmp_path / "out")
    assert main(command) == 0
    before = layout.index.read_text()
    layout.index.unlink()
    assert main(command) == 0
    assert layout.index.read_text() == before
    assert len(fake_training) == 2  # nothing was trained twice


def test_specification_is_kept_with_the_overrides(tmp_path, fake_training):
    sweep = write_sweep(tmp_path, "description: why\nbase: {model.activation: elu}")
    assert main(["--local", "--no-post", "--sweep", sweep, *TINY]) == 0
    layout = SweepLayout(tmp_path / "outputs" / "mine")
    kept = read_document(layout.specification).value
    assert kept["base"] == {"model.activation": "elu"}
    assert kept["set"]["training.steps"] == 4
    # the kept file is a sweep file itself
    assert main(["--local", "--dry-run", "--sweep", str(layout.specification)]) == 0


def test_result_of_another_configuration_does_not_count(tmp_path, fake_training):
    sweep = write_sweep(tmp_path, "name: same")
    command = ["--local", "--no-post", "--sweep", sweep, "--output", "out", *TINY]
    layout = SweepLayout(tmp_path / "out")
    assert main(command) == 0
    # forgotten by the index, so that the next configuration gets the same name
    layout.index.write_text(index_json("out", []))
    assert main([*command, "--set", "training.seed=7"]) == 0
    assert fake_training == ["1_0_0_0/sine_uniform_1e-4"] * 2


def test_images_are_loaded_before_anything_starts(tmp_path, fake_training, capsys):
    from imageio.v3 import imwrite
    from skimage.data import camera

    imwrite(tmp_path / "photo.png", camera()[::8, ::8])
    command = ["--local", "--no-post", *TINY, "--set=model.activation=sine"]
    assert main([*command, "--set=data.image=photo.png", "--output", "out"]) == 0
    config = read_index(SweepLayout(tmp_path / "out"))[0].config
    assert config["data"]["image"] == str(tmp_path / "photo.png")


def test_postprocessing_runs_as_commands_and_each_fails_alone(tmp_path, capfd):
    code = tmp_path / "code"
    commands = code / "postprocess"
    commands.mkdir(parents=True)
    for script, end in (("merge.py", 0), ("figures.py", 3), ("videos.py", 0)):
        (commands / script).write_text(
            f"import sys; print('{script}', *sys.argv[1:]); sys.exit({end})"
        )
    assert run_postprocessing(SweepLayout(tmp_path), code) == 3
    out = capfd.readouterr().out
    assert f"merge.py {tmp_path}" in out
    assert "figures.py failed" in out
    assert f"videos.py {tmp_path}" in out


def test_postprocessing_goes_on_without_a_zoom(tmp_path, capfd):
    commands = tmp_path / "code" / "postprocess"
    commands.mkdir(parents=True)
    for script, end in (("videos.py", 0), ("zoom.py", 1), ("report.py", 0)):
        (commands / script).write_text(
            f"import sys; print('{script}', *sys.argv[2:]); sys.exit({end})"
        )
    assert run_postprocessing(SweepLayout(tmp_path), tmp_path / "code") == 0
    out = capfd.readouterr().out
    assert "videos.py --select auto --compare best worst" in out
    assert "zoom.py --format mp4" in out
    assert "zoom.py failed" in out
    assert "report.py" in out


def test_the_end_says_where_things_are(tmp_path):
    layout = SweepLayout(tmp_path / "here")
    layout.figures.mkdir(parents=True)
    text = describe_results(layout)
    assert str(layout.figures) in text
    assert "videos  " not in text  # there are none
    assert f"--logdir {layout.runs}" in text


def test_runs_that_go_on_from_a_checkpoint_are_counted(tmp_path):
    sweep = load_sweep(Path(write_sweep(tmp_path, "grid: {model.activation: [sine, elu]}")))
    plan = make_plan(sweep, tmp_path / "out")
    checkpoint = plan.layout.run(plan.runs[1].name).checkpoint
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert "2 runs: 2 to train, 1 of them from a checkpoint, in" in plan.describe()


def test_array_submits_what_is_not_complete(tmp_path, monkeypatch, capsys):
    slurm = install(tmp_path, monkeypatch)
    sweep = write_sweep(tmp_path, "grid: {model.activation: [sine, elu]}")
    command = ["--array", "--no-preflight", "--no-post", "--sweep", sweep]
    config = RunConfig()
    name = "1_0_0_0/sine_uniform_1e-4"
    write_run(tmp_path / "outputs" / "mine" / "runs" / name / "run.h5", config, name=name)
    SweepLayout(tmp_path / "outputs" / "mine").index.write_text(index_json("mine", []))
    assert main(command) == 0
    assert slurm.waiting() == [("41", "")]
    out = capsys.readouterr().out
    assert "1 of 2 complete: 1 to train" in out
    assert "job 41: 1 task" in out
