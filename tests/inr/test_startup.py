"""Commands that answer at once: what they must never import."""

import subprocess
import sys
from pathlib import Path

import pytest

from inr.storage.provenance import ROOT
from tests.helpers.synthetic import quickstart, write_sweep

HEAVY = {"torch", "pandas", "matplotlib", "seaborn", "submitit", "tensorboard"}

# one process a command: what an earlier one imported would hide what this one does
PROGRAM = """\
import runpy, sys
script, *arguments = sys.argv[1:]
sys.argv = [script, *arguments]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as ended:
    code = ended.code
print("\\nleft with", code, "and", *sorted(sys.modules))
"""


def start(script: str, *arguments: str, cwd: Path) -> tuple[str, set[str]]:
    """What a command printed, and the modules it had imported at its end."""
    command = [sys.executable, "-c", PROGRAM, str(ROOT / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=True)
    said, _, last = done.stdout.rpartition("\nleft with ")
    code, _, modules = last.partition(" and ")
    assert code in ("0", "None"), done.stdout + done.stderr
    return said, set(modules.split())


COMMANDS = {
    "launch --help": ("jobs/launch.py", ["--help"], "--dry-run"),
    "launch --local --dry-run": ("jobs/launch.py", ["--local", "--dry-run"], "quickstart"),
    "launch --array --dry-run": (
        "jobs/launch.py",
        ["--array", "--sweep", "quickstart", "--dry-run", "--no-preflight"],
        "#SBATCH",
    ),
    "manage --help": ("jobs/manage.py", ["--help"], "status"),
    "manage status": ("jobs/manage.py", ["status", "sweep"], "8 of 8 runs finished"),
    "manage status --json": ("jobs/manage.py", ["status", "sweep", "--json"], '"runs"'),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds a finished sweep."""
    folder = tmp_path_factory.mktemp("startup")
    write_sweep(folder / "sweep", quickstart(), shape=(8, 8))
    return folder


@pytest.mark.parametrize(("script", "arguments", "expected"), COMMANDS.values(), ids=COMMANDS)
def test_commands_that_train_nothing_import_nothing_heavy(place, script, arguments, expected):
    said, modules = start(script, *arguments, cwd=place)
    assert expected in said
    assert "argparse" in modules  # the list is that of the command
    # submitit writes scripts, also that of a process which times steps, and is light
    assert modules & HEAVY <= ({"submitit"} if "--dry-run" in arguments else set())


@pytest.mark.parametrize("script", ["jobs/launch.py", "jobs/manage.py"])
def test_help_needs_the_standard_library_alone(place, script):
    _, modules = start(script, "--help", cwd=place)
    assert not modules & {"numpy", "h5py", "pydantic", "ruamel.yaml", "rich"}


SCRIPTS = [
    *(f"jobs/{name}.py" for name in ("launch", "manage")),
    *(f"postprocess/{n}.py" for n in ("merge", "figures", "videos", "zoom", "report", "study")),
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_python_without_the_packages_is_told_how_to_get_them(script: str) -> None:
    bare = [sys.executable, "-S", str(ROOT / script), "--help"]  # -S: no installed packages
    done = subprocess.run(bare, capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "source .venv/bin/activate" in done.stderr
