"""How YAML is read, what of it is refused, and how it is written."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from inr.errors import UsageError
from jobs.sweeps.yaml_file import MAX_BYTES, parse, read_document, write


def value(text: str) -> object:
    return parse(f"key: {text}", "f.yaml").value["key"]


READ = {
    "1e-4": 1e-4,
    "1E5": 1e5,
    "-2.5e+3": -2500.0,
    "1.": 1.0,
    ".5": 0.5,
    "0256": 256,
    "-007": -7,
    "08": 8,
    "0o17": 15,
    "0x1F": 31,
    "1_000": 1000,
    "1__0": "1__0",
    "1:30": "1:30",
    "1:30.5": "1:30.5",
    "10:00:00": "10:00:00",
    "on": "on",
    "off": "off",
    "yes": "yes",
    "No": "No",
    "y": "y",
    "true": True,
    "False": False,
    "'true'": "true",
    "'1'": "1",
    "!!str 1": "1",
    "null": None,
    "~": None,
    "": None,
    "2024-01-01": "2024-01-01",
    "2024-13-45": "2024-13-45",
    "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00",
    "=": "=",
    "<<": "<<",
    "-.inf": -math.inf,
    '"\\e\\r"': "\x1b\r",
    "1.2.3": "1.2.3",
    "9" * 5000: math.inf,
}


@pytest.mark.parametrize("text", READ, ids=[text[:20] for text in READ])
def test_values_are_those_of_yaml_1_2(text: str) -> None:
    read = value(text)
    assert read == READ[text]
    assert isinstance(read, bool) == isinstance(READ[text], bool)
    assert isinstance(read, str) == isinstance(READ[text], str)


@pytest.mark.parametrize("text", ["0256", "1e-4", "1_000", "-007", "0x1F", ".5"])
def test_a_number_is_shown_as_it_was_written(text: str) -> None:
    assert repr(value(text)) == text
    assert repr(value(f"[{text}]")) == f"[{text}]"


REFUSED = {
    "key-twice": (b"base: {}\nbase: {}", "f.yaml:2: base: is named twice"),
    "key-twice-inside": (b"a:\n  b: 1\n  b: 2", "f.yaml:3: a.b: is named twice"),
    "merge-twice": (b"<<: {a: 1}\n<<: {b: 1}", "f.yaml:2: <<: is named twice"),
    "merge-of-a-number": (b"a:\n  <<: 3", "f.yaml:2: a.<<: '3' is not allowed"),
    "merge-of-numbers": (b"a:\n  <<: [{}, 3]", "f.yaml:2: a.<<: '3' is not allowed"),
    "merge-of-itself": (b"a: &a\n  <<: *a", "nested too deeply, or within itself"),
    "number-as-key": (b"a:\n  007: 1", "f.yaml:2: a.007: this key is not read as text. Quote it"),
    "truth-as-key": (b"true: 1", "f.yaml:1: true: this key"),
    "list-as-key": (b"? [1]\n: 1", "f.yaml:1: ?: this key"),
    "tag-of-python": (
        b"a: !!python/object/apply:os.system [touch here]",
        "f.yaml:1: a: the tag python/object/apply:os.system is not allowed",
    ),
    "unknown-tag": (b"a: !foo 1", "f.yaml:1: a: the tag !foo is not allowed"),
    "set": (b"a: !!set {b, c}", "f.yaml:1: a: the tag set is not allowed"),
    "binary": (b"a: !!binary aGk=", "f.yaml:1: a: the tag binary is not allowed"),
    "version-1.1": (b"%YAML 1.1\n---\na: on", "%YAML 1.1: only version 1.2 is read"),
    "version-1.3": (b"%YAML 1.3\n---\na: on", "%YAML 1.3: only version 1.2 is read"),
    "two-documents": (b"a: 1\n---\nb: 1", "found another document (line 2"),
    "deep": (b"a: " + b"[\n" * 5_000, "nested too deeply"),
    "deep-mappings": (b"a: " + b"{a: " * 5_000, "nested too deeply"),
    "within-itself": (b"a: &a [*a]", "within itself"),
    "no-such-anchor": (b"a: *b", "undefined alias 'b' (line 1, column 4)"),
    "latin-1": ("a: é".encode("latin-1"), "f.yaml: not a text file in UTF-8"),
    "utf-16": ("a: 1".encode("utf-16"), "f.yaml: not a text file in UTF-8"),
    "nul": (b"a: 1\nb: x\0y", r"'\x00': special characters are not allowed (line 2)"),
    "nul-escaped": (b'a: "x\\0y"', r"'x\x00y' holds a NUL character"),
    "half-a-character": (rb'a: "\ud800"', "surrogates not allowed"),
    "tab": (b"a:\n\tb: 1", r"found character '\t' that cannot start any token (line 2"),
    "escape": (b"a: \x1b[31m", r"'\x1b': special characters are not allowed (line 1)"),
    "large": (b"#" * (MAX_BYTES + 1), "f.yaml: larger than 8 MiB"),
    "scalar": (b"1:30", "f.yaml: must be a mapping of keys to values, got '1:30'"),
    "nothing": (b"", "f.yaml: must be a mapping of keys to values, got None"),
    "aliases": (
        b"a0: &a0 [1, 1]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1)
                                      for n in range(1, 40)),
        "more than 1,000,000 values",
    ),
    "aliases-merged": (
        b"a0: &a0 {k: 1}\n" + b"".join(b"a%d: &a%d {<<: [*a%d, *a%d]}\n" % (n, n, n - 1, n - 1)
                                      for n in range(1, 40)),
        "more than 1,000,000 values",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), REFUSED.values(), ids=REFUSED)
def test_refused_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_document(Path("f.yaml"))
    assert said in str(caught.value)
    assert str(caught.value).startswith("f.yaml:")
    assert str(caught.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["f.yaml"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfa: 1\nb:\n  c: on\n",
        b"a: 1\r\nb:\r\n  c: on\r\n",
        b"%YAML 1.2\n---\na: 1\nb: {c: on}",
    ],
    ids=["byte-order-mark", "windows-lines", "version"],
)  # fmt: skip
def test_other_ways_to_write_a_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    document = read_document(path)
    assert document.value == {"a": 1, "b": {"c": "on"}}


def test_a_merge_gives_way_and_keeps_the_lines() -> None:
    text = """
