"""What is asked of a gallery, wherever it is kept."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError

from ..matching import Matching
from ..results import (
    AuditEntry,
    Calibration,
    Consent,
    Match,
    Operation,
    PersonState,
    PersonSummary,
    PhotographSummary,
    Use,
)
from ..template_attention import Rule, TemplateAttention
from .storage.changes import Change, Editor
from .storage.encryption import Keep
from .storage.people import Who
from .storage.records import Added, PersonRecord
from .storage.snapshot import Roll
from .templates import EmbeddingModel, Embeddings, Template, faces_of


class Writer(Protocol):
    """Takes people up, some at a time."""

    def __call__(self, records: Sequence[PersonRecord], /) -> Added:
        """Put people in; what is there already is left as it is."""


def way_to_re_embed(model_id: str | None = None, *, in_folder: bool) -> str:
    """What embeds a gallery anew, in words; one that is kept elsewhere takes a copy in a folder.

    Args:
        model_id: By which network; None leaves it open.
        in_folder: Whether the gallery is kept in a folder of this machine.
    """
    network = "" if model_id is None else f" --model {model_id}"
    command = f"`likeness gallery re-embed{network}`"
    return command if in_folder else f"{command} of a copy in a folder (`likeness gallery copy`)"


class AnyGallery(ABC):
    """People enrolled with one model's embeddings, and who of them is closest to a face.

    Safe for several threads and processes at once. Close it, or use it in a `with` statement.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def require(self, model: EmbeddingModel, *, adopt: bool = False) -> None:
        """Make sure that a model's embeddings may be searched or enrolled here.

        Args:
            model: The model.
            adopt: Let a gallery without anybody take up the model.

        Raises:
            GalleryError: The gallery holds embeddings of another model, or of faces that another
                detector found or that were aligned otherwise; the message names both.
        """
        own = self.model
        if own.fits(model) or (adopt and self.adopt(model)):
            return
        if own.is_same_network(model):

            def told(one: EmbeddingModel) -> str:
                return ", ".join(f"{what} {name}" for what, name in faces_of(one).items())

            raise GalleryError(
                f"the faces of the gallery {self} are of {told(own)}, and cannot be "
                f"compared with those of {told(model)}: leave the choice of the detector to the "
                "gallery, give another --home or --gallery, or embed everybody anew with "
                + way_to_re_embed(own.model_id, in_folder=self.is_in_folder)
            )
        raise GalleryError(
            f"the gallery {self} was made with {own} and cannot be used with "
            f"{model}: leave the choice of model and weights to the gallery, give another --home "
            f"or --gallery, or move it with {way_to_re_embed(in_folder=self.is_in_folder)}"
        )

    @property
    def is_in_folder(self) -> bool:
        """Whether it is kept in a folder of this machine: there alone it is embedded anew."""
        return False

    @abstractmethod
    def __str__(self) -> str:
        """Where it is, for messages; no secret is in it."""

    @property
    @abstractmethod
    def model(self) -> EmbeddingModel:
        """Whose embeddings the gallery holds."""

    @abstractmethod
    def adopt(self, model: EmbeddingModel) -> bool:
        """Take up another model, which only a gallery without anybody can; whether it has."""

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether nobody is enrolled, leaving out those who are deleted."""

    @property
    @abstractmethod
    def is_in_place(self) -> bool:
        """Whether this is still the gallery in its place: neither removed nor replaced."""

    @property
    @abstractmethod
    def lingers(self) -> str | None:
        """What an erasure leaves for a while, in one line; None where it leaves no byte."""

    @property
    def older_rows_linger(self) -> str | None:
        """What is left of rows that were encrypted, or by another key; None where no byte is."""
        return None

    @abstractmethod
    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, by name; or those who were deleted and can be restored."""

    def named(self, name: str) -> tuple[PersonSummary, ...]:
        """Everybody enrolled under a name, in the form that `person_name` gives it."""
        return tuple(one for one in self.people() if one.name == name)

    @abstractmethod
    def person(self, who: Who, state: PersonState = PersonState.ENROLLED) -> PersonSummary:
        """One person, who is to be changed; see `Snapshot.person`."""

    @abstractmethod
    def members(self, groups: Sequence[str]) -> frozenset[int]:
        """The ids of those who are enrolled and in one of some groups.

        Raises:
            ArgumentError: One of them cannot be a name.
            GalleryError: Nobody is in one of them.
        """

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """How many people are enrolled, and from how many photographs."""

    def photographs_a_person(
        self,
        among: Collection[int] | None = None,
        attention: TemplateAttention | None = None,
    ) -> dict[int, int]:
        """How many photographs → how many people are enrolled by so many.

        Args:
            among: The ids of the people who count; None: everybody.
            attention: Counts as many of a person's as weigh alike by it, or fewer.
        """
        counts = Counter(
            one.photographs if attention is None else 1
            for one in self.people()
            if one.photographs and (among is None or one.person_id in among)
        )
        return dict(counts)

    @abstractmethod
    def templates(self) -> tuple[Roll, Embeddings]:
        """Which template is whose, and the templates themselves, (N, D)."""

    @abstractmethod
    def templates_of(self, person: Who) -> tuple[list[str], Embeddings]:
        """The SHA-256 of a person's photographs, and their templates (N, D) in that order.

        Raises:
            GalleryError: Nobody has that name.
        """

    @abstractmethod
    def told_apart(self) -> frozenset[tuple[str, str]]:
        """The names of any two who are known to be two people, in order."""

    @abstractmethod
    def calibration(self, use: Use) -> Calibration | None:
        """The gallery's own threshold for a use; None if there is none for its model."""

    @abstractmethod
    def calibrate(self, calibrations: Sequence[Calibration]) -> None:
        """Keep the gallery's own threshold for each use, in place of earlier ones.

        Raises:
            GalleryError: The gallery is by now another model's, or cannot be written.
        """

    @abstractmethod
    def crop(self, person: Who, photograph: int | None = None) -> bytes | None:
        """The aligned face of a person's photograph; see `Snapshot.crop`."""

    @abstractmethod
    def photographs(self, person: Who) -> tuple[PhotographSummary, ...]:
        """What somebody is enrolled by; see `Snapshot.photographs`."""

    @property
    def edit(self) -> Editor:
        """What is done to the people by hand, each an operation that can be undone."""
        return Editor(self.editing)

    @abstractmethod
    def editing(self) -> AbstractContextManager[Change]:
        """One change by hand, for `Editor`: all of it, or nothing.

        Raises:
            GalleryError: The gallery cannot be written.
        """

    @abstractmethod
    def operations(self) -> tuple[Operation, ...]:
        """What can be undone, the latest first."""

    def enrol(
        self,
        person: str,
        templates: Sequence[Template],
        consent: Consent | None = None,
        groups: Sequence[str] = (),
    ) -> dict[int, str]:
        """Enrol photographs under a name; see `enrol_all`.

        Returns:
            Position in `templates` → under which name that one is enrolled already.
        """
        (left_out,) = self.enrol_all([(person, templates)], consent, groups)
        return left_out

    @abstractmethod
    def enrol_all(
        self,
        people: Sequence[tuple[str, Sequence[Template]]],
        consent: Consent | None = None,
        groups: Sequence[str] = (),
    ) -> list[dict[int, str]]:
        """Enrol several people's photographs as one change; see `Store.enrol_all`."""

    def photographs_known(self, person: str) -> frozenset[str]:
        """The SHA-256 of the photographs that are enrolled under a name; none of nobody's."""
        try:
            return frozenset(self.templates_of(person)[0])
        except GalleryError:  # nobody has that name; whatever else it is, enrolling says
            return frozenset()

    @abstractmethod
    def audit(self) -> tuple[AuditEntry, ...]:
        """Who did what, in ids, the latest first."""

    @property
    def is_encrypted(self) -> bool:
        """Whether everything that tells of a person is encrypted at rest."""
        return False

    def encrypt(self, secret: str, keep: Keep | None = None) -> None:
        """Encrypt it; see `Gallery.encrypt`.

        Raises:
            GalleryError: It cannot be.
        """
        raise self._cannot_be_encrypted()

    def decrypt(self) -> None:
        """Decrypt it; see `Gallery.decrypt`."""
        raise self._cannot_be_encrypted()

    def rotate(self, secret: str, keep: Keep | None = None, *, data_key: bool = False) -> None:
        """Let another secret open it; see `Gallery.rotate`."""
        raise self._cannot_be_encrypted()

    def _cannot_be_encrypted(self) -> GalleryError:
        return GalleryError(
            f"the gallery {self} cannot be encrypted by Likeness: encrypt the server's disks, or "
            "keep the gallery in a folder"
        )

    @abstractmethod
    def erase(self, who: Who) -> None:
        """Remove a person for good, enrolled or deleted; `lingers` tells what that leaves.

        Raises:
            AmbiguousError: Several people have that name, of whom all but one are deleted.
            GalleryError: Nobody has that name or id.
        """

    @abstractmethod
    def tidy(self) -> None:
        """Erase whoever's time is over, as every opening, listing, search and change does."""

    @abstractmethod
    def search(
        self,
        vectors: npt.NDArray[np.floating],
        k: int,
        matching: Rule = Matching.BEST,
        among: Collection[int] | None = None,
    ) -> list[list[Match]]:
        """Find the people closest to each query, without those who are excluded from it.

        Args:
            vectors: (Q, D) unit vectors.
            k: How many people to find, at least 1.
            matching: How a person's photographs are compared; attention by what was trained for it.
            among: The ids of the people who may be found; None: everybody.

        Returns:
            For each query at most k people, best first, those of equal similarity by name.

        Raises:
            ArgumentError: k is less than 1.
            GalleryError: The queries are not unit vectors of the gallery's dimension, or a template
                is damaged.
        """

    @abstractmethod
    def records(self) -> AbstractContextManager[Iterator[PersonRecord]]:
        """Everybody, with all that is kept of them, by name."""

    @abstractmethod
    def adding(self) -> AbstractContextManager[Writer]:
        """Put people in: where that can be, all of the block or nothing."""

    @abstractmethod
    def faults(self) -> list[str]:
        """What is wrong with the gallery, a line each; looks at everything that is kept."""

    @abstractmethod
    def facts(self) -> dict[str, str | int]:
        """What there is to know of where and how it is kept, by name."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""


def nobody_enrolled(place: object) -> GalleryError:
    """The error of a gallery that is asked who somebody is and knows nobody."""
    return GalleryError(
        f"nobody is enrolled in {place}: enrol somebody first, "
        "`likeness enroll PHOTOGRAPH --name NAME`"
    )
