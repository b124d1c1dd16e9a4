"""Whatever the user's shell sets: the same results, and text that can be read."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from inr.results import open_run, read_attributes, read_series
from inr.storage import provenance
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT

TREE = ("inr", "jobs", "postprocess", "slurm", "README.md", "LICENSE", "pyproject.toml")
SWEEP = """\
description: what “is” it … ×
base:
  data: {size: 16, frames: 2}
  model: {width: 8, depth: 1}
  training: {steps: 20}
  record: {metrics_every: 10, tensorboard: false}
grid: {training.learning_rate: [1.0e-3, 1.0e-4]}
"""

FALSE_MODULES = ("numpy", "torch", "queue", "select", "tarfile", "tempfile", "json")
POISON = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "MATPLOTLIBRC": "/nowhere/matplotlibrc",
    "MPLCONFIGDIR": "/proc/nowhere",
    "PYTHONIOENCODING": "ascii",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "LC_ALL": "C",
    "PYTHONPATH": os.pathsep,  # the current directory, with its false modules
    "PYTHONSTARTUP": "/nowhere",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONHASHSEED": "7",
    "FORCE_COLOR": "1",
    "COLUMNS": "1",
    "TERM": "dumb",
    "TMPDIR": "/nowhere",
    "HOME": "/proc/nowhere",
    "GIT_DIR": "/nowhere",
    "GIT_WORK_TREE": "/nowhere",
    "OMP_NUM_THREADS": "nonsense",
    "MKL_NUM_THREADS": "0",
    "HDF5_PLUGIN_PATH": "/nowhere",
    "HDF5_VOL_CONNECTOR": "nonsense",
    "SOURCE_DATE_EPOCH": "nonsense",
    "HDF5_USE_FILE_LOCKING": "nonsense",
    "KMP_AFFINITY": "nonsense",
    "CUDA_VISIBLE_DEVICES": "NoDevFiles",
}


def command(script: str, *arguments: str | Path, root: Path = ROOT) -> list[str]:
    return [sys.executable, str(root / script), *map(str, arguments)]


def run(words: list[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        words, cwd=cwd, env=os.environ | variables, capture_output=True, timeout=120, umask=0o077
    )


def train(cwd: Path, output: str, root: Path = ROOT, **variables: str) -> SweepLayout:
    """Train the sweep in ``cwd`` with one thread a run."""
    (cwd / "tiny.yaml").write_text(SWEEP, encoding="utf-8")
    options = ("--local", "--no-post", "--workers", "2", "--sweep", "tiny.yaml", "--output", output)
    done = run(command("jobs/launch.py", *options, root=root), cwd, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return SweepLayout(cwd / output)


def results(layout: SweepLayout) -> dict[str, bytes]:
    found = {}
    for path in sorted(layout.runs.rglob("run.h5")):
        with open_run(path) as file:
            series = read_series(file)
        found |= {
            f"{path.parent.name} {n}": c.tobytes() for n, c in series.items() if n != "seconds"
        }
    assert len(found) > 10
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a trained sweep, and much that must not be imported or read."""
    folder = tmp_path_factory.mktemp("shell")
    train(folder, "sweep")
    for name in FALSE_MODULES:
        (folder / f"{name}.py").write_text(f"raise SystemExit('false {name}')")
    (folder / "matplotlibrc").write_text("text.usetex: True\nbackend: nonsense\n")
    return folder


def test_training_gives_the_same_bytes(place: Path) -> None:
    poisoned = train(place, "poisoned", **POISON)
    assert results(poisoned) == results(SweepLayout(place / "sweep"))


COMMANDS = {
    "help": ("jobs/launch.py", ["--help"], "--dry-run"),
    "local": ("jobs/launch.py", ["--local", "--sweep", "tiny.yaml", "--dry-run"], "uniform_1e-3"),
    "array": ("jobs/launch.py", ["--array", "--sweep", "tiny.yaml", "--dry-run"], "#SBATCH"),
    "debug": ("jobs/launch.py", ["--debug", "--sweep", "tiny.yaml"], "complete. step 20/20"),
    "status": ("jobs/manage.py", ["status", "sweep", "--all"], "uniform_1e-3"),
    "logs": ("jobs/manage.py", ["logs", "sweep", "0"], "uniform_1e-3"),
    "merge": ("postprocess/merge.py", ["sweep", "--force"], "2 of 2 runs merged"),
    "figures": ("postprocess/figures.py", ["sweep", "--only", "overview", "--force"], "wrote"),
    "videos": ("postprocess/videos.py", ["sweep", "--run", "1e-3", "--force"], "wrote 2 files"),
    "zoom": ("postprocess/zoom.py", ["sweep", "--times", "2", "--format", "mp4"], "wrote 1 file"),
    "report": ("postprocess/report.py", ["sweep", "--force"], "wrote 1 file"),
    "study": ("postprocess/study.py", ["--check"], "agrees with"),
}


@pytest.mark.parametrize(("script", "arguments", "expected"), COMMANDS.values(), ids=COMMANDS)
def test_every_command_works_in_a_poisoned_shell(
    place: Path, script: str, arguments: list[str], expected: str
) -> None:
    done = run(command(script, *arguments), place, **POISON)
    assert done.returncode == 0, done.stdout + done.stderr
    assert expected in done.stdout.decode("ascii")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp437", "utf-16"])
