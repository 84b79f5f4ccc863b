from pathlib import Path

import pytest

from recognition.gallery.search.kinds import (
    Kind,
    described,
    is_of_plan,
    parts_of,
    plan_of,
    read_kind,
    write_kind,
)


@pytest.mark.parametrize(
    ("wanted", "templates", "dimension", "kind"),
    [
        (Kind.AUTO, 0, 512, Kind.FLAT),
        (Kind.AUTO, 100_000, 512, Kind.FLAT),
        (Kind.AUTO, 100_001, 512, Kind.PQ),
        (Kind.AUTO, 1_000_000, 127, Kind.INT8),
        (Kind.FLAT, 10_000_000, 512, Kind.FLAT),
        (Kind.INT8, 5_000, 512, Kind.INT8),
        (Kind.PQ, 5_000, 512, Kind.PQ),
        (Kind.PQ, 999, 512, Kind.FLAT),
        (Kind.INT8, 0, 512, Kind.FLAT),
    ],
)
def test_the_number_of_photographs_and_the_choice_decide(
    wanted: Kind, templates: int, dimension: int, kind: Kind
) -> None:
    plan = plan_of(wanted, templates, dimension)
    assert plan.kind is kind
    assert (plan.lists == 0) == (kind is Kind.FLAT)
    assert plan.why


def test_an_index_is_made_anew_when_the_gallery_is_four_times_as_large() -> None:
    made = plan_of(Kind.AUTO, 200_000, 512)
    assert plan_of(Kind.AUTO, 700_000, 512).is_met(made.kind, made.lists)
    assert not plan_of(Kind.AUTO, 900_000, 512).is_met(made.kind, made.lists)
    assert not plan_of(Kind.AUTO, 50_000, 512).is_met(made.kind, made.lists)
    assert not plan_of(Kind.INT8, 200_000, 512).is_met(made.kind, made.lists)
    assert plan_of(Kind.AUTO, 5, 512).is_met(Kind.FLAT, 0)


def test_who_comes_and_goes_at_the_limit_makes_no_work() -> None:
    above, below = plan_of(Kind.AUTO, 100_001, 512), plan_of(Kind.AUTO, 99_999, 512)
    assert below.kind is Kind.FLAT
    assert below.is_met(above.kind, above.lists)
    assert below.is_met(Kind.FLAT, 0)
    assert not above.is_met(Kind.FLAT, 0)
    assert not plan_of(Kind.AUTO, 49_999, 512).is_met(above.kind, above.lists)
    assert not plan_of(Kind.FLAT, 99_999, 512).is_met(above.kind, above.lists)
    about = {"kind": "pq", "lists": 316, "planned": 316, "searched": 79, "found": 0, "tried": 0}
    assert described(below, about).startswith("pq, made for more than 100,000 photographs: 79 of")


@pytest.mark.parametrize("dimension", [16, 64, 128, 256, 510, 512, 1024, 2])
def test_parts_are_of_equal_size(dimension: int) -> None:
    parts = parts_of(dimension)
    assert parts is not None
    assert dimension % parts == 0
    assert parts_of(dimension + 1) is None


def test_it_is_told_which_and_why() -> None:
    small, large = plan_of(Kind.AUTO, 10, 512), plan_of(Kind.AUTO, 250_000, 512)
    assert described(small, None) == "flat, at most 100,000 photographs: all are compared"
    early = described(plan_of(Kind.PQ, 10, 512), None)
    assert early == "flat, pq is chosen, and takes 1,000 photographs: all are compared"
    assert "not made yet" in described(large, None)
    about = {
        "kind": "pq",
        "lists": 499,
        "planned": 500,
        "searched": 250,
        "found": 499,
        "tried": 500,
    }
    assert is_of_plan(large, about)
    assert described(large, about) == (
        "pq, more than 100,000 photographs: 250 of 499 lists are searched, and the nearest "
        "compared exactly; it finds 99.8% of what comparing all finds"
    )
    assert "finds" not in described(large, about | {"found": 0, "tried": 0})
    assert "not made yet" in described(large, about | {"kind": "int8"})


def test_the_choice_is_kept_with_the_gallery(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    assert read_kind(folder) is Kind.AUTO
    write_kind(folder, Kind.AUTO)
    assert not folder.exists()
    write_kind(folder, Kind.PQ)
    assert read_kind(folder) is Kind.PQ
    (folder / "index-kind").write_bytes(b"\xff nothing of ours")
    assert read_kind(folder) is Kind.AUTO
