from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recognition.enrolment import Watch, noticed
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.results import Quality

WATCH = Watch(threshold=0.4, others=True)
POOR = Quality(size=40.0, sharpness=0.01, turn=0.0, nod=0.0, brightness=0.5)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    model = EmbeddingModel(model_id="m", weights_digest="ab" * 32, dimension=4)
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as opened:
        yield opened


def template(number: int, *vector: float) -> Template:
    unit = np.array(vector) / np.linalg.norm(vector)
    return Template(embedding=unit.astype(np.float32), photograph_sha256=f"{number:064x}")


def told(gallery: Gallery, name: str, *templates: Template, watch: Watch = WATCH) -> list[str]:
    """Enrol, and say what was noticed, the lines of each photograph joined."""
    assert gallery.enrol(name, templates) == {}
    return [" | ".join(one.lines) for one in noticed(gallery, name, templates, watch)]


def test_photographs_of_one_person_are_nothing_odd(gallery: Gallery) -> None:
    assert told(gallery, "Ann", template(1, 1, 0, 0, 0), template(2, 1, 0.5, 0, 0)) == ["", ""]
    assert told(gallery, "Ann", template(3, 1, 0.2, 0.4, 0)) == [""]
    assert told(gallery, "Bob", template(4, 0, 0, 0, 1)) == [""]


def test_a_photograph_unlike_the_others_is_noticed(gallery: Gallery) -> None:
    told(gallery, "Ann", template(1, 1, 0, 0, 0), template(2, 1, 0.5, 0, 0))
    [line] = told(gallery, "Ann", template(3, 0, 0, 1, 0))
    assert "unlike the other photographs of 'Ann' (similarity 0.00" in line
    assert told(
        gallery, "Ann", template(4, 0, 0, 0, 1), watch=Watch(threshold=None, others=True)
    ) == [""]


def test_almost_the_same_picture_is_noticed_where_it_comes_second(gallery: Gallery) -> None:
    first, second, third = told(
        gallery,
        "Ann",
        template(1, 1, 0, 0, 0),
        template(2, 1, 0.05, 0, 0),
        template(3, 1, 0.5, 0, 0),
    )
    assert (first, third) == ("", "")
    assert "almost the same picture" in second
    assert "almost the same picture" in told(gallery, "Ann", template(4, 1, 0.01, 0, 0))[0]


def test_somebody_enrolled_under_another_name_is_noticed(gallery: Gallery) -> None:
    told(gallery, "Ann", template(1, 1, 0, 0, 0))
    [line] = told(gallery, "A.", template(2, 1, 0.3, 0, 0))
    assert line.startswith("like 'Ann' (similarity 0.96)")
    [line] = told(gallery, "A.", template(3, 0.7, -0.7, 0, 0))
    assert "more like 'Ann'" in line
    quiet = Watch(threshold=0.4, others=False)
    assert told(gallery, "B.", template(4, 1, 0.3, 0.1, 0), watch=quiet) == [""]


def test_a_poor_face_is_noticed(gallery: Gallery) -> None:
    [line] = told(gallery, "Ann", replace(template(1, 1, 0, 0, 0), quality=POOR))
    assert line.startswith("the face is blurred")
