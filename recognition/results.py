"""What this wing answers: frozen values, without torch."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from data import clock
from data.errors import ArgumentError
from data.folders import Account

# What the recognition wing answers: frozen values without torch, for both front doors to print.
#
# Coordinates are pixels of the upright image, x to the right and y down, from the outer corner of
# the top left pixel: an image of W×H spans 0 … W by 0 … H, and its first pixel's centre is (0.5,
# 0.5).

Point = tuple[float, float]
"""One place in an image, (x, y) in pixels."""

Box = tuple[float, float, float, float]
"""A rectangle's left, top, right and bottom edge (x1, y1, x2, y2) in pixels."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face found in an image.

    Attributes:
        box: The rectangle around the face; it may reach over the image's border.
        detection_score: The detector's probability that this box holds a face, 0 … 1.
        landmarks: Five points: left eye, right eye, nose, left and right corner of the mouth. Left
            is left as seen in the image once the face stands upright, not the person's own left.
    """

    box: Box
    detection_score: float
    landmarks: tuple[Point, Point, Point, Point, Point]

    @property
    def area(self) -> float:
        """The box's area in square pixels."""
        x1, y1, x2, y2 = self.box
        return (x2 - x1) * (y2 - y1)

    @property
    def centre(self) -> Point:
        """The box's middle (x, y) in pixels."""
        x1, y1, x2, y2 = self.box
        return (x1 + x2) / 2, (y1 + y2) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well a face can be recognised, as far as its picture tells.

    Attributes:
        size: Distance between the eyes in pixels of the photograph; of a face turned aside, what it
            would be from the front.
        sharpness: Standard deviation of the aligned face's Laplacian over that of the face itself:
            about 0.3 for a sharp face, 0.1 and less for a blurred one, 2 and more for noise.
        turn: How far it is turned aside, from the nose's place between the eyes: 0 looks straight
            at the camera; at -1 and 1 the nose is below an eye.
        nod: How far it looks up (below 0) or down, from the nose's place between eyes and mouth: at
            -1 it is level with the eyes, at 1 with the mouth.
        brightness: The mean of the aligned face's middle, 0 … 1.
        trust: The cosine similarity to be expected between the face's embedding and that of a clean
            photograph of the same moment, 0 … 1; None where it was not measured, as in galleries
            from before.
    """

    size: float
    sharpness: float
    turn: float
    nod: float
    brightness: float
    trust: float | None = None


class Use(StrEnum):
    """What a threshold decides."""

    IDENTIFY = "identify"
    VERIFY = "verify"


class Origin(StrEnum):
    """Where a threshold comes from."""

    GIVEN = "given"
    """By hand."""

    GALLERY = "gallery"
    """The gallery was calibrated."""

    WEIGHTS = "weights"
    """What the network's weights say of people whom it never saw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrangerRate:
    """Which part of strangers is named at a threshold, or of pairs of two people passes for one.

    Attributes:
        rate: The part expected, 0 … 1.
        low: The lower end of its 95 % interval: with other strangers and, of a search, with other
            people enrolled.
        high: The upper end.
        extrapolated: Whether it lies beyond what could be counted when it was measured.
    """

    rate: float
    low: float
    high: float
    extrapolated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The threshold in force for one use, and what it means.

    Attributes:
        use: What it decides.
        threshold: The cosine similarity from which on a face is accepted.
        origin: Where it comes from.
        wanted: The rate that was asked for; None where the threshold was given by hand.
        strangers: The rate of strangers who are named, or of pairs of two people who pass for one;
            None where nothing tells.
        doubt: Why the threshold no longer holds for the gallery, in one line; None while it does.
    """

    use: Use
    threshold: float
    origin: Origin
    wanted: float | None
    strangers: StrangerRate | None
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """One enrolled person compared with a face.

    Attributes:
        person: The name under which the person is enrolled.
        cosine_similarity: That of the person's photographs by the rule of `Matching`, by default
            of the closest one, -1 … 1; higher is closer.
        probability: That the face is this person's; None where the gallery is not calibrated.
        person_id: Names the person, whatever they are called meanwhile; see `PersonSummary`.
    """

    person: str
    cosine_similarity: float
    probability: float | None = None
    person_id: int | None = None


@dataclass(frozen=True, slots=True)
class IdentifiedFace:
    """A face and who it may be.

    Attributes:
        face: Where it is.
        person: The closest person's name, or None where no match reaches the threshold.
        matches: The closest people, best first, whether or not they reach the threshold.
        quality: How well it can be recognised, where that was measured.
        named_elsewhere: Whoever would be closer, but is another face of this photograph.
        person_id: The closest person's id, where there is a name.
    """

    face: Face
    person: str | None
    matches: tuple[Match, ...]
    quality: Quality | None = None
    named_elsewhere: str | None = None
    person_id: int | None = None


@dataclass(frozen=True, slots=True)
class Identification:
    """Everyone in one image.

    Attributes:
        image: The image's name as it was given.
        faces: One entry a face, largest face first; empty where none was found.
        warnings: What is odd about the file, a line each.
        decision: By which threshold they were named.
    """

    image: str
    faces: tuple[IdentifiedFace, ...]
    warnings: tuple[str, ...] = ()
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """The faces of one image, whoever they are.

    Attributes:
        image: The image's name as it was given.
        faces: Largest face first; empty where none was found.
        warnings: What is odd about the file, a line each.
    """

    image: str
    faces: tuple[Face, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedImage:
    """One image of a batch that could not be used, while the others went on.

    Attributes:
        image: The image's name as it was given.
        error: What was wrong, in one line.
    """

    image: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A photograph of a verification, and which of its faces was taken.

    Attributes:
        image: The photograph's name as it was given.
        faces: How many faces are in it; the largest was taken.
        face: The one that was taken.
        quality: How well it can be recognised.
        warnings: What is odd about the file, a line each.
    """

    image: str
    faces: int
    face: Face
    quality: Quality
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two photographs show one person, or a photograph somebody who is enrolled.

    Attributes:
        same_person: True where the similarity reaches the threshold.
        cosine_similarity: Of the faces that were taken, -1 … 1; higher is closer. With somebody
            enrolled, that of the closest of their photographs.
        threshold: The cosine similarity from which on two faces count as one person's.
        probability: That they are one person; None where the gallery is not calibrated.
        person: Who was held against the photograph; None: another photograph.
        person_id: Their id, by which two of one name are told apart.
        pair_value: What the weights' pair unit says, the logarithm of the odds; None where they
            have none.
        pair_limit: The value from which on they are one person's by it; None where it did not
            decide, since the threshold is the user's or the gallery's own, or the unit knows no
            value for its rate.
        excluded: Whether this very face is known not to be theirs, whatever the similarity.
        photographs: Those given, and which face of each was taken.
        decision: Where the threshold comes from, and what it means.
    """

    same_person: bool
    cosine_similarity: float
    threshold: float
    probability: float | None = None
    person: str | None = None
    person_id: int | None = None
    excluded: bool = False
    pair_value: float | None = None
    pair_limit: float | None = None
    photographs: tuple[Compared, ...] = ()
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A person who has been enrolled.

    Attributes:
        person: The name.
        photographs: From how many new photographs.
        consent: Which consent covers these, in words; None where none was noted.
    """

    person: str
    photographs: int
    consent: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A photograph that was not enrolled.

    Attributes:
        image: The photograph's name as it was given.
        reason: Why, in one line.
        enrolled_before: Whether it is that it is enrolled already, under the very name.
    """

    image: str
    reason: str
    enrolled_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A photograph that was enrolled.

    Attributes:
        image: The photograph's name as it was given.
        person: Whose it is now.
        quality: How well its face can be recognised.
        warnings: What is odd about it, a line each: the file, poor quality, unlike the person's
            others, almost the same as one of them, or more like somebody else.
        named: The others whom the warnings name, by id.
    """

    image: str
    person: str
    quality: Quality
    warnings: tuple[str, ...] = ()
    named: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What one call of enrolment did.

    Attributes:
        enrolled: One entry a person, in the order given.
        skipped: The photographs that were left out.
        kept: The photographs that were not.
        notes: What it changed besides, a line each.
        accounts: What was not taken from folders.
    """

    enrolled: tuple[Enrolled, ...]
    skipped: tuple[Skipped, ...]
    kept: tuple[Kept, ...] = ()
    notes: tuple[str, ...] = ()
    accounts: tuple[Account, ...] = ()


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """One line of the list of people.

    Attributes:
        name: The person's name.
        photographs: How many photographs are enrolled.
        enrolled_at: When the person was first enrolled: ISO 8601, UTC, to the second.
        consent: What the person agreed to, in words; None where nothing was noted.
        consented_at: When the consent was last noted: ISO 8601, UTC, to the second.
        expires_on: The last day on which it holds, as 2027-01-31; None: without end.
        person_id: Names the person wherever they are changed, and in the audit log; never given
            twice.
        groups: Those that the person is in, by name.
        deleted_at: When the person was deleted: ISO 8601, UTC; None: not.
    """

    name: str
    photographs: int
    enrolled_at: str
    person_id: int
    consent: str | None = None
    consented_at: str | None = None
    expires_on: str | None = None
    groups: tuple[str, ...] = ()
    deleted_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A gallery's own threshold for one use, where it comes from, and how sure it is.

    Intervals are 95 %, for other people than those it was measured on.

    Attributes:
        use: What it decides: a search among those enrolled, or one comparison.
        rate: The rate of false accepts that was wanted: the FPIR of a search, the FAR of a
            comparison.
        threshold: The cosine similarity from which on a face is accepted.
        threshold_low: The lower end of its interval.
        threshold_high: The upper end of its interval.
        rate_low: The lower end of the interval of the rate at which the threshold is reached.
        rate_high: The upper end of that interval.
        comparisons: How many comparisons of different people it was measured on, in such as count
            alike.
        rise: With `fall` and `offset` the likelihood ratio of a similarity; all three are None
            where too few people have two photographs.
        fall: See `rise`.
        offset: See `rise`.
        prior: How likely it is before looking that a face is of somebody enrolled, or that two
            photographs show one person.
        calibration_error: Expected calibration error of the probabilities, measured on people whom
            they were not fitted on.
        weights_digest: SHA-256 of the weights whose embeddings were compared.
        data: What it was measured on.
        calibrated_at: When: ISO 8601, UTC, to the second.
        people: How many people were enrolled then.
        templates: From how many photographs.
        doubt: Why it no longer holds for the gallery, in one line; None while it does. Not kept.
    """

    use: Use
    rate: float
    threshold: float
    threshold_low: float
    threshold_high: float
    rate_low: float
    rate_high: float
    comparisons: int
    rise: float | None
    fall: float | None
    offset: float | None
    prior: float
    calibration_error: float | None
    weights_digest: str
    data: str
    calibrated_at: str
    people: int
    templates: int
    doubt: str | None = None


