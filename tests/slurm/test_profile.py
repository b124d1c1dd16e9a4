"""Cluster profiles: the shipped ones load, and every mistake is named."""

from pathlib import Path

import pytest

from inr.errors import UsageError
from slurm.profile import DIRECTORY, RESERVED, Profile, load_profile

NAMES = sorted(path.stem for path in DIRECTORY.glob("*.yaml"))
VALID = {"time": "60", "gpus": "1", "cpus": "2"}


def write(path: Path, **fields: str) -> str:
    lines = [f"{name}: {value}" for name, value in {**VALID, **fields}.items() if value != "-"]
    path.write_text("\n".join(lines))
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profile_loads(name: str) -> None:
    profile = load_profile(name)
    assert profile.time > 0
    assert profile.gpus == (0 if name == "testbed" else 1)  # which has none that compute


def test_shipped_names() -> None:
    assert NAMES == ["default", "example", "testbed"]


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
        pytest.param('"00:05:01"', 6, id="rounded-up"),
        pytest.param("10:00:00", 600, id="no-base-60"),
        pytest.param("5", 5, id="shortest"),
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
    assert profile.extra == {"mail-type": "FAIL", "exclusive": True, "nice": "100"}


def test_profile_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_profile("testbed").cpus = 3  # type: ignore[misc]


def test_all_mistakes_are_told_by_line(tmp_path: Path) -> None:
    path = write(tmp_path / "p.yaml", gpus="-1", memory="lots", cpus="-", time="soon")
    with pytest.raises(UsageError) as error:
        load_profile(path)
    first, *lines = str(error.value).splitlines()
    assert first == "4 mistakes:"
    starts = [":1: time: 'soon'", ":2: gpus: -1 is not", ":3: memory: 'lots'", ": cpus is missing"]
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(f"{path}{start}")


