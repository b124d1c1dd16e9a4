"""Whether steps are compiled, where compiled code is kept, and that it computes the same."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inr.config import ModelConfig
from inr.network.adjoint import EAGER, Passes
from inr.results import open_run, read_series
from inr.storage.paths import RunLayout
from inr.training.compilation import (
    CACHE_VARIABLE,
    CompileMode,
    prepare_passes,
    processor,
    saved_seconds,
    share_cache,
    should_compile,
)

DECISIONS = [
    pytest.param("on", 0.0, None, True, id="on, however little it saves"),
    pytest.param("off", 1e6, None, False, id="off, however much it saves"),
    pytest.param("auto", 10.0, None, False, id="too little"),
    pytest.param("auto", 100.0, None, True, id="enough"),
    pytest.param("auto", 10.0, True, True, id="too little, but it began so"),
    pytest.param("auto", 100.0, False, False, id="enough, but it began without"),
    pytest.param("off", 100.0, True, False, id="off, though it began so"),
]


@pytest.mark.parametrize(("mode", "saved", "earlier", "expected"), DECISIONS)
def test_decision(mode: CompileMode, saved: float, earlier: bool | None, expected: bool) -> None:
    assert should_compile(mode, saved, earlier) is expected


def test_modelled_saving_is_that_of_the_elementwise_work() -> None:
    model = ModelConfig(width=64, depth=3)
    full = saved_seconds(model, 1000, 2, "cpu")
    assert saved_seconds(model, 1000, 1, "cpu") == pytest.approx(0.4 * full)
    assert saved_seconds(model, 1000, 0, "cpu") == pytest.approx(full / 4)
    assert saved_seconds(model, 4000, 2, "cpu", models=2) == pytest.approx(full * 8)
    wide = ModelConfig(width=128, depth=3)
    assert saved_seconds(wide, 1000, 2, "cpu") == pytest.approx(2 * full)


QUICKSTART = ModelConfig(width=128, depth=3)


@pytest.mark.parametrize(("runs", "expected"), [(1, False), (8, True)])
def test_runs_of_one_process_repay_compiling_together(runs: int, expected: bool) -> None:
    saved = runs * 2400 * saved_seconds(QUICKSTART, 1024, 2, "cpu")
    assert should_compile("auto", saved) is expected


def no_step(passes: Passes) -> None:
    raise AssertionError("nothing to try")


def test_a_compiled_run_that_is_cut_off_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First by signals to its whole group while it compiles, which do not end the compiler.

    Its step computes the same as one that is not compiled.
    """
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    compiler, mark = tmp_path / "signalled-g++", tmp_path / "signalled"
    compiler.write_text(
        f"#!/bin/sh\n[ -e {mark} ] || {{ : > {mark}; kill -INT 0; kill -USR2 0; kill -TERM 0; }}\n"
        'exec g++ "$@"\n'
    )
    compiler.chmod(0o755)
    cache = tmp_path / "sweep" / "compiled"

    def start(program: str, *arguments: object) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", f"tests.helpers.{program}", cache, *map(str, arguments)],
            env=os.environ | {"CXX": str(compiler)},
            capture_output=True,
            text=True,
            start_new_session=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def train(steps: int, *names: str) -> list[str]:
        """A note, if it was not compiled, and how each ended."""
        return start("compiled_run", steps, *(tmp_path / name for name in names))

    assert train(20, "pieces") == ["stopped"]
    assert mark.exists()
    assert train(7, "pieces") == ["stopped"]
    assert train(20, "pieces", "whole") == ["complete", "complete"]
    (difference,) = start("compiled_step")
    assert float(difference) < 1e-10
    assert any(cache.rglob("*.so"))
    assert cache.stat().st_mode & 0o777 == 0o700
    series = []
    for name in ("pieces", "whole"):
        with open_run(RunLayout(tmp_path / name).results) as file:
            series.append(read_series(file))
    for name, values in series[0].items():
        if name != "seconds":
            assert values.tobytes() == series[1][name].tobytes(), name


def test_without_a_compiler_the_plain_passes_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    passes, note = prepare_passes("cpu", no_step)
    assert passes is EAGER
    assert note is not None
    assert "'no-such-compiler' was not found" in note
    assert "\n" not in note


def test_a_failing_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(passes: Passes) -> None:
        raise RuntimeError("backend='inductor' raised:\nPython.h: no such file\nmore")

    passes, note = prepare_passes("cpu", fail)
    assert passes is EAGER
    assert note is not None
    assert "(Python.h: no such file)" in note


def test_a_cache_that_others_may_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    tmp_path.chmod(0o777)
    note = share_cache(tmp_path)
    assert note is not None
    assert "chmod 700" in note
    assert CACHE_VARIABLE not in os.environ


def test_a_cache_of_the_users_choice_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "/somewhere/else")
    assert share_cache(tmp_path / "unused") is None
    assert os.environ[CACHE_VARIABLE] == "/somewhere/else"
    assert not (tmp_path / "unused").exists()


CPUINFO = """processor\t: 0
model name\t: Intel(R) Xeon(R) Gold 6338
flags\t\t: fpu avx2 avx512_vbmi
cpu MHz\t\t: 2000.000
"""


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        (CPUINFO.replace("2000", "3200").replace("processor\t: 0", "processor\t: 7"), True),
        (CPUINFO.replace("6338", "6148"), False),
        (CPUINFO.replace(" avx512_vbmi", ""), False),
        ("processor\t: 0\nCPU part\t: 0xd40\nFeatures\t: sve\n", False),
    ],
)
def test_each_kind_of_processor_has_its_own_code(
    other: str, equal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = tmp_path / "cpuinfo"
    described.write_text(CPUINFO)
    first = processor(described)
    described.write_text(other)
    assert (processor(described) == first) is equal
    monkeypatch.setenv(CACHE_VARIABLE, "")
    assert share_cache(tmp_path / "compiled") is None
    assert Path(os.environ[CACHE_VARIABLE]) == tmp_path / "compiled" / processor()


def test_a_cache_that_cannot_be_made_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "")
    (tmp_path / "file").touch()
    note = share_cache(tmp_path / "file" / "compiled")
    assert note is not None
    assert "not used to keep compiled code: Not a directory" in note


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_task_kills_no_compiler(number: signal.Signals) -> None:
    received: list[int] = []
    before = signal.signal(number, lambda given, frame: received.append(given))
    try:

        def compile_for_long(passes: Passes) -> None:
            with subprocess.Popen(["sleep", "0.5"]) as compiler:  # as one of torch's
                compiler.send_signal(number)
                os.kill(os.getpid(), number)
                assert compiler.wait() == 0

        passes, note = prepare_passes("cpu", compile_for_long)
    finally:
        signal.signal(number, before)
    assert received == [number]
    assert (passes is not EAGER, note) == (True, None)
