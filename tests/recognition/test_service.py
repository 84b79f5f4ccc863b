import io
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from corpus.pictures import face_crop
from PIL import Image
from stand_in_tail import step_tail

from backbones.pair_unit import PairUnit
from data.errors import ArgumentError, DatasetError, GalleryError, ImageError, WeightsError
from recognition.detection.detector import make_detector
from recognition.faces.pipeline import DetectedFace
from recognition.gallery.gallery import Gallery
from recognition.identification import name_nobody
from recognition.models import Engine
from recognition.photographs import Seen
from recognition.results import Detection, Enrolled, Face, FailedImage, Identification, Skipped, Use
from recognition.service import RecognitionService

D = 32
LANDMARKS = ((38.0, 52.0), (74.0, 52.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0))


def picture(*faces: int, take: int = 0) -> Image.Image:
    """A picture of some people for `StandInPipeline`; each `take` is another photograph of them."""
    image = Image.new("RGB", (16, 16), (0, 0, take))
    for column, face in enumerate(faces):
        image.putpixel((column, 0), (face, 255, take))
    return image


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def crop_of(person: int) -> np.ndarray:
    """A picture of one person alone, (112, 112, 3), sharp and in good light."""
    return face_crop(person)


class StandInPipeline:
    """Reads who is in a picture from its first row; takes of one person differ a little."""

    model_id = "stand-in"
    weights_digest = "ab" * 32
    detector_id = "mtcnn/1"
    alignment_id = "five-point-112/1"
    dimension = D
    threshold: float | None = 0.5
    tail: str | None = step_tail(0.5).to_json()

    def __init__(self) -> None:
        self.batches: list[int] = []

    def faces(self, images: Sequence[Image.Image]) -> list[list[DetectedFace]]:
        self.batches.append(len(images))
        return [self._faces(image) for image in images]

    def _faces(self, image: Image.Image) -> list[DetectedFace]:
        pixels = np.asarray(image)[0]  # (W, 3)
        return [
            self._face(column, int(person), int(take))
            for column, (person, marked, take) in enumerate(pixels)
            if marked == 255
        ]

    def _face(self, column: int, person: int, take: int) -> DetectedFace:
        own = np.random.default_rng(person).normal(size=D)
        noise = np.random.default_rng([person, take]).normal(size=D)
        corner = (float(column), 0.0)
        return DetectedFace(
            face=Face((*corner, column + 1.0, 1.0), 0.9, LANDMARKS),
            embedding=unit(unit(own) + 0.3 * unit(noise)),
            crop=crop_of(person),
        )


@pytest.fixture
def pipeline() -> StandInPipeline:
    return StandInPipeline()


@pytest.fixture
def service(home: Path, pipeline: StandInPipeline) -> Iterator[RecognitionService]:
    with RecognitionService(pipeline=pipeline) as opened:
        yield opened


def named(service: RecognitionService, *images: Image.Image | Path) -> list[list[str | None]]:
    """Who is in some pictures."""
    found = service.identify(images)
    return [[face.person for face in one.faces] for one in found if isinstance(one, Identification)]


# Enrolling


def test_enrolled_people_are_known_on_other_photographs(service: RecognitionService) -> None:
    assert service.enroll("Ann", [picture(1)]).enrolled == (Enrolled("Ann", 1),)
    assert service.enroll("Bob", [picture(2), picture(2, take=1)]).enrolled == (Enrolled("Bob", 2),)
    assert named(service, picture(1, take=7), picture(2, take=8), picture(3)) == [
        ["Ann"],
        ["Bob"],
        [None],
    ]
    assert {p.name: p.photographs for p in service.people.summaries()} == {"Ann": 1, "Bob": 2}


def test_what_cannot_be_enrolled_is_skipped_with_its_reason(
    service: RecognitionService, tmp_path: Path
) -> None:
    path = tmp_path / "ann.png"
    path.write_bytes(as_png(picture(1)))
    sources = [path, b"no picture", picture(), picture(1, 2), path, tmp_path / "missing.png"]
    enrolment = service.enroll("Ann", sources)
    assert enrolment.enrolled == (Enrolled("Ann", 1),)
    assert [skipped.image for skipped in enrolment.skipped] == [
        "image 2",
        "image 3",
        "image 4",
        str(path),
        str(tmp_path / "missing.png"),
    ]
    reasons = [skipped.reason for skipped in enrolment.skipped]
    for reason, part in zip(
        reasons, ["cannot read", "no face", "2 faces", "already as 'Ann'", "no file"], strict=True
    ):
        assert part in reason
        assert "\n" not in reason


