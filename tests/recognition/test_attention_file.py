"""What was trained to weigh photographs: kept by digest, found, refused where damaged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import WeightsError
from data.tensors import write_tensors
from recognition.attention_file import (
    AttentionFacts,
    attention_place,
    find_attention,
    write_attention,
)
from recognition.template_attention import TemplateAttention

DIGEST = "ab" * 32
FACTS = AttentionFacts(
    network="net",
    weights_sha256=DIGEST,
    trained_on="a test",
    people="3",
    photographs="9",
    trained_at="2026-01-01T00:00:00+00:00",
)


def test_what_was_written_is_found_by_the_digest_alone(tmp_path: Path) -> None:
    query = np.random.default_rng(0).normal(size=6).astype(np.float32)
    place = attention_place("any-name", DIGEST, tmp_path)
    write_attention(TemplateAttention(query), FACTS, place)
    found = find_attention("net", DIGEST, 6, home=tmp_path)
    np.testing.assert_array_equal(found.query, query)


def test_other_weights_have_none_even_of_the_same_first_digits(tmp_path: Path) -> None:
    other = DIGEST[:16] + "cd" * 24
    write_attention(
        TemplateAttention(np.zeros(6, np.float32)), FACTS, attention_place("net", other, tmp_path)
    )
    with pytest.raises(WeightsError, match="train-matching") as refused:
        find_attention("net", other, 6, home=tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"query": torch.zeros(5)},
        {"query": torch.full((6,), float("nan"))},
        {"query": torch.zeros(6, 1)},
        {"other": torch.zeros(6)},
    ],
)
def test_a_file_without_a_query_of_that_length_is_refused(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    place = attention_place("net", DIGEST, tmp_path)
    place.parent.mkdir()
    write_tensors(place, tensors, {"weights_sha256": DIGEST})
    with pytest.raises(WeightsError, match="6 finite numbers"):
        find_attention("net", DIGEST, 6, home=tmp_path)