def test_text_is_readable_in_every_encoding(place: Path, encoding: str) -> None:
    words = command("jobs/launch.py", "--local", "--sweep", "tiny.yaml", "--dry-run")
    done = run(words, place, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode(encoding)
    assert "tiny: what " in said
    assert "1_0_0_0/sine_uniform_1e-3" in said


ONE_RUN = command("jobs/launch.py", "--local", "--no-post", "--sweep", "tiny.yaml")
ONE_RUN += ["--set", "training.learning_rate=1e-3", "--output", "out"]


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "| head -n 0"])
def test_streams_may_be_closed(tmp_path: Path, streams: str) -> None:
    (tmp_path / "tiny.yaml").write_text(SWEEP, encoding="utf-8")
    shell = f"set -o pipefail; {' '.join(ONE_RUN)} {streams}"
    done = run(["bash", "-c", shell], tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert len(results(SweepLayout(tmp_path / "out"))) > 10  # open_run: they are whole


def test_a_terminal_may_be_closed(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SWEEP, encoding="utf-8")
    ours, terminal = os.openpty()
    with subprocess.Popen(ONE_RUN, cwd=tmp_path, stdout=terminal) as launch:
        os.close(terminal)
        os.close(ours)
    assert launch.returncode == 0
    assert len(results(SweepLayout(tmp_path / "out"))) > 10


@pytest.fixture
def repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Ours, as provenance sees it, and another one."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for name in ("ours", "other"):
        (tmp_path / name).mkdir()
        who = ("-c", "user.name=x", "-c", "user.email=x@x")
        for words in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "-m", name)):
            subprocess.run(["git", *words], cwd=tmp_path / name, check=True)
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "ours")
    return tmp_path / "ours", tmp_path / "other"


def test_the_commit_is_that_of_the_code(
    repositories: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other = repositories
    assert provenance.git("log", "-1", "--format=%s") == "ours"
    for name, value in {
        "GIT_DIR": other / ".git",
        "GIT_WORK_TREE": other,
        "GIT_INDEX_FILE": other / ".git" / "index",
        "GIT_OBJECT_DIRECTORY": other / ".git" / "objects",
        "GIT_CEILING_DIRECTORIES": other.parent,
        "GIT_CONFIG_COUNT": "nonsense",
    }.items():
        monkeypatch.setenv(name, str(value))
    assert provenance.git("log", "-1", "--format=%s") == "ours"
    assert provenance.git("rev-parse", "--show-prefix") == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_the_commit_is_known_also_of_a_tree_that_another_user_owns(
    repositories: tuple[Path, Path],
) -> None:
    ours, _ = repositories
    for path in (ours, *ours.rglob("*")):
        os.chown(path, 12345, 12345)
    assert provenance.git("log", "-1", "--format=%s") == "ours"


def copy_tree(to: Path) -> Path:
    """A work tree of its own, of another version."""
    for name in TREE:
        source, target = ROOT / name, to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "testbed"))
        else:
            shutil.copyfile(source, target)
    init = to / "inr" / "__init__.py"
    text = init.read_text()
    init.write_text(text.replace('__version__ = "', '__version__ = "9.'))
    return to


def test_a_script_runs_the_code_of_its_own_tree(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tree")
    for folder, name in (("jobs", "queue"), ("postprocess", "select"), ("jobs", "numpy")):
        (tree / folder / f"{name}.py").write_text("raise SystemExit('not meant')")
    layout = train(tmp_path, "out", root=tree, PYTHONPATH=str(ROOT))
    for path in layout.runs.rglob("run.h5"):
        with open_run(path) as file:
            assert read_attributes(file)["code_version"].startswith("9.")
    done = run(command("postprocess/merge.py", layout.root, root=tree), tmp_path)
    assert b"2 of 2 runs merged" in done.stdout, done.stderr


def test_a_wheel_holds_all_that_is_needed(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tree")
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*words, "-w", str(tmp_path), str(tree)], check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    data = {path.relative_to(ROOT) for name in TREE for path in (ROOT / name).rglob("*.*")}
    not_data = {".pyc", ".py", "testbed"}
    wanted = {path for path in data if not_data.isdisjoint((path.suffix, *path.parts))}
    assert {path for path in wanted if not (site / path).is_file()} == set()
    launch = [sys.executable, "-m", "jobs.launch", "--array", "--sweep", "study", "--dry-run"]
    done = run(launch, tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    assert b"profile default" in done.stdout


POOR = {
    "missing": ("/nowhere/ffmpeg", "No such file or directory"),
    "silent": ("/bin/true", "no message"),
}


@pytest.mark.parametrize(("program", "reason"), POOR.values(), ids=POOR)
def test_a_poor_ffmpeg_is_named_on_one_line(place: Path, program: str, reason: str) -> None:
    words = command("postprocess/videos.py", "sweep", "--run", "1e-4", "--force")
    done = run(words, place, IMAGEIO_FFMPEG_EXE=program)
    assert done.returncode == 1
    line = done.stderr.decode().splitlines()[-1]  # the others are about the matplotlibrc
    assert b"Traceback" not in done.stderr
    assert line.startswith(
        f"error: no video: ffmpeg failed ({program}): {reason}. IMAGEIO_FFMPEG_EXE "
    )
