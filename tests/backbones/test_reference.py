from pathlib import Path

import pytest

from backbones.reference import reference, section
from backbones.shelf import families

PAGE = Path(__file__).parents[2] / "docs" / "backbones.md"

# Their members take several seconds to count, and differ in depth alone.
DEEP = {"densenet", "resnet"}


@pytest.mark.parametrize("family", sorted(set(families()) - DEEP))
def test_the_page_says_what_is_counted_now(family: str) -> None:
    assert section(family, families()[family]) in PAGE.read_text(encoding="utf-8"), (
        "a network has changed: python -m backbones.reference > docs/backbones.md"
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(DEEP))
def test_the_page_says_what_is_counted_of_deep_families(family: str) -> None:
    assert section(family, families()[family]) in PAGE.read_text(encoding="utf-8")


def test_every_network_of_the_shelf_has_its_row_and_its_paper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backbones.reference.section", lambda family, specs: f"## {family}\n")
    page = PAGE.read_text(encoding="utf-8")
    introduction = reference().partition("\n## ")[0]
    assert page.startswith(introduction)
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == [*families()]
    for specs in families().values():
        for spec in specs:
            [row] = [line for line in page.splitlines() if line.startswith(f"| `{spec.name}` |")]
            assert f"| {spec.parameters:,} |" in row
            assert spec.paper in page