def test_of_several_people_the_one_that_is_meant_is_enrolled(service: RecognitionService) -> None:
    group = picture(1, 2, 3)
    assert service.enroll("Ann", [group]).enrolled == ()
    assert service.enroll("Bob", [group], face=2).enrolled == (Enrolled("Bob", 1),)
    assert service.enroll("Cyd", [group], face=3).enrolled == (Enrolled("Cyd", 1),)
    assert service.enroll("Dan", [group], face=4).enrolled == ()
    assert named(service, group) == [[None, "Bob", "Cyd"]]
    with pytest.raises(ArgumentError, match="counted from 1"):
        service.enroll("Ann", [group], face=0)


def test_the_same_face_of_a_photograph_is_not_enrolled_as_two(service: RecognitionService) -> None:
    service.enroll("Ann", [picture(1)])
    enrolment = service.enroll("Bob", [picture(1)])
    assert enrolment.enrolled == ()
    assert "already as 'Ann'" in enrolment.skipped[0].reason


def test_an_attempt_in_vain_leaves_nothing(service: RecognitionService, home: Path) -> None:
    assert service.enroll("Ann", [b"no picture"]).enrolled == ()
    assert service.enroll("Ann", []).enrolled == ()
    assert not home.exists()


def test_a_bad_name_is_refused_before_any_work(
    service: RecognitionService, pipeline: StandInPipeline, home: Path
) -> None:
    for name in ("", "x" * 201, "a\nb"):
        with pytest.raises(ArgumentError):
            service.enroll(name, [picture(1)])
    assert pipeline.batches == []
    assert not home.exists()


def test_a_folder_of_folders(
    service: RecognitionService, pipeline: StandInPipeline, tmp_path: Path
) -> None:
    root = tmp_path / "people"
    for person, name in enumerate(["Ann", "Bob", "Zo\u0065\u0308", "bad\nname", "faceless"]):
        (root / name).mkdir(parents=True)
        for take in range(3):
            faces = () if name == "faceless" else (person,)
            picture(*faces, take=take).save(root / name / f"{take}.png")
    (root / "Bob" / "1.png").write_bytes(b"no picture")
    steps: list[tuple[int, int]] = []
    enrolment = service.enroll_folder(root, progress=lambda *step: steps.append(step))
    assert enrolment.enrolled == (Enrolled("Ann", 3), Enrolled("Bob", 2), Enrolled("Zo\u00eb", 3))
    reasons = {(Path(s.image).parent.name, Path(s.image).name): s.reason for s in enrolment.skipped}
    assert len(reasons) == 1 + 3 + 3
    assert "cannot read" in reasons["Bob", "1.png"]
    assert "no face" in reasons["faceless", "0.png"]
    assert "control character" in reasons["bad\nname", "2.png"]
    assert steps == [(12, 12)]
    assert pipeline.batches == [11]
    assert service.enroll_folder(root).enrolled == ()


def test_a_folder_of_people_who_are_not_alone_on_their_photographs(
    service: RecognitionService, tmp_path: Path
) -> None:
    root = tmp_path / "people"
    (root / "Ann").mkdir(parents=True)
    picture(1, 2).save(root / "Ann" / "1.png")
    picture(1, take=1).save(root / "Ann" / "2.png")
    [skipped] = service.enroll_folder(root).skipped
    assert "--face" in skipped.reason
    again = service.enroll_folder(root, face=1)
    assert again.enrolled == (Enrolled("Ann", 1),)
    assert [one.enrolled_before for one in again.skipped] == [True]
    with pytest.raises(ArgumentError, match="counted from 1"):
        service.enroll_folder(root, face=0)


def test_a_folder_of_one_person_is_enough(service: RecognitionService, tmp_path: Path) -> None:
    (tmp_path / "people" / "Ann").mkdir(parents=True)
    picture(1).save(tmp_path / "people" / "Ann" / "1.png")
    assert service.enroll_folder(tmp_path / "people").enrolled == (Enrolled("Ann", 1),)