# What is told of those enrolled, to set them right by hand: frozen values without torch.


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographSummary:
    """One photograph that somebody is enrolled by.

    Attributes:
        number: Names it among all that are enrolled; never given twice.
        photograph_sha256: SHA-256 of the photograph's file.
        cosine_similarity: To the closest other photograph of the person; None where it is the only
            one.
        quality: How well its face can be recognised; None where that was not measured.
    """

    number: int
    photograph_sha256: str
    cosine_similarity: float | None
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Operation:
    """Something done to the people by hand, which can be undone.

    Attributes:
        what: In a few words.
        done_at: When: ISO 8601, UTC.
        number: Names it, to be undone while it is the latest; never given twice.
    """

    what: str
    done_at: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlikes:
    """Two people who are alike, or one person under two names.

    Attributes:
        person: One of them.
        other: The other.
        cosine_similarity: Of their two photographs that are most alike.
        photographs: The numbers of these two.
        share: The part of their pairs of photographs that reach the threshold: near 1 for one
            person under two names.
        above: Whether the similarity reaches the threshold.
        told_apart: Whether they are known to be two people.
        person_id: Names the one, whatever they are called meanwhile.
        other_id: Names the other.
        by_chance: Of the pairs told down to this one, which part is expected to be of two people
            who are alike by chance, among so many who are compared; None where nothing tells.
    """

    person: str
    other: str
    cosine_similarity: float
    photographs: tuple[int, int]
    share: float
    above: bool
    told_apart: bool = False
    by_chance: float | None = None
    person_id: int
    other_id: int