common: &one {a: 1, b: {c: 2}}
more: &two {a: 8, d: 4}
first:
  b: 5
  <<: [*one, *two]
second: {<<: *two}
"""
    document = parse(text, "f")
    assert list(document.value["first"].items()) == [("a", 1), ("d", 4), ("b", 5)]
    assert document.value["second"] == {"a": 8, "d": 4}
    assert str(document / "first" / "b") == "f:5: first.b"
    assert str(document / "first" / "d") == "f:3: first.d"


def read_as_1_1(text: str) -> object:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    return yaml.load(text)


words = st.sampled_from(
    ["on", "y", "NO", "1:30", "0256", "1e-4", "1e5", "1_0", "2024-01-01", "~", "", "=", "<<", "# x",
     "a: b", "- x", "é\u2028", "\x1b\r", "\x85", "\ufeff", " x ", "true", ".inf", "0o7", "0x1",
     "null"]
)  # fmt: skip
plain = st.one_of(
    st.booleans(), st.none(), st.integers(), words, st.floats(allow_nan=False),
    st.text("01:eE.-+_xoyn~'\"#{}[],&*!|>%@` \t\n\\é\x7f"),
)  # fmt: skip


@example({"on": [":0", "a?"]})
@given(st.dictionaries(words | st.sampled_from("ab"), st.recursive(plain, st.lists, max_leaves=5)))
def test_what_is_written_is_read_again_by_any_reader(data: dict[str, object]) -> None:
    text = write(data)
    again, old = parse(text, "f").value or {}, read_as_1_1(text) or {}
    assert again == old == data
    assert flat(again) == flat(data)
    assert [type(item) for item in flat(old)] == [type(item) for item in flat(data)]


@given(st.floats(allow_nan=False))
def test_floats_have_the_dot_and_the_sign_that_old_readers_want(number: float) -> None:
    written = write([number]).strip("[]\n")
    assert re.fullmatch(r"-?(\d+\.\d+(e[+-]\d+)?|\.inf)", written)
    assert value(written) == number


def flat(node: object) -> list[object]:
    """All that is no list or mapping, in order."""
    inner = node.values() if isinstance(node, dict) else node
    return (
        [leaf for each in inner for leaf in flat(each)]
        if isinstance(node, (dict, list))
        else [node]
    )
