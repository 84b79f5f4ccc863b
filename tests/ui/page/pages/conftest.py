"""The page with a recognition service that plays its part: no network is loaded."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest, local_script_runner

import ui
from backbones.pair_unit import PairUnit
from data.errors import AppError, ArgumentError, GalleryError
from data.progress import Progress
from recognition.explanation import Evidence, Explanation
from recognition.faces.pipeline import DetectedFace
from recognition.photographs import Seen
from recognition.results import (
    Calibration,
    Decision,
    Detection,
    Enrolled,
    Enrolment,
    Face,
    FailedImage,
    Identification,
    IdentifiedFace,
    Kept,
    LookAlikes,
    Match,
    Operation,
    Origin,
    PersonSummary,
    PhotographSummary,
    Quality,
    Skipped,
    StrangerRate,
    Use,
    Verification,
)
from recognition.thresholds import pair_limit
from ui.page import components, resources
from ui.page.navigation import PAGES

_APP = Path(str(ui.__file__)).parent.parent / "app.py"

FACE = Face(
    box=(10.0, 12.0, 40.0, 52.0),
    detection_score=0.99,
    landmarks=((18.0, 26.0), (32.0, 26.0), (25.0, 34.0), (19.0, 42.0), (31.0, 42.0)),
)


FACES = (  # the largest first, which is not the first that one reads
    FACE,
    replace(FACE, box=(44.0, 4.0, 60.0, 24.0)),
    replace(FACE, box=(2.0, 2.0, 9.0, 10.0)),
)

QUALITY = Quality(size=40.0, sharpness=0.3, turn=0.0, nod=0.0, brightness=0.5)


def _require(name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise GalleryError(f"nobody is called {name!r}: look who is enrolled")
    return name


@dataclass
class PlayedService:
    """Stands for `RecognitionService`: remembers what it is asked, answers as it is told."""

    names: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    enrolments: list[tuple[str, list[bytes], int | None]] = field(default_factory=list)
    identifications: int = 0
    looks: int = 0
    faces: int = 1
    contents: dict[str, bytes] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)
    refusal: AppError | None = None
    refusal_to_decide: AppError | None = None
    missing_weights: AppError | None = None
    similarity: float = 0.62
    explained: int = 0
    limit: float | None = 0.27
    own: Calibration | None = None
    pair: PairUnit | None = None
    threshold_provenance: str | None = None
    quality: Quality = QUALITY
    warnings: tuple[str, ...] = ()
    any_quality: bool = False
    done: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    alike: list[LookAlikes] = field(default_factory=list)
    excluded: list[tuple[str, int | None]] = field(default_factory=list)
    given: list[tuple[str, str, list[int], str]] = field(default_factory=list)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    asked_groups: tuple[str, ...] = ()
    decided_for: list[tuple[str, ...]] = field(default_factory=list)
    searches: list[list[int]] = field(default_factory=list)
    comparisons: int = 0
    notes: tuple[str, ...] = ()
    excluding: bool = False

    @property
    def people(self) -> "PlayedService":
        """Itself: it plays every part of the service."""
        return self

    edit = gallery = thresholds = models = people

    def load(self) -> None:
        if self.missing_weights:
            raise self.missing_weights

    def decision(
        self,
        use: Use,
        *,
        threshold: float | None = None,
        groups: Sequence[str] = (),
        person: PersonSummary | None = None,
    ) -> Decision:
        self.decided_for.append(tuple(groups))
        if self.refusal_to_decide:
            raise self.refusal_to_decide
        origin, limit, doubt = Origin.WEIGHTS, self.limit, None
        if threshold is not None:
            origin, limit = Origin.GIVEN, threshold
        elif self.own is not None:
            origin, limit, doubt = Origin.GALLERY, self.own.threshold, self.own.doubt
        if limit is None:
            raise ArgumentError("nothing tells how alike strangers are")
        return Decision(
            use=use,
            threshold=limit,
            origin=origin,
            wanted=None if origin is Origin.GIVEN else 0.01,
            strangers=StrangerRate(rate=0.0123, low=0.004, high=0.03, extrapolated=limit > 0.8),
            doubt=doubt,
        )

    def id_of(self, name: str) -> int:
        """A person's id, which stays when they are renamed."""
        return self.ids.setdefault(name, 101 + len(self.ids))

    def name_of(self, who: int) -> str:
        return next(name for name, number in self.ids.items() if number == who)

    def summaries(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        return tuple(
            PersonSummary(
                name=name,
                photographs=2,
                enrolled_at="2025-03-01T10:00:00+00:00",
                person_id=self.id_of(name),
                groups=self.groups.get(name, ()),
                deleted_at="2025-04-01T10:00:00+00:00" if deleted else None,
            )
            for name in (self.deleted if deleted else self.names)
        )

    def thumbnail(self, person: int, photograph: int | None = None) -> bytes | None:
        return _picture()

    def operations(self) -> tuple[Operation, ...]:
        return tuple(Operation(what, f"{n}", n) for n, what in reversed(list(enumerate(self.done))))

    def undo(self, operation: int) -> str:
        if operation != len(self.done) - 1:
            raise GalleryError("something else was done since")
        self.undone.append(self.done.pop())
        return self.undone[-1]

    def photographs(self, person: int) -> tuple[PhotographSummary, ...]:
        return tuple(
            PhotographSummary(
                number=number,
                photograph_sha256="ab" * 32,
                cosine_similarity=0.5,
                quality=self.quality,
            )
            for number in (4, 7, 9)
        )

    def merge(self, who: int, into_whom: int) -> None:
        name, into = self.name_of(who), self.name_of(into_whom)
        self.names.remove(name)
        self.done.append(f"'{name}' merged into '{into}'")

    def move(self, who: int, photographs: Sequence[int], to: int) -> None:
        self.given.append(("move", self.name_of(who), list(photographs), self.name_of(to)))

    def split(self, who: int, photographs: Sequence[int], new: str) -> None:
        name = _require(self.name_of(who), self.names)
        self.given.append(("split", name, list(photographs), new))

    def group(self, whom: Sequence[int], *, add: Sequence[str], remove: Sequence[str]) -> None:
        for name in map(self.name_of, whom):
            self.groups[name] = tuple(sorted({*self.groups.get(name, ()), *add} - {*remove}))
        self.done.append("grouped")

    def tell_apart(self, who: int, other_one: int) -> None:
        ids = who, other_one
        self.alike = [pair for pair in self.alike if (pair.person_id, pair.other_id) != ids]
        name, other = (_require(self.name_of(one), self.names) for one in ids)
        self.done.append(f"'{name}' and '{other}' said to be two people")

    def look_alikes(self) -> list[LookAlikes]:
        self.comparisons += 1
        return list(self.alike)

    def note_search(self, people: Sequence[int]) -> None:
        self.searches.append(list(people))

    def not_this_person(self, who: int, image: object, *, face: int | None = None) -> None:
        person = self.name_of(who)
        self.excluded.append((person, face))
        self.done.append(f"a face said not to be '{person}'")

    def look(
        self, images: Sequence[bytes], *, progress: Progress | None = None
    ) -> list[Seen[DetectedFace] | FailedImage]:
        self.looks += 1
        for image in images:
            self.contents[sha256(image).hexdigest()] = image
        return [
            Seen(
                name=f"image {n}",
                sha256=sha256(image).hexdigest(),
                faces=tuple(self._seen(FACES[place]) for place in range(self.faces)),
            )
            if image.startswith(b"\x89PNG") or image == b"x"
            else FailedImage(image=f"image {n}", error="cannot read this picture: no picture")
            for n, image in enumerate(images, 1)
        ]

    def _seen(self, face: Face) -> DetectedFace:
        noise = np.random.default_rng(1).integers(60, 200, (112, 112, 3), np.uint8)
        poor = np.full_like(noise, 128)  # as smooth as the most blurred one
        return DetectedFace(
            face=face,
            embedding=np.eye(1, 8, dtype=np.float32)[0],
            crop=poor if self.quality.sharpness < 0.07 else noise,
        )

    def enroll(
        self,
        person: str,
        images: Sequence[Seen[DetectedFace] | FailedImage],
        *,
        face: int | None = None,
        any_quality: bool = False,
        progress: Progress | None = None,
    ) -> Enrolment:
        self.any_quality = any_quality
        if self.refusal:
            raise self.refusal
        if not person.strip() or len(person) > 200:
            raise ArgumentError(f"a name of {len(person)} characters: choose another name")
        contents = [
            b"" if isinstance(one, FailedImage) else self.contents[one.sha256] for one in images
        ]
        self.enrolments.append((person, contents, face))
        kept = len(images) - len(self.skipped)
        if kept and person not in self.names:
            self.names.append(person)
        return Enrolment(
            enrolled=(Enrolled(person=person, photographs=kept),) if kept else (),
            skipped=tuple(
                Skipped(
                    image=f"image {position}",
                    reason=reason,
                    enrolled_before="enrolled already" in reason,
                )
                for position, reason in self.skipped.items()
            ),
            kept=tuple(
                Kept(
                    image=f"image {position}",
                    person=person,
                    quality=self.quality,
                    warnings=self.warnings,
                    named=(999,) if self.warnings else (),
                )
                for position in range(1, len(images) + 1)
                if position not in self.skipped
            ),
            notes=self.notes,
        )

    def rename(self, who: int, new: str) -> None:
        old = self.name_of(who)
        if new in self.names:
            raise GalleryError(f"somebody is called {new!r} already")
        self.names[self.names.index(old)] = new
        self.ids[new] = self.ids.pop(old)

    def delete(self, who: int) -> None:
        name = self.name_of(who)
        self.names.remove(name)
        self.deleted.append(name)
        self.done.append(f"'{name}' deleted")

    def restore(self, who: int) -> None:
        name = _require(self.name_of(who), self.deleted)
        self.deleted.remove(name)
        self.names.append(name)

    def erase(self, who: int) -> None:
        self.deleted.remove(_require(self.name_of(who), self.deleted))

    def identify(
        self,
        images: Sequence[Seen[DetectedFace] | FailedImage],
        *,
        top_k: int,
        threshold: float,
        groups: tuple[str, ...],
        progress: Progress | None = None,
    ) -> list[Identification | FailedImage]:
        self.identifications += 1
        self.asked_groups = groups
        return [
            one
            if isinstance(one, FailedImage)
            else self._identified(f"image {n}", one, top_k, threshold)
            for n, one in enumerate(images, 1)
        ]

    def _identified(
        self, name: str, photograph: Seen[DetectedFace], top_k: int, threshold: float
    ) -> Identification:
        matches = tuple(
            Match(n, self.similarity, None if self.own is None else 0.9876, self.id_of(n))
            for n in self.names
        )
        known = self.names[0] if self.similarity >= threshold else None
        faces = tuple(
            IdentifiedFace(
                face=seen.face,
                person=known if place == 0 else None,
                matches=matches[:top_k],
                quality=self.quality,
                person_id=self.id_of(known) if known and place == 0 else None,
            )
            for place, seen in enumerate(photograph.faces)
        )
        return Identification(image=name, faces=faces)

    def detect(self, images: Sequence[bytes]) -> list[Detection | FailedImage]:
        return [Detection(image="image 1", faces=(FACE, FACE)) for _ in images]

    def verify(self, a: bytes, b: bytes, *, decision: Decision) -> Verification:
        if self.refusal:
            raise self.refusal
        by_cosine = self.similarity >= decision.threshold
        limit = None if self.pair is None else pair_limit(self.pair, decision)
        value = None if self.pair is None else self.pair.offset
        return Verification(
            same_person=by_cosine if limit is None or value is None else value >= limit,
            cosine_similarity=self.similarity,
            threshold=decision.threshold,
            probability=None if self.own is None else 0.9876,
            pair_value=value,
            pair_limit=limit,
        )

    def explain(self, a: bytes, b: bytes, *, progress: Callable[[int, int], object]) -> Explanation:
        self.explained += 1
        progress(1, 1)
        evidence = Evidence(torch.full((3, 112, 112), 0.5), torch.zeros(112, 112))
        return Explanation(self.similarity, (evidence, evidence))

    def verify_person(
        self, image: bytes, name: str, *, person_id: int | None, decision: Decision
    ) -> Verification:
        found = replace(self.verify(image, image, decision=decision), person=name)
        return replace(found, same_person=False, excluded=True) if self.excluding else found


def _picture(colour: str = "teal", size: tuple[int, int] = (64, 64)) -> bytes:
    """A picture file."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def uploaded(monkeypatch: pytest.MonkeyPatch) -> MemoryUploadedFileManager:
    """Keeps what was uploaded from one run of a page to the next, as a server does."""
    manager = MemoryUploadedFileManager("/mock/upload")
    monkeypatch.setattr(local_script_runner, "MemoryUploadedFileManager", lambda _: manager)
    return manager


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Makes a picture file."""
    return _picture


@pytest.fixture
def said() -> Callable[[AppTest], str]:
    """Everything that a page says in words, and what its components are given to show."""

    def all_words(page: AppTest) -> str:
        kinds = ("title", "subheader", "markdown", "caption", "text", "error", "success")
        kinds += ("warning", "info", "code")
        elements = [element for kind in kinds for element in page.get(kind)]
        shown = [element.proto.json for element in page.get("bidi_component")]
        return "\n".join([*(str(element.value) for element in elements), *shown])

    return all_words


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, home: Path) -> PlayedService:
    """The service that the page talks to."""
    played = PlayedService()
    monkeypatch.setattr(resources, "recognition", lambda: played)
    return played


