"""Stand-ins for Slurm's commands: enough of a cluster to test who talks to one.

``sbatch`` accepts every script and keeps a copy in $KEPT, up to $ACCEPT of them; then it refuses
with $REFUSAL. It answers with $ANSWER, a command (default: the bare number), and leaves its
environment in a file. What it accepted lies in $QUEUE, one line a task in the format that
`slurm.job_queue` asks for, and waits there for ever. With $CLUSTER_DOWN nothing answers.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

_DOWN = '[ -z "$CLUSTER_DOWN" ] || { echo "Unable to contact slurm controller" >&2; exit 1; }\n'
_COMMANDS = {
    "sbatch": """
if [ "$1" = --test-only ]; then
  cat > "$TESTED"
  [ -z "$VERDICT" ] || { echo "$VERDICT" >&2; exit 1; }
  exit 0
fi
for script; do :; done
number=$(( $(ls "$KEPT" | wc -l) + 1 ))
if [ "$number" -gt "${ACCEPT:-99}" ]; then echo "$REFUSAL" >&2; exit 1; fi
cp "$script" "$KEPT/$number.sh"
env > "$ENVIRONMENT_FILE"
job=$(( 40 + number ))
comment=$(sed -n 's/^#SBATCH --comment=//p' "$script")
name=$(sed -n "s/^#SBATCH --job-name=//p" "$script" | tr -d "'")
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$script")
for index in $(seq 0 "${last:-0}"); do
  printf '\\x1e%s\\x1fPENDING\\x1fPriority\\x1f\\x1f%s\\x1f%s\\x1f%s\\n' \\
    "$job${last:+_$index}" "$name" "$script" "$comment" >> "$QUEUE"
done
[ -z "$KILLED" ] || kill -KILL $PPID
eval "${ANSWER:-echo \\$job}"
""",
    "srun": "",
    "scontrol": 'echo "MaxArraySize            = ${LIMIT:-5}"\n',
    "squeue": 'cat "$QUEUE"\n',
    "sacct": "",
}


@dataclass(frozen=True)
class FakeSlurm:
    """Where the stand-ins keep what they were told."""

    scripts: Path
    queue: Path
    tested: Path
    environment: Path

    def submitted(self) -> list[str]:
        """The scripts, in the order they were accepted."""
        kept = sorted(self.scripts.iterdir(), key=lambda path: int(path.stem))
        return [path.read_text() for path in kept]

    def waiting(self) -> list[tuple[str, str]]:
        """Job and array index of every task in the queue, "" for a plain job."""
        tasks = self.queue.read_text().split("\x1e")[1:]
        jobs = [task.split("\x1f")[0].partition("_") for task in tasks]
        return [(job, index) for job, _, index in jobs]

    def take_away(self, job: str) -> None:
        """The tasks of a job have left the queue."""
        tasks = self.queue.read_text().split("\x1e")[1:]
        left = [task for task in tasks if re.split("[_\x1f]", task)[0] != job]
        self.queue.write_text("".join(f"\x1e{task}" for task in left))


def install(directory: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Put the stand-ins first on the PATH."""
    programs = directory / "bin"
    fake = FakeSlurm(
        directory / "kept", directory / "queue", directory / "tested.sh", directory / "environment"
    )
    programs.mkdir()
    fake.scripts.mkdir()
    fake.queue.touch()
    for name, text in _COMMANDS.items():
        (programs / name).write_text(f"#!/bin/bash\n{_DOWN}{text}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KEPT", str(fake.scripts))
    monkeypatch.setenv("QUEUE", str(fake.queue))
    monkeypatch.setenv("TESTED", str(fake.tested))
    monkeypatch.setenv("ENVIRONMENT_FILE", str(fake.environment))
    return fake
