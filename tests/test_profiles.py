"""Cluster profiles: the shipped ones load, and every mistake is named."""

from pathlib import Path

import pytest

from inr.errors import UsageError
from jobs.profiles import RESERVED, available, load_profile

VALID = {"time": "60", "gpus": "1", "cpus": "2"}


def write(path: Path, **fields: str) -> str:
    lines = [f"{name}: {value}" for name, value in {**VALID, **fields}.items() if value != "-"]
    path.write_text("\n".join(lines))
    return str(path)


@pytest.mark.parametrize("name", available())
def test_shipped_profile_loads(name: str) -> None:
    profile = load_profile(name)
    assert profile.time > 0
    assert profile.gpus == 1


def test_shipped_names() -> None:
    assert available() == ["default", "example", "testbed"]


def test_default_profile_leaves_the_cluster_its_own_choices() -> None:
    profile = load_profile("default")
    assert (profile.partition, profile.account, profile.qos) == (None, None, None)


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        pytest.param("90", 90, id="minutes"),
        pytest.param('"01:30:00"', 90, id="hours"),
        pytest.param("00:30:00", 30, id="unquoted-but-text"),
        pytest.param('"2-01:00:00"', 2 * 24 * 60 + 60, id="days"),
        pytest.param('"00:00:01"', 1, id="rounded-up"),
        pytest.param('"100:00:00"', 6000, id="many-hours"),
    ],
)
def test_time_in_minutes(tmp_path: Path, written: str, minutes: int) -> None:
    assert load_profile(write(tmp_path / "p.yaml", time=written)).time == minutes


def test_values_arrive(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.yml",
        gpus="a100:2",
        memory="8GB",
        setup="[module load cuda]",
        extra="{mail-type: FAIL, exclusive: true, nice: 100}",
    )
    profile = load_profile(path)
    assert (profile.gpus, profile.memory) == ("a100:2", "8GB")
    assert profile.setup == ("module load cuda",)
    assert profile.extra == {"mail-type": "FAIL", "exclusive": True, "nice": 100}


def test_profile_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_profile("testbed").cpus = 3  # type: ignore[misc]


MISTAKES = [
    pytest.param({"partitoin": "gpu"}, ["partitoin", "Did you mean partition?"], id="unknown"),
    pytest.param({"gpus": "-1"}, ["gpus: -1", "a whole number from 0"], id="gpus-negative"),
    pytest.param({"gpus": "true"}, ["gpus: True", "a whole number from 0"], id="gpus-bool"),
    pytest.param({"cpus": "0"}, ["cpus: 0", "a whole number from 1"], id="cpus-zero"),
    pytest.param({"cpus": "1.5"}, ["cpus: 1.5", "a whole number from 1"], id="cpus-fraction"),
    pytest.param({"cpus": "-"}, ["cpus is missing"], id="cpus-missing"),
    pytest.param({"time": "soon"}, ["time: 'soon'", "HH:MM:SS"], id="time-word"),
    pytest.param({"time": "0"}, ["time: 0", "at least one minute"], id="time-zero"),
    pytest.param({"time": '"10:00"'}, ["time: '10:00'", "HH:MM:SS"], id="time-two-parts"),
    pytest.param({"time": "10:00:00"}, ['Quote it: time: "10:00:00"'], id="time-base-60"),
    pytest.param({"memory": "8"}, ["memory: 8 is", "such as 8GB"], id="memory-without-unit"),
    pytest.param({"memory": "8.5GB"}, ["memory: '8.5GB'", "such as 8GB"], id="memory-fraction"),
    pytest.param({"account": "1234"}, ["account: 1234", "quote a number"], id="account-number"),
    pytest.param({"qos": '"a b"'}, ["qos: 'a b'"], id="two-words"),
    pytest.param({"partition": '"x\\n#SBATCH --y"'}, ["partition: 'x\\n"], id="second-line"),
    pytest.param({"setup": "module load"}, ["setup: 'module load'", "a list"], id="setup-text"),
    pytest.param({"setup": '[" "]'}, ["setup: [' ']"], id="setup-blank"),
    pytest.param({"extra": "{array: 0-5}"}, ["array is not free"], id="extra-ours"),
    pytest.param({"extra": "{comment: x}"}, ["comment is not free"], id="extra-token"),
    pytest.param({"extra": "{mem: 1G}"}, ["use the field memory"], id="extra-field"),
    pytest.param({"extra": "{--nice: 1}"}, ["'--nice'", "without dashes"], id="extra-dashes"),
    pytest.param({"extra": '{reservation: "a\\nb"}'}, ["single line"], id="extra-second-line"),
    pytest.param({"extra": "{nice: [1]}"}, ["extra: {'nice': [1]}", "mapping"], id="extra-list"),
    pytest.param({"parallelism": "0"}, ["parallelism: 0", "from 1"], id="parallelism"),
]


@pytest.mark.parametrize(("fields", "said"), MISTAKES)
def test_mistake_is_named(tmp_path: Path, fields: dict[str, str], said: list[str]) -> None:
    path = write(tmp_path / "wrong.yaml", **fields)
    with pytest.raises(UsageError) as caught:
        load_profile(path)
    message = str(caught.value)
    assert message.startswith(path)
    assert "\n" not in message
    for words in said:
        assert words in message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("tesbed", ["'tesbed'", "default, example, testbed", "Did you"], id="unknown"),
        pytest.param("nowhere/p.yaml", ["nowhere/p.yaml", "No such file"], id="missing-file"),
    ],
)
def test_missing_profile(name: str, said: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        load_profile(name)
    for words in said:
        assert words in str(caught.value)


def test_every_reserved_option_names_a_real_field(tmp_path: Path) -> None:
    fields = {field for field in RESERVED.values() if field}
    assert fields <= set(type(load_profile("default")).model_fields)
