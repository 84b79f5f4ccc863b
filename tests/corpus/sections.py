"""All of the corpus: what there is of each sort, and through which doors it is handed in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .bench import Trial
from .checkpoints import checkpoints
from .content import content
from .datasets import datasets
from .files import files
from .galleries import galleries
from .images import images
from .item import SEED, Item
from .lines import lines
from .names import names
from .page import page
from .pictures import portrait
from .trials import checkpoints as of_checkpoints
from .trials import content as of_content
from .trials import datasets as of_datasets
from .trials import files as of_files
from .trials import galleries as of_galleries
from .trials import images as of_images
from .trials import lines as of_lines
from .trials import names as of_names
from .trials import page as of_page

AT_ONCE = 45
"""Items of one verdict that a page, which takes long to open, is handed at once."""


@dataclass(frozen=True, slots=True)
class Section:
    """Things of one sort.

    Attributes:
        items: A seed → them; most know no chance.
        doors: Through which they are handed in, each with what is done there.
        alone: Whether even a page is handed one at a time.
    """

    items: Callable[..., Iterator[Item]]
    doors: dict[str, Trial]
    alone: bool = False


SECTIONS = {
    "images": Section(lambda seed=SEED: images(portrait(), seed), of_images.DOORS),
    "names": Section(names, of_names.DOORS),
    "files": Section(files, of_files.DOORS),
    "content": Section(content, of_content.DOORS),
    "galleries": Section(galleries, of_galleries.DOORS),
    "checkpoints": Section(checkpoints, of_checkpoints.DOORS),
    "datasets": Section(datasets, of_datasets.DOORS),
    "command line": Section(lines, of_lines.DOORS),
    "page": Section(page, of_page.DOORS, alone=True),
}


def rounds(section: str, door: str, seed: int = SEED) -> Iterator[list[Item]]:
    """Yield a section's items as a door is handed them, those of one round of one verdict."""
    chosen = SECTIONS[section]
    size = 1 if chosen.alone or door != "page" else AT_ONCE
    for accept in (True, False):
        items = [item for item in chosen.items(seed) if item.accept == accept]
        for begin in range(0, len(items), size):
            yield items[begin : begin + size]