MISTAKES = [
    pytest.param({"partitoin": "gpu"}, ["partitoin", "Did you mean partition?"], id="unknown"),
    pytest.param({"gpus": "-1"}, ["gpus: -1", "a whole number from 0"], id="gpus-negative"),
    pytest.param({"gpus": "true"}, ["gpus: True", "a whole number from 0"], id="gpus-bool"),
    pytest.param({"cpus": "0"}, ["cpus: 0", "a whole number from 1"], id="cpus-zero"),
    pytest.param({"cpus": "1.5"}, ["cpus: 1.5", "a whole number from 1"], id="cpus-fraction"),
    pytest.param({"cpus": "-"}, ["cpus is missing"], id="cpus-missing"),
    pytest.param({"time": "soon"}, ["time: 'soon'", "HH:MM:SS"], id="time-word"),
    pytest.param({"time": "0"}, ["time: 0", "at least 5 minutes"], id="time-zero"),
    pytest.param({"time": '"10:00"'}, ["time: '10:00'", "HH:MM:SS"], id="time-two-parts"),
    pytest.param({"time": "4"}, ["time: 4", "at least 5 minutes", "2.5"], id="time-short"),
    pytest.param(
        {"time": "00:04:00"}, ["time: '00:04:00'", "at least 5 minutes"], id="time-short-text"
    ),
    pytest.param({"post_time": "1"}, ["post_time: 1", "at least 5 minutes"], id="post-short"),
    pytest.param({"memory": "8"}, ["memory: 8 is", "such as 8GB"], id="memory-without-unit"),
    pytest.param({"memory": "8.5GB"}, ["memory: '8.5GB'", "such as 8GB"], id="memory-fraction"),
    pytest.param({"account": "true"}, ["account: True", "a name"], id="account-truth"),
    pytest.param({"qos": '"a b"'}, ["qos: 'a b'"], id="two-words"),
    pytest.param({"partition": '"x\\n#SBATCH --y"'}, ["partition: 'x\\n"], id="second-line"),
    pytest.param({"setup": "module load"}, ["setup: 'module load'", "a list"], id="setup-text"),
    pytest.param({"setup": '[" "]'}, ["setup[0]: ' '", "shell commands"], id="setup-blank"),
    pytest.param({"extra": "{array: 0-5}"}, ["array is not free"], id="extra-ours"),
    pytest.param({"extra": "{comment: x}"}, ["comment is not free"], id="extra-token"),
    pytest.param({"extra": "{mem: 1G}"}, ["use the field memory"], id="extra-field"),
    pytest.param({"extra": "{--nice: 1}"}, ["'--nice'", "without dashes"], id="extra-dashes"),
    pytest.param({"extra": '{reservation: "a\\nb"}'}, ["single line"], id="extra-second-line"),
    pytest.param({"extra": "{nice: [1]}"}, ["extra.nice: [1]", "mapping"], id="extra-list"),
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


TYPES = [
    "a100",
    "a100-sxm4-80gb",
    "nvidia_h100_nvl_1g.12gb",
    "1g.10gb",
    "1g.10gb+me",
    "NVIDIA_A100-PCIE-40GB_2g.10gb",
]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("number", [1, 12])
def test_types_of_gpus(tmp_path: Path, kind: str, number: int) -> None:
    assert load_profile(write(tmp_path / "p.yaml", gpus=f"{kind}:{number}")).gpus == (
        f"{kind}:{number}"
    )


@pytest.mark.parametrize(
    "gpus", ["a100", "a100:0", "a100:", ":1", "a100:1,h100:1", "a 100:1", "gpu:a100:1", "-1:1"]
)
def test_what_is_no_type_of_gpu(tmp_path: Path, gpus: str) -> None:
    """sbatch needs the number; several types in one task are none that a run could use."""
    with pytest.raises(UsageError, match=r"type:number such as a100:1") as caught:
        load_profile(write(tmp_path / "p.yaml", gpus=f'"{gpus}"'))
    assert repr(gpus) in str(caught.value)


@pytest.mark.parametrize("written", ["0123", "1234", "1e5", "1_000", "on", "1:30", "2024-01-02"])
def test_names_are_read_as_written(tmp_path: Path, written: str) -> None:
    fields = dict.fromkeys(("partition", "account", "qos", "constraint"), written)
    profile = load_profile(write(tmp_path / "p.yaml", **fields, extra=f"{{nice: {written}}}"))
    assert {getattr(profile, field) for field in fields} == {written}
    assert profile.extra == {"nice": written}


@pytest.mark.parametrize("option", RESERVED)
def test_reserved_options_say_what_to_use(tmp_path: Path, option: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_profile(write(tmp_path / "p.yaml", extra=f"{{{option}: 1}}"))
    assert f":4: extra.{option}: {option} is not free: " in str(caught.value)
    field = str(caught.value).partition("use the field ")[2].split(" ")[0]
    assert not field or field in Profile.model_fields


@pytest.mark.parametrize("option", ["part", "tim", "gpus-per", "parsa", "exclu", "p", "J"])
def test_short_forms_of_options_are_refused(tmp_path: Path, option: str) -> None:
    """sbatch takes any unique beginning of a long option for it."""
    with pytest.raises(UsageError, match=r"Write options in full|write the long option"):
        load_profile(write(tmp_path / "p.yaml", extra=f"{{{option}: 1}}"))


def test_options_that_stay_free(tmp_path: Path) -> None:
    words = (
        "mail-type mail-user reservation licenses nice begin deadline exclusive gres tmp switches "
        "gpu-bind gres-flags hint hold mem-bind oversubscribe prefer profile wckey propagate"
    )
    free = set(words.split())
    extra = ", ".join(f"{option}: true" for option in free)
    assert set(load_profile(write(tmp_path / "p.yaml", extra=f"{{{extra}}}")).extra) == free


def test_merge_key(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("extra: {<<: {nice: 1, tmp: 2}, nice: 3}\n<<: {time: 9, gpus: 0}\ncpus: 2")
    profile = load_profile(str(path))
    assert (profile.time, profile.cpus) == (9, 2)
    assert profile.extra == {"nice": "3", "tmp": "2"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param("~/p.yaml", "/home-of-test/p.yaml: No such file", id="home"),
        pytest.param("~nosuch/p.yaml", "~nosuch/p.yaml: No such file", id="nobodys-home"),
        pytest.param("./", "no cluster profile './'", id="here"),
        pytest.param("/tmp/.", "/tmp/.: Is a directory", id="directory"),
        pytest.param("", "no cluster profile ''", id="nothing"),
    ],
)
def test_paths_that_are_no_profile(given: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home-of-test")
    with pytest.raises(UsageError) as caught:
        load_profile(given)
    assert str(caught.value).startswith(said.replace("/.", ""))