def test_a_folder_that_is_none_is_refused(service: RecognitionService, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        service.enroll_folder(tmp_path / "missing")


# Identifying


def test_each_photograph_gets_its_answer_in_order(
    service: RecognitionService, tmp_path: Path
) -> None:
    service.enroll("Ann", [picture(1)])
    path = tmp_path / "party.png"
    picture(2, 1).save(path)
    steps: list[tuple[int, int]] = []
    found = service.identify(
        [path, b"no picture", picture()], progress=lambda *step: steps.append(step)
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    party, broken, empty = found
    assert isinstance(party, Identification)
    assert party.image == str(path)
    assert [face.person for face in party.faces] == [None, "Ann"]
    assert [face.face.box[0] for face in party.faces] == [0, 1]
    assert isinstance(broken, FailedImage)
    assert broken.image == "image 2"
    assert isinstance(empty, Identification)
    assert (empty.image, empty.faces) == ("image 3", ())


def test_the_closest_people_are_told_whether_or_not_they_are_close(
    service: RecognitionService,
) -> None:
    for person in range(6):
        service.enroll(f"P{person}", [picture(person), picture(person, take=1)])
    for top_k in (1, 3, 9):
        [found] = service.identify([picture(77)], top_k=top_k)
        assert isinstance(found, Identification)
        [face] = found.faces
        assert face.person is None
        assert len(face.matches) == min(top_k, 6)
        similarities = [match.cosine_similarity for match in face.matches]
        assert similarities == sorted(similarities, reverse=True)
    with pytest.raises(ArgumentError):
        service.identify([picture(77)], top_k=0)


def test_the_threshold_decides(service: RecognitionService, pipeline: StandInPipeline) -> None:
    service.enroll("Ann", [picture(1)])
    [found] = service.identify([picture(1, take=5)], threshold=-1)
    assert isinstance(found, Identification)
    similarity = found.faces[0].matches[0].cosine_similarity
    for threshold, person in [(similarity, "Ann"), (np.nextafter(similarity, 2), None)]:
        [found] = service.identify([picture(1, take=5)], threshold=threshold)
        assert isinstance(found, Identification)
        assert found.faces[0].person == person
    assert service.thresholds.decision(Use.IDENTIFY).threshold == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(ArgumentError, match="between -1 and 1"):
        service.identify([picture(1)], threshold=1.5)
    with pytest.raises(ArgumentError, match="either --threshold or --fpir"):
        service.identify([picture(1)], threshold=0.5, fpir=0.01)


def test_weights_that_say_nothing_of_strangers_ask_for_a_threshold(
    service: RecognitionService, pipeline: StandInPipeline
) -> None:
    pipeline.tail = None
    service.enroll("Ann", [picture(1)])
    with pytest.raises(ArgumentError, match="give --threshold, or let `likeness calibrate --fpir`"):
        service.identify([picture(1)])
    [found] = service.identify([picture(1)], threshold=0.4)
    assert isinstance(found, Identification)
    assert found.decision is not None
    assert (found.decision.threshold, found.decision.strangers) == (0.4, None)
    # A threshold for pairs that the weights themselves carry still tells two photographs apart.
    assert service.verify(picture(1), picture(1, take=1)).threshold == 0.5
    pipeline.threshold = None
    with pytest.raises(ArgumentError, match="do not say how alike strangers are"):
        service.verify(picture(1), picture(1, take=1))


def test_many_photographs_go_through_in_batches(
    service: RecognitionService, pipeline: StandInPipeline
) -> None:
    service.enroll("Ann", [picture(1)])
    pipeline.batches.clear()
    found = named(service, *[picture(1, take=take) for take in range(70)])
    assert found == [["Ann"]] * 70
    assert sum(pipeline.batches) == 70
    assert len(pipeline.batches) == 3


def test_nobody_enrolled_is_told_before_any_weights_are_looked_for(home: Path) -> None:
    service = RecognitionService(device="cpu")
    for refused in (
        lambda: service.identify([picture(1)]),
        lambda: service.people.edit.rename("Ann", "Bob"),
        lambda: service.people.edit.delete("Ann"),
        lambda: service.people.thumbnail("Ann"),
    ):
        with pytest.raises(GalleryError, match="nobody is enrolled in"):
            refused()
    assert service.people.summaries() == ()
    with pytest.raises(WeightsError, match="no weights for mobilefacenet at hand"):
        service.enroll("Ann", [picture(1)])
    assert not home.exists()


def test_nobody_left_is_nobody_enrolled(service: RecognitionService) -> None:
    service.enroll("Ann", [picture(1)])
    service.people.edit.delete("Ann")
    with pytest.raises(GalleryError, match="nobody is enrolled in"):
        service.identify([picture(1)])


# Verifying and detecting


def test_verify_compares_the_largest_faces(service: RecognitionService) -> None:
    same = service.verify(picture(1, 5), picture(1, 6, take=2))
    other = service.verify(as_png(picture(1)), picture(2, 1))
    assert same.same_person
    assert not other.same_person
    assert same.threshold == other.threshold == pytest.approx(0.5, abs=1e-5)
    assert same.cosine_similarity >= 0.5 > other.cosine_similarity
    assert service.verify(picture(1), picture(2), threshold=-1).same_person
    assert service.verify(picture(1), picture(1)).cosine_similarity <= 1


def test_verify_tells_which_face_of_each_photograph_was_taken(
    service: RecognitionService, tmp_path: Path
) -> None:
    path = tmp_path / "party.png"
    path.write_bytes(as_png(picture(5, 1, 2)))
    first, second = service.verify(path, picture(5, take=1)).photographs
    assert (first.image, first.faces, first.face.box) == (str(path), 3, (0.0, 0.0, 1.0, 1.0))
    assert (second.image, second.faces) == ("image 2", 1)
    assert first.quality.size > 0


def test_a_photograph_is_verified_against_somebody_enrolled(service: RecognitionService) -> None:
    service.enroll("Ann", [picture(1), picture(1, take=1), picture(1, take=2)])
    service.enroll("Bob", [picture(2)])
    for name, person, same in (("Ann", 1, True), ("Bob", 2, True), ("Ann", 2, False)):
        probe = picture(person, 9, take=5)
        found = service.verify_person(probe, name)
        of_each = [
            service.verify(probe, picture(1 if name == "Ann" else 2, take=take)).cosine_similarity
            for take in range(3 if name == "Ann" else 1)
        ]
        assert found.same_person is same
        assert found.cosine_similarity == pytest.approx(max(of_each), abs=1e-5)
        assert (found.person, found.threshold) == (name, pytest.approx(0.5, abs=1e-5))
        [taken] = found.photographs
        assert taken.faces == 2
    assert service.verify_person(picture(2), "Ann", threshold=-1).same_person
    [ann] = [one for one in service.people.summaries() if one.name == "Ann"]
    by_id = service.verify_person(picture(1), None, person_id=ann.person_id)
    assert (by_id.person, by_id.person_id) == ("Ann", ann.person_id)


def test_a_face_that_is_known_not_to_be_somebody_s_never_verifies_as_theirs(
    service: RecognitionService,
) -> None:
    service.enroll("Ann", [picture(1)])
    service.not_this_person("Ann", picture(1, take=3))
    found = service.verify_person(picture(1, take=3), "Ann")
    assert found.excluded
    assert not found.same_person
    assert found.cosine_similarity > found.threshold
    assert found.probability is None


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize(
    "meanwhile", ["enroll", "enroll two", "delete", "erase", "move", "exclude", "rename"]
)
def test_a_person_who_changes_while_a_photograph_is_looked_at_is_no_crash(
    service: RecognitionService,
    pipeline: StandInPipeline,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: str,
    unit: bool,
) -> None:
    service.enroll("Ann", [picture(1)])
    service.enroll("Bob", [picture(2)])
    if unit:
        monkeypatch.setattr(Engine, "pair", PairUnit(np.full(D, -1.0), 500.0, {0.001: 1.0}))
    look, probe = pipeline.faces, picture(1, take=3)
    edit = service.people.edit

    def changed(images: Sequence[Image.Image]) -> list[list[DetectedFace]]:
        monkeypatch.setattr(pipeline, "faces", look)
        if meanwhile.startswith("enroll"):
            more = [picture(1, take=1), picture(1, take=2)]
            service.enroll("Ann", more if meanwhile == "enroll two" else more[:1])
        elif meanwhile == "exclude":
            service.not_this_person("Ann", probe)
        elif meanwhile == "move":
            edit.move("Ann", [service.people.photographs("Ann")[0].number], "Bob")
        elif meanwhile == "rename":
            edit.rename("Ann", "Anna")
        elif meanwhile == "delete":
            edit.delete("Ann")
        else:
            service.people.erase("Ann")
        return look(images)

    monkeypatch.setattr(pipeline, "faces", changed)
    if meanwhile in ("delete", "erase", "move"):
        with pytest.raises(GalleryError):
            service.verify_person(probe, "Ann")
        return
    found = service.verify_person(probe, "Ann")
    assert found.excluded == (meanwhile == "exclude")
    assert found.same_person == (meanwhile != "exclude")
    assert (found.pair_value is not None) == (unit and meanwhile == "rename")


def test_whom_a_name_means_is_settled_before_any_work(
    service: RecognitionService, pipeline: StandInPipeline
) -> None:
    with pytest.raises(ArgumentError, match="nobody called 'Ann' is enrolled"):
        service.verify_person(picture(1), "Ann")
    service.enroll("Ann  Smith", [picture(1)])  # two blanks look like one, and are
    service.enroll("ann smith", [picture(2)])
    service.enroll("Gone", [picture(3)])
    service.people.edit.delete("Gone")
    pipeline.batches.clear()
    for name in ("Gone", "Bob", "", "Ann", "ANN SMITH"):
        with pytest.raises(ArgumentError) as refusal:
            service.verify_person(picture(1), name)
        alike = name.casefold() == "ann smith"
        assert ("'Ann Smith' (id " in str(refusal.value)) is alike
        assert ("'ann smith' (id " in str(refusal.value)) is alike
    for person_id in (0, 999, -1):
        with pytest.raises(ArgumentError, match=f"with the id {person_id}"):
            service.verify_person(picture(1), None, person_id=person_id)
    with pytest.raises(ArgumentError, match="whom"):
        service.verify_person(picture(1), None)
    assert not pipeline.batches
    assert service.verify_person(picture(1), " Ann  Smith ").same_person


def test_of_two_people_of_one_name_the_id_says_which(
    service: RecognitionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.enroll("Ann", [picture(1)])
    service.enroll("Other", [picture(2)])
    both = service.people.summaries()
    # No gallery in a folder holds two people of one name; another kind of gallery may.
    monkeypatch.setattr(type(service.gallery.open()), "named", lambda *_: both)
    with pytest.raises(ArgumentError, match=r"2 people are called 'Ann'.*by the id"):
        service.verify_person(picture(1), "Ann")
    found = service.verify_person(picture(2), "Ann", person_id=both[1].person_id)
    assert (found.person_id, found.same_person) == (both[1].person_id, True)


def test_verify_says_which_photograph_is_of_no_use(
    service: RecognitionService, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match="no face found in image 2"):
        service.verify(picture(1), picture())
    with pytest.raises(ImageError):
        service.verify(picture(1), b"no picture")
    with pytest.raises(ArgumentError, match=r"missing\.jpg"):
        service.verify(tmp_path / "missing.jpg", picture(1))


def test_verify_needs_no_gallery_and_makes_none(service: RecognitionService, home: Path) -> None:
    service.verify(picture(1), picture(2))
    assert not home.exists()


def test_detect_finds_faces_and_names_nobody(service: RecognitionService, home: Path) -> None:
    first, broken, empty = service.detect([picture(1, 2), b"no picture", picture()])
    assert isinstance(first, Detection)
    assert [face.box[0] for face in first.faces] == [0, 1]
    assert isinstance(broken, FailedImage)
    assert empty == Detection(image="image 3", faces=())
    assert not home.exists()


# People


def test_people_are_renamed_deleted_restored_and_erased(
    service: RecognitionService, home: Path
) -> None:
    service.enroll("Ann", [picture(1)])
    service.people.edit.rename("Ann", "Anne")
    assert named(service, picture(1)) == [["Anne"]]
    service.people.edit.delete("Anne")
    assert service.people.summaries() == ()
    assert [p.name for p in service.people.summaries(deleted=True)] == ["Anne"]
    service.people.edit.restore("Anne")
    assert named(service, picture(1)) == [["Anne"]]
    service.people.erase("Anne")
    assert service.people.summaries(deleted=True) == service.people.summaries() == ()
    assert not any(b"Ann" in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_the_thumbnail_is_the_aligned_face(service: RecognitionService) -> None:
    service.enroll("Ann", [picture(42)])
    with Image.open(io.BytesIO(service.people.thumbnail("Ann") or b"")) as thumbnail:
        assert thumbnail.size == (112, 112)
        np.testing.assert_array_equal(np.asarray(thumbnail), crop_of(42))
    with pytest.raises(GalleryError, match="nobody called 'Bob'"):
        service.people.thumbnail("Bob")


@pytest.mark.parametrize("kept", ["svg", "noise", "empty", "too large", "cut", "gif"])
def test_a_kept_face_that_is_no_small_picture_is_not_shown(
    service: RecognitionService, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    """It may come from a stranger's export, and go to whoever's browser asks for the page."""
    service.enroll("Ann", [picture(42)])
    content = service.people.thumbnail("Ann") or b""
    large, gif = io.BytesIO(), io.BytesIO()
    Image.new("L", (8000, 8000)).save(large, "PNG")
    Image.new("L", (9, 9)).save(gif, "GIF")
    strange = {
        "svg": b"<svg onload='alert(1)'/>",
        "noise": bytes(range(256)),
        "empty": b"",
        "too large": large.getvalue(),
        "cut": content[: len(content) // 2],
        "gif": gif.getvalue(),
    }
    monkeypatch.setattr(Gallery, "crop", lambda *_: strange[kept])
    assert service.people.thumbnail("Ann") is None


def test_hostile_names_make_no_files(
    service: RecognitionService, home: Path, tmp_path: Path
) -> None:
    for person, name in enumerate(["../../x", str(tmp_path / "y"), "C:\\z", "CON", "'; DROP--"]):
        service.enroll(name, [picture(person)])
    found = {path.relative_to(home).parts[0] for path in home.rglob("*")}
    assert found == {"gallery"}
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


# Galleries of other models, of other processes, and gone


def test_another_model_s_gallery_is_refused_and_both_are_named(service: RecognitionService) -> None:
    service.enroll("Ann", [picture(1)])
    other = StandInPipeline()
    other.weights_digest = "cd" * 32
    with RecognitionService(pipeline=other) as refused:
        for attempt in (
            lambda: refused.identify([picture(1)]),
            lambda: refused.enroll("Bob", [picture(2)]),
        ):
            with pytest.raises(GalleryError) as caught:
                attempt()
            assert "stand-in (weights abababababab, 32 numbers)" in str(caught.value)
            assert "stand-in (weights cdcdcdcdcdcd, 32 numbers)" in str(caught.value)
        assert other.batches == []
        assert [p.name for p in refused.people.summaries()] == ["Ann"]
        refused.people.erase("Ann")
        assert refused.enroll("Bob", [picture(2)]).enrolled == (Enrolled("Bob", 1),)


def test_two_services_share_a_gallery(service: RecognitionService) -> None:
    with RecognitionService(pipeline=StandInPipeline()) as other:
        other.enroll("Ann", [picture(1)])
        assert named(service, picture(1)) == [["Ann"]]
        service.enroll("Bob", [picture(2)])
        assert named(other, picture(2)) == [["Bob"]]


def test_a_gallery_removed_by_hand_is_gone_and_begins_anew(
    service: RecognitionService, home: Path
) -> None:
    service.enroll("Ann", [picture(1)])
    named(service, picture(1))
    shutil.rmtree(home)
    assert service.people.summaries() == ()
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        service.identify([picture(1)])
    service.enroll("Bob", [picture(2)])
    assert named(service, picture(1), picture(2)) == [[None], ["Bob"]]


def test_a_backup_put_in_place_is_noticed(service: RecognitionService, home: Path) -> None:
    service.enroll("Ann", [picture(1)])
    service.close()
    backup = home.with_name("backup")
    shutil.copytree(home, backup)
    service.enroll("Bob", [picture(2)])
    assert named(service, picture(2)) == [["Bob"]]
    shutil.rmtree(home)
    backup.rename(home)
    assert [p.name for p in service.people.summaries()] == ["Ann"]
    assert named(service, picture(1), picture(2)) == [["Ann"], [None]]


def test_a_closed_service_opens_again(service: RecognitionService) -> None:
    service.enroll("Ann", [picture(1)])
    service.close()
    service.close()
    assert named(service, picture(1)) == [["Ann"]]


def test_threads_share_a_service(service: RecognitionService) -> None:
    wrong: list[str] = []

    def work(person: int) -> None:
        for take in range(8):
            service.enroll(f"P{person}", [picture(person, take=take)])
            if named(service, picture(person, take=take)) != [[f"P{person}"]]:
                wrong.append(f"P{person}")

    threads = [threading.Thread(target=work, args=(person,)) for person in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert {p.name: p.photographs for p in service.people.summaries()} == {
        f"P{i}": 8 for i in range(4)
    }


def test_listing_people_needs_no_torch(service: RecognitionService, home: Path) -> None:
    service.enroll("Ann", [picture(1)])
    code = (
        "import sys\n"
        "from recognition.service import RecognitionService\n"
        "with RecognitionService() as service:\n"
        "    service.people.edit.rename('Ann', 'Anne')\n"
        "    print(service.people.summaries()[0].name, 'torch' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "Anne False\n"


# Real photographs


class AstronautPipeline(StandInPipeline):
    """Finds faces for real; who somebody is, it tells from the colours of the aligned face."""

    dimension = 3 * 8 * 8

    def faces(self, images: Sequence[Image.Image]) -> list[list[DetectedFace]]:
        found = []
        for image, faces in zip(images, make_detector().detect(images), strict=True):
            crops = [image.crop(tuple(map(int, face.box))).resize((112, 112)) for face in faces]
            vectors = [np.asarray(crop.resize((8, 8)), float).ravel() - 110 for crop in crops]
            found.append(
                [
                    DetectedFace(face, unit(vector), np.asarray(crop))
                    for face, vector, crop in zip(faces, vectors, crops, strict=True)
                ]
            )
        return found


def test_the_astronaut_is_known_again(home: Path, astronaut: Image.Image) -> None:
    with RecognitionService(pipeline=AstronautPipeline()) as service:
        assert service.enroll("Eileen Collins", [astronaut]).enrolled[0].photographs == 1
        smaller = astronaut.resize((300, 300))
        [found] = service.identify([smaller], threshold=0.9)
        assert isinstance(found, Identification)
        assert [face.person for face in found.faces] == ["Eileen Collins"]
        assert service.verify(astronaut, smaller, threshold=0.9).same_person
        landscape = astronaut.crop((0, 300, 200, 500))
        assert service.enroll("Nobody", [landscape]).skipped == (
            Skipped("image 1", "no face found in it"),
        )


@pytest.mark.shared
def test_real_people_are_told_apart_and_strangers_are_strangers(
    home: Path, lfw_photos: Path, teacher_weights: Path
) -> None:
    known = ["Andre_Agassi", "Angelina_Jolie", "Al_Sharpton", "Angela_Merkel", "Alan_Greenspan"]
    strangers = ["Amelia_Vega", "Ann_Veneman", "Andy_Roddick", "Anna_Kournikova", "Abdullah_Gul"]
    strangers += ["Arnold_Schwarzenegger", "Adrien_Brody", "Angela_Bassett"]
    photographs = {name: sorted((lfw_photos / name).iterdir()) for name in known + strangers}
    with RecognitionService(weights=teacher_weights, device="cpu") as service:
        for name in known:
            assert service.enroll(name, photographs[name][:1]).enrolled == (Enrolled(name, 1),)
    # Another service, which is not told about the weights: the gallery remembers them.
    with RecognitionService(device="cpu") as service:
        probes = [(name, path) for name in known for path in photographs[name][1:4]]
        found = named(service, *[path for _, path in probes])
        assert [people[0] for people in found] == [name for name, _ in probes]
        # At the weights' threshold a few impostor pairs in a hundred pass; of these 40, one does.
        mistaken = named(service, *[photographs[name][0] for name in strangers])
        assert sum(any(people) for people in mistaken) <= 1
        assert service.verify(*photographs["Andre_Agassi"][:2]).same_person
        assert not service.verify(
            photographs["Andre_Agassi"][0], photographs["Andy_Roddick"][0]
        ).same_person


# Looking once


def test_what_was_looked_at_once_is_identified_enrolled_and_excluded_without_looking_again(
    service: RecognitionService, pipeline: StandInPipeline
) -> None:
    pictures = [as_png(picture(1)), b"no picture", as_png(picture(2, 3))]
    first, broken, party = service.look(pictures)
    assert len(pipeline.batches) == 1
    enrolment = service.enroll("Ann", [party, broken, first])
    assert enrolment.enrolled == (Enrolled("Ann", 1),)
    assert [skipped.image for skipped in enrolment.skipped] == ["image 1", "image 2"]
    service.enroll("Cyd", [party], face=2)
    seen = service.identify([broken, party, first])
    assert [type(one) for one in seen] == [FailedImage, Identification, Identification]
    assert seen == service.identify([b"no picture", *pictures[2:], pictures[0]])
    found = seen[1]
    assert isinstance(found, Identification)
    assert [face.person for face in found.faces] == [None, "Cyd"]
    service.not_this_person("Ann", party, face=2)
    assert len(pipeline.batches) == 2  # the comparison above alone


def test_some_may_have_been_looked_at_before_and_others_not(service: RecognitionService) -> None:
    service.enroll("Ann", [picture(1)])
    [before] = service.look([as_png(picture(1, take=3))])
    found = service.identify([as_png(picture(2)), before, as_png(picture(1, take=4))])
    assert [one.image for one in found] == ["image 1", "image 2", "image 3"]
    assert found == service.identify(
        [as_png(picture(2)), as_png(picture(1, take=3)), as_png(picture(1, take=4))]
    )


def test_faces_that_nobody_is_enrolled_for_are_nobodys(service: RecognitionService) -> None:
    [seen] = service.look([picture(2, 3)])
    assert isinstance(seen, Seen)
    found = name_nobody(seen)
    assert [(face.person, face.matches) for face in found.faces] == [(None, ())] * 2
    assert [face.face for face in found.faces] == [face.face for face in seen.faces]


# What may be handed in


def test_one_bare_picture_is_one_picture(service: RecognitionService, tmp_path: Path) -> None:
    path = tmp_path / "ann.png"
    path.write_bytes(as_png(picture(1)))
    assert service.enroll("Ann", str(path)).enrolled == (Enrolled("Ann", 1),)
    assert service.enroll("Bob", picture(2)).enrolled == (Enrolled("Bob", 1),)
    assert named(service, path) == [["Ann"]]
    [found] = service.identify(str(path))
    assert isinstance(found, Identification)
    assert found.image == str(path)
    assert len(service.detect(as_png(picture(1, 2)))) == 1


def test_pictures_of_every_form_are_enrolled_and_known_alike(service: RecognitionService) -> None:
    image = picture(1)
    pixels, content = np.asarray(image), as_png(image)
    service.enroll("Ann", image)
    forms = [
        content,
        bytearray(content),
        memoryview(content),
        io.BytesIO(content),
        image,
        pixels,
        pixels.astype(np.float32) / 255,
        np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]),
        torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255,
    ]
    assert named(service, *forms) == [["Ann"]] * len(forms)
    for form in forms:
        assert service.verify(form, image).same_person
        assert service.verify_person(form, "Ann").same_person
    [again] = service.enroll("Ann", [pixels]).skipped
    assert again.enrolled_before  # the digest is that of the pixels


@pytest.mark.parametrize("alien", [None, 7, object(), np.zeros((2, 2, 2, 2)), {"a": 1}])
def test_what_is_no_picture_ends_the_call_before_any_work(
    service: RecognitionService, pipeline: StandInPipeline, home: Path, alien: object
) -> None:
    for call in (
        lambda: service.enroll("Ann", [picture(1), alien]),
        lambda: service.enroll("Ann", alien),
        lambda: service.identify([alien]),
        lambda: service.detect([alien]),
        lambda: service.verify(picture(1), alien),
        lambda: service.verify_person(alien, "Ann"),
        lambda: service.not_this_person("Ann", alien),
    ):
        with pytest.raises(ArgumentError, match="expected a path, a picture file's bytes"):
            call()
    assert not pipeline.batches
    assert not list(home.rglob("gallery.sqlite"))


def test_values_that_make_no_picture_do_not_end_the_batch(service: RecognitionService) -> None:
    bad = [np.full((16, 16, 3), np.nan), np.zeros((2, 40)), io.BytesIO(b"no picture")]
    enrolment = service.enroll("Ann", [*bad, picture(1)])
    assert enrolment.enrolled == (Enrolled("Ann", 1),)
    assert [one.image for one in enrolment.skipped] == ["image 1", "image 2", "image 3"]


def test_what_is_odd_about_a_file_travels_with_every_result(
    service: RecognitionService, tmp_path: Path
) -> None:
    file = io.BytesIO()
    picture(1, 2).save(file, "WEBP", lossless=True, save_all=True, append_images=[picture(3)])
    odd = ("it is animated: its first frame was taken",)
    [kept] = service.enroll("Ann", file, face=1).kept
    assert kept.warnings == odd
    [seen] = service.identify([file])
    assert isinstance(seen, Identification)
    assert (seen.warnings, len(seen.faces)) == (odd, 2)
    [found] = service.detect(file)
    assert isinstance(found, Detection)
    assert found.warnings == odd
    first, second = service.verify(file, picture(1)).photographs
    assert (first.warnings, second.warnings) == (odd, ())
    assert service.verify_person(file, "Ann").photographs[0].warnings == odd
    (tmp_path / "people" / "Bob").mkdir(parents=True)
    (tmp_path / "people" / "Bob" / "b.webp").write_bytes(file.getvalue())
    [kept] = service.enroll_folder(tmp_path / "people", face=2).kept
    assert odd[0] in kept.warnings


def test_the_weights_pair_unit_decides_two_photographs_and_says_how_likely(
    service: RecognitionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where a threshold is given by hand, and not for a rate that it knows no limit for."""
    probe, same, other = picture(1), picture(1, take=1), picture(2)
    plain = service.verify(probe, same)
    assert (plain.pair_value, plain.pair_limit, plain.probability) == (None, None, None)
    size = service.look([probe])[0].faces[0].embedding.size  # type: ignore[union-attr]
    rates = {0.01: 1.0, 0.001: 1.0}
    unit_of = partial(PairUnit, np.full(size, -20.0), limits=rates)
    for offset, expected in ((500.0, True), (-500.0, False)):
        unit_says = unit_of(offset=offset)
        monkeypatch.setattr(Engine, "pair", unit_says)
        for second in (same, other):
            found = service.verify(probe, second)
            assert found.pair_value is not None
            assert (found.same_person, found.pair_limit) == (expected, 1.0)
            assert found.same_person == (found.pair_value >= 1.0)
            assert (found.probability or 0) == pytest.approx(float(expected), abs=1e-6)
        by_hand = service.verify(probe, same, threshold=plain.threshold)
        assert (by_hand.same_person, by_hand.pair_limit) == (True, None)
        known = service.thresholds.decision(Use.VERIFY)
        assert service.verify(probe, other, decision=known) == service.verify(probe, other)
    monkeypatch.setattr(Engine, "pair", PairUnit(np.full(size, -1.0), 0.0, {0.5: 1.0}))
    assert service.verify(probe, same).same_person
    assert service.verify(probe, same).pair_limit is None
