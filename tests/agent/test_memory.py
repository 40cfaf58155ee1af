from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent import memory
from landbridge.agent.memory import Memory
from landbridge.agent.split import Obeyed, Reason

backends = st.dictionaries(st.sampled_from(["web-leaf", "web-eks", "ü"]), st.integers(0, 100))
weights = st.dictionaries(st.integers(0, 65535), backends, max_size=2)
some = st.sampled_from(["web", "cart", "é", ""])
obeyed = st.builds(lambda w, r: Obeyed(weights=w, reason=r), weights, st.sampled_from(Reason))


@given(st.dictionaries(some, obeyed, max_size=3), st.dictionaries(some, some, max_size=3))
def test_what_is_remembered_comes_back(
    tmp_path_factory: pytest.TempPathFactory, weights: dict[str, Obeyed], expired: dict[str, str]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    memory.save(folder, Memory(obeyed=weights, expired=expired))
    assert memory.load(folder) == Memory(obeyed=weights, expired=expired)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"obeyed": 1, "expired": {}}', '{"obeyed": {"web": {"weights": {"x": {}}}}, "expired": {}}'],
)
def test_a_broken_memory_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / memory.NAME).write_text(text)
    assert memory.load(tmp_path) == Memory()


def test_no_memory_is_an_empty_one(tmp_path: Path) -> None:
    assert memory.load(tmp_path) == Memory()