@pytest.fixture
def clicked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Clicks a face in the picture, or the button of its card, in the next run alone."""

    def click(component: str, number: int) -> None:
        asked = []
        real = getattr(components, component)

        def answer(*args: object, **settings: object) -> object:
            result = real(*args, **settings)
            asked.append(result)
            return {"face": number} if len(asked) == 1 else result

        monkeypatch.setattr(components, component, answer)

    return click


@pytest.fixture
def open_page(service: PlayedService) -> Callable[..., AppTest]:
    """Opens one page of the whole application, perhaps by an address that says more."""

    def open_one(name: str, query: Mapping[str, object] | None = None) -> AppTest:
        page = AppTest.from_file(_APP, default_timeout=280)
        page.query_params.update(query or {})
        if name != PAGES[0].name:  # which the address without a name opens
            page.switch_page(f"ui/page/pages/{name}.py")
        page.run()
        assert not page.exception
        return page

    return open_one


@pytest.fixture
def calibration() -> Calibration:
    """A gallery's own threshold, such as `likeness calibrate` leaves it."""
    return Calibration(
        use=Use.IDENTIFY,
        rate=0.01,
        threshold=0.3,
        threshold_low=0.29,
        threshold_high=0.31,
        rate_low=0.006,
        rate_high=0.016,
        comparisons=1000,
        rise=0.0,
        fall=20.0,
        offset=-18.0,
        prior=0.5,
        calibration_error=0.01,
        weights_digest="ab" * 32,
        data="others",
        calibrated_at="2026-03-01T10:00:00+00:00",
        people=2,
        templates=2,
    )
