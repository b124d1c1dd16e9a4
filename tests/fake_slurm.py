"""Stand-ins for Slurm's commands: enough of a cluster to test who talks to one.

``sbatch`` accepts every script and keeps a copy in $KEPT, up to $ACCEPT of them; then it refuses
with $REFUSAL. What it accepted lies in $QUEUE, one line a task in the format that
`jobs.slurm_queue` asks for, and waits there for ever. With $SLURM_DOWN nothing answers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

_DOWN = '[ -z "$SLURM_DOWN" ] || { echo "Unable to contact slurm controller" >&2; exit 1; }\n'
_COMMANDS = {
    "sbatch": """
if [ "$1" = --test-only ]; then
  cat > "$TESTED"
  [ -z "$VERDICT" ] || { echo "$VERDICT" >&2; exit 1; }
  exit 0
fi
number=$(( $(ls "$KEPT" | wc -l) + 1 ))
if [ "$number" -gt "${ACCEPT:-99}" ]; then echo "$REFUSAL" >&2; exit 1; fi
cp "$1" "$KEPT/$number.sh"
job=$(( 40 + number ))
comment=$(sed -n 's/^#SBATCH --comment=//p' "$1")
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
for index in $(seq 0 "${last:-0}"); do
  [ -n "$last" ] || index=N/A
  printf '%s\\x1f%s\\x1fPENDING\\x1fPriority\\x1f\\x1f%s\\n' $job $index "$comment" >> "$QUEUE"
done
[ -z "$KILLED" ] || kill -KILL $PPID
echo "Submitted batch job $job"
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

    def submitted(self) -> list[str]:
        """The scripts, in the order they were accepted."""
        kept = sorted(self.scripts.iterdir(), key=lambda path: int(path.stem))
        return [path.read_text() for path in kept]

    def waiting(self) -> list[tuple[str, str]]:
        """Job and array index of every task in the queue."""
        lines = self.queue.read_text().splitlines()
        return [(line.split("\x1f")[0], line.split("\x1f")[1]) for line in lines]

    def take_away(self, job: str) -> None:
        """The tasks of a job have left the queue."""
        lines = self.queue.read_text().splitlines(keepends=True)
        self.queue.write_text("".join(line for line in lines if not line.startswith(f"{job}\x1f")))


def install(directory: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Put the stand-ins first on the PATH."""
    programs = directory / "bin"
    fake = FakeSlurm(directory / "kept", directory / "queue", directory / "tested.sh")
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
    return fake