class PersonState(StrEnum):
    """How things stand with somebody who is meant."""

    ENROLLED = "enrolled"
    DELETED = "deleted"
    """They can be restored."""

    KEPT = "kept"
    """Anything is kept of them: they are enrolled, deleted, or past their consent."""


LONGEST_NOTE = 1000
"""The most characters of a note of consent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What somebody agreed to.

    Attributes:
        note: In words, as "signed form 12, for the office door"; None leaves what was noted.
        until: The last day on which it holds, where the user is; None leaves what was noted.
        for_ever: Whether it holds without end, whatever was noted.

    Raises:
        ArgumentError: There is nothing to note, the note is too long or not one line, or the day
            is over.
    """

    note: str | None = None
    until: date | None = None
    for_ever: bool = False

    def __post_init__(self) -> None:
        if self.note is None and self.until is None and not self.for_ever:
            raise ArgumentError("nothing to note: give a note, or the last day that it holds")
        if self.note is not None and not (
            1 <= len(self.note) <= LONGEST_NOTE and self.note.isprintable()
        ):
            raise ArgumentError(
                f"a note of consent is one line of 1 to {LONGEST_NOTE} characters: "
                "keep the document elsewhere and say where"
            )
        if self.until is not None and self.for_ever:
            raise ArgumentError("a last day, or without end: choose one")
        if self.until is not None and self.until < clock.today():
            raise ArgumentError(
                f"{self.until} is over: whoever's consent has ended is to be erased, "
                "`likeness people erase NAME`"
            )


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log.

    Attributes:
        number: Of the line.
        done_at: When: ISO 8601, UTC.
        action: What was done.
        person_id: To whom; None: to the whole gallery. An id is never given twice.
        user_id: The number of the user whose process did it; None where users have none.
    """

    number: int
    done_at: str
    action: str
    person_id: int | None
    user_id: int | None
