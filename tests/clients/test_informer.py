"""What an informer remembers of the objects that it follows."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from landbridge.clients.informer import WORD, shared

SCALARS = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(VALUES)
def test_it_is_what_was_said(said: object) -> None:
    assert shared(said) == said


def test_words_that_objects_have_in_common_are_held_once() -> None:
    said = json.dumps({"spec": {"type": "ClusterIP", "note": "x" * (WORD + 1)}})
    one, other = shared(json.loads(said)), shared(json.loads(said))
    assert one["spec"]["type"] is other["spec"]["type"]
    assert next(iter(one)) is next(iter(other))
    assert one["spec"]["note"] is not other["spec"]["note"], "a long text is hardly anybody else's"
