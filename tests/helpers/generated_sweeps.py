"""Texts of sweep files as hypothesis draws them: most of them nearly right."""

import io

from hypothesis import strategies as st
from ruamel.yaml import YAML

from jobs.sweeps.fields import all_fields, all_groups

# written out: what the classes of Unicode hold depends on the version of Python
ALPHABET = "ab01:-,#'\"[]{}&*!|>%@?~=<. \t\n\r\0\x1b\x85\u2028\ufeffß\U0001f600\ud800"

texts = st.text(ALPHABET, max_size=6)

FIELDS = sorted(all_fields())
GROUPS = sorted(all_groups())
GOOD: dict[str, list[object]] = {
    "model.activation": ["sine", "elu", "gaussian"],
    "model.width": [1, 16, 256],
    "training.learning_rate": [1e-4, 3e-3, 1],
    "training.batch": ["frame", 128],
    "training.loss_weights": [[1, 0, 0, 0], {"value": 0.5}, [1, 0.1, 0.01, 0.1]],
    "data.sigma_end": [2.0, 5],
    "record.tensorboard": [True, False],
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([0, 1, 2**31, 10**30, -1]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        ["sine", "elu", "frame", "camera", "1e-3", "", "ß\u2028", "none", "a: b", "\x1b\r", "on"]
    ),
    texts,
    st.dates(),
)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(scalars, inner, max_size=3)
    ),
    max_leaves=6,
)
misspelt = st.sampled_from(FIELDS).flatmap(
    lambda field: st.sampled_from([field[:-1], field + "s", field.upper(), field.split(".")[-1]])
)
names = st.one_of(st.sampled_from(sorted(GOOD)), st.sampled_from(FIELDS + GROUPS), misspelt, texts)


@st.composite
def assignments(draw, plural: bool) -> dict[object, object]:
    """Fields with values, or with lists of values; mostly right ones."""
    block: dict[object, object] = {}
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(GOOD)) if draw(st.integers(0, 9)) else names)
        value = st.sampled_from(GOOD[name]) if name in GOOD and draw(st.integers(0, 9)) else junk
        block[name] = draw(st.lists(value, min_size=1, max_size=3) if plural else value)
    return block


randoms = st.fixed_dictionaries(
    {"count": st.integers(1, 4), "choices": assignments(True)},
    optional={
        "seed": st.one_of(st.integers(0, 9), junk),
        "constraint": st.one_of(
            st.fixed_dictionaries(
                {"sum": names, "above": st.one_of(st.just(0.1), junk)},
                optional={"below": st.one_of(st.just(9), junk)},
            ),
            junk,
        ),
        "include": st.one_of(st.lists(assignments(False), min_size=1, max_size=3), junk),
        "extra": junk,
    },
)
BLOCKS = {
    "name": st.one_of(st.just("fine"), texts, junk),
    "description": st.one_of(st.just("a question"), junk),
    "base": st.one_of(assignments(False), assignments(False), junk),
    "grid": st.one_of(assignments(True), assignments(True), junk),
    "list": st.one_of(st.lists(assignments(False), min_size=1, max_size=3), junk),
    "random": st.one_of(randoms, randoms, junk),
    "seeds": st.one_of(st.integers(1, 3), st.lists(st.integers(0, 9), min_size=1), junk),
    "set": st.one_of(assignments(False), junk),
}


@st.composite
def sweep_texts(draw) -> str:
    """The text of a sweep file: most of them nearly right, some cut off or overwritten."""
    chosen = draw(st.lists(st.sampled_from(sorted(BLOCKS)), unique=True, max_size=3))
    document: dict[object, object] = {key: draw(BLOCKS[key]) for key in chosen}
    if not draw(st.integers(0, 19)):
        document[draw(texts)] = draw(junk)
    text = dump(document)
    damage = draw(st.integers(0, 19))
    if damage == 0:
        return text[: draw(st.integers(0, len(text)))]
    if damage == 1:
        place = draw(st.integers(0, len(text)))
        return text[:place] + draw(texts) + text[place:]
    return text


def dump(document: object) -> str:
    """As YAML, dates, sets of odd keys and all."""
    yaml, stream = YAML(typ="safe", pure=True), io.StringIO()
    yaml.sort_base_mapping_type_on_output = False
    yaml.dump(document, stream)
    return stream.getvalue()
