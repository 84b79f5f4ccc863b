from pathlib import Path

from backbones.reference import reference
from backbones.registry import spec_of
from backbones.shelf import families

PAGE = Path(__file__).parents[2] / "docs" / "backbones.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "a network has changed: python -m backbones.reference > docs/backbones.md"
    )


def test_every_network_of_the_shelf_has_its_row_and_its_paper() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for family, specs in families().items():
        assert f"\n## {family}\n" in page
        for spec in specs:
            assert f"\n| `{spec.name}` |" in page
            assert f"{spec.parameters:,}" in page
            assert spec_of(spec.name).paper
            assert spec.paper in page
