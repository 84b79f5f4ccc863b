"""A gallery is moved to another network: its templates are exchanged, all at once or not at all.

What the new network gives is gathered in a file of its own, sealed as in the gallery, so that an
interruption costs nothing. Then, in one transaction, it takes the place of the old embeddings; a
backup made in that same moment keeps those until the move is confirmed.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError

from ..gallery import DATABASE
from ..storage import audit
from ..storage.audit import Action
from ..storage.encryption import FindSecret
from ..storage.people import Row, enrolled_exclusions
from ..storage.rows import SealedConnection
from ..storage.snapshot import MODEL_COLUMNS, Snapshot
from ..storage.store import COMING, FORMER, Store, forget_coming, forget_former, has_former
from ..templates import EmbeddingModel, from_blob, to_blob
from . import backup

_TABLES = """
CREATE TABLE IF NOT EXISTS about (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), made_for TEXT,
    source TEXT);
CREATE TABLE IF NOT EXISTS embedding (
    template_id INTEGER PRIMARY KEY, person_id INTEGER NOT NULL, sealed BLOB NOT NULL,
    fresh INTEGER NOT NULL, similarity REAL, side INTEGER
) STRICT;
"""

_IN_ITS_ROW = (Row.TEMPLATE, "embedding")
"""Where what is gathered will be, and for which it is sealed."""


@dataclass(frozen=True, slots=True, eq=False)
class WaitingTemplate:
    """A template that the new network has not embedded yet.

    Attributes:
        template: Its id.
        person: The person's.
        photograph_sha256: SHA-256 of the photograph it was seen in.
        picture: The face as it was kept, a picture file; None where none was.
    """

    template: int
    person: int
    photograph_sha256: str
    picture: bytes | None


@dataclass(frozen=True, slots=True, eq=False)
class NewEmbedding:
    """What the new network gave for a template.

    Attributes:
        template: Its id.
        person: The person's.
        embedding: (D,) float32, a unit vector.
        fresh: Whether it was made from the photograph itself.
        similarity: Cosine similarity of what the kept picture gives to what the photograph gives;
            None where one of them is not at hand.
        side: Of the kept picture in pixels; None where there is none.
    """

    template: int
    person: int
    embedding: npt.NDArray[np.float32]
    fresh: bool
    similarity: float | None
    side: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """A gallery that is another network's by now.

    Attributes:
        moved: How many templates were exchanged.
        left_out: How many could not be, and come back only by an undo.
        exclusions_left_out: How many faces known not to be somebody's could not be.
    """

    moved: int
    left_out: int
    exclusions_left_out: int


class Succession:
    """Moves the gallery of a folder. Others may use it meanwhile.

    Args:
        folder: The gallery's.
        find_secret: Asked for what opens it, if it is encrypted.
    """

    def __init__(self, folder: Path, find_secret: FindSecret = lambda _: None) -> None:
        self._folder, self._find_secret = folder, find_secret

    @property
    def is_unconfirmed(self) -> bool:
        """Whether a move awaits being confirmed or undone."""
        if not has_former(self._folder):
            return False
        former = self._folder / FORMER
        with (
            self._reading() as now,
            backup.reading_backup(former, self._find_secret) as before,
        ):
            is_stale = now.gallery_id == before.gallery_id
        if is_stale:  # a move was killed, or refused, before the gallery was changed
            forget_former(self._folder)
        return not is_stale

    @property
    def model(self) -> EmbeddingModel:
        """Whose embeddings the gallery holds."""
        with self._reading() as snapshot:
            return snapshot.model

    def begin(self, model: EmbeddingModel, source: str = "") -> None:
        """Go on with a move to a model, or begin one anew where it was to another.

        Args:
            model: The model.
            source: Where photographs are looked for. Where that is another than before, only what
                was made from photographs is kept.

        Raises:
            GalleryError: The gallery is the model's already, or another move is not confirmed.
        """
        if self.is_unconfirmed:
            raise GalleryError(
                "the gallery was moved to another network, which is not confirmed: first "
                "`likeness gallery re-embed --confirm`, or --undo"
            )
        with self._reading() as snapshot:
            if snapshot.model.fits(model):
                raise GalleryError(f"the gallery is one of {model} already: name another --model")
            made_for = json.dumps([snapshot.gallery_id, _told(model)])
            # Only compared, and the name of a folder may tell whose photographs are in it.
            source = snapshot.connection.mark(source) if source else ""
        with self._coming() as coming:
            found = coming.execute("SELECT made_for, source FROM about").fetchone()
            if found is None or found[0] != made_for:
                coming.execute("DELETE FROM embedding")
            elif found[1] != source:
                coming.execute("DELETE FROM embedding WHERE NOT fresh")
            coming.execute("REPLACE INTO about VALUES (1, ?, ?)", (made_for, source))

    def waiting(self, at_once: int) -> Iterator[list[WaitingTemplate]]:
        """The templates that are not embedded yet, some at a time."""
        with self._reading() as snapshot:
            rows = snapshot.connection.execute("SELECT id, person_id FROM template ORDER BY id")
            wanted = [(int(row), int(person)) for row, person in rows]
        with self._coming() as coming:
            known = set(coming.execute("SELECT template_id, person_id FROM embedding"))
        rest = [row for row in wanted if row not in known]
        for start in range(0, len(rest), at_once):
            with self._reading() as snapshot:
                part = [
                    _waiting(snapshot, row, owner) for row, owner in rest[start : start + at_once]
                ]
            yield [one for one in part if one is not None]

    def put(self, embedded: Sequence[NewEmbedding], model: EmbeddingModel) -> None:
        """Keep what the new network gave, so that it need not be asked again."""
        with self._reading() as snapshot, self._coming() as coming:
            for one in embedded:
                sealed = snapshot.connection.closed(
                    *_IN_ITS_ROW,
                    to_blob(one.embedding, model.dimension),
                    one.template,
                    one.person,
                    model.weights_digest,
                )
                coming.execute(
                    "REPLACE INTO embedding VALUES (?, ?, ?, ?, ?, ?)",
                    (one.template, one.person, sealed, one.fresh, one.similarity, one.side),
                )

    def counts(self) -> tuple[int, int]:
        """How many templates the gallery has, and how many of them are not embedded."""
        with self._reading() as snapshot, self._coming() as coming:
            ids = {row[0] for row in snapshot.connection.execute("SELECT id FROM template")}
            known = {row[0] for row in coming.execute("SELECT template_id FROM embedding")}
        return len(ids), len(ids - known)

    def similarities(self) -> tuple[list[float], int]:
        """The similarities that could be measured, and how many rest on the kept picture alone."""
        with self._coming() as coming:
            found = coming.execute(
                "SELECT similarity FROM embedding WHERE similarity NOTNULL"
            ).fetchall()
            (alone,) = coming.execute("SELECT count(*) FROM embedding WHERE NOT fresh").fetchone()
        return [row[0] for row in found], int(alone)

    def sides(self) -> set[int]:
        """The sides in pixels of the kept pictures that were embedded."""
        with self._coming() as coming:
            rows = coming.execute("SELECT DISTINCT side FROM embedding WHERE side NOTNULL")
            return {int(side) for (side,) in rows}

    def finish(self, model: EmbeddingModel, *, leave_out: bool = False) -> Succeeded:
        """Exchange the embeddings.

        Args:
            model: Whose embeddings were gathered.
            leave_out: Whether templates may go that could not be embedded.

        Raises:
            GalleryError: A template could not be embedded and may not go; or the gallery is
                damaged, or cannot be written. Nothing is changed.
        """
        with self._coming() as coming:
            rows = coming.execute("SELECT template_id, person_id, sealed FROM embedding").fetchall()
        given = {(int(row), int(person)): bytes(sealed) for row, person, sealed in rows}
        with closing(self._store()) as store, store.adding() as connection:
            backup.back_up(
                self._folder,
                self._folder / FORMER,
                overwrite=True,
                find_secret=self._find_secret,
            )
            done = _exchange(connection, model, given)
            if done.left_out and not leave_out:
                raise GalleryError(
                    f"{done.left_out:,} photographs of the gallery are not re-embedded: run the "
                    "same command again if some were enrolled meanwhile; give --photographs DIR; "
                    "or let them go with --leave-out"
                )
            audit.note(connection, Action.RE_EMBED)
        forget_coming(self._folder)
        return done

    def confirm(self) -> None:
        """Let the former embeddings go.

        Raises:
            GalleryError: There is no move to confirm.
        """
        self._require_unconfirmed()
        forget_former(self._folder)

    def undo(self) -> None:
        """Make the gallery what it was before the move.

        Raises:
            GalleryError: There is no move to undo, or the gallery cannot be written.
        """
        self._require_unconfirmed()
        backup.restore(self._folder / FORMER, self._folder, self._find_secret)
        forget_former(self._folder)

    def _require_unconfirmed(self) -> None:
        if not self.is_unconfirmed:
            raise GalleryError("the gallery was not moved to another network of late")

    def _store(self) -> Store:
        return Store(self._folder / DATABASE, self._find_secret)

    @contextmanager
    def _reading(self) -> Iterator[Snapshot]:
        with closing(self._store()) as store, store.reading() as snapshot:
            yield snapshot

    @contextmanager
    def _coming(self) -> Iterator[sqlite3.Connection]:
        path = self._folder / COMING
        try:
            path.touch(0o600, exist_ok=True)
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.executescript(_TABLES)
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise GalleryError(
                f"cannot keep what is re-embedded in {path} ({error}): remove it, or check the "
                "folder and the disk's space"
            ) from error


def _told(model: EmbeddingModel) -> dict[str, object]:
    told = asdict(model)
    del told["weights_path"]
    return told


def _waiting(snapshot: Snapshot, template: int, person: int) -> WaitingTemplate | None:
    row = snapshot.connection.read_one(
        ("template.photograph_sha256", "crop.picture"),
        "FROM template LEFT JOIN crop ON template_id = id WHERE id = ? AND person_id = ?",
        (template, person),
    )
    # None: it is gone meanwhile.
    return None if row is None else WaitingTemplate(template, person, *row)


def _exchange(
    connection: SealedConnection, model: EmbeddingModel, given: dict[tuple[int, int], bytes]
) -> Succeeded:
    """Exchange embeddings in a transaction. What cannot be exchanged goes."""
    same_face = {
        exclusion: (template, owner)
        for exclusion, _, owner, template in enrolled_exclusions(
            connection, Snapshot(connection).model
        )
    }
    # Another gallery from now on: no process takes an index of before for its own. What is written
    # below is bound to the new model.
    connection.execute(
        f"UPDATE gallery SET (gallery_id, {MODEL_COLUMNS}) = (?, ?, ?, ?, ?, ?, ?)",
        (str(uuid.uuid4()), *astuple(model)),
    )

    def embedding_of(template: int, person: int) -> bytes | None:
        sealed = given.get((template, person))
        if sealed is None:
            return None
        content = connection.opened(*_IN_ITS_ROW, sealed, template, person, model.weights_digest)
        from_blob(content, model.dimension)
        return content

    kept = connection.execute("SELECT id, person_id FROM template").fetchall()
    moved = 0
    for template, person in kept:
        content = embedding_of(template, person)
        if content is None:
            connection.execute("DELETE FROM template WHERE id = ?", (template,))
            continue
        connection.update(Row.TEMPLATE, template, {"person_id": person, "embedding": content})
        moved += 1
    exclusions_left_out = 0
    for exclusion, person in connection.execute("SELECT id, person_id FROM exclusion").fetchall():
        # Nothing is kept of an excluded face but its embedding, unless it is enrolled as another's.
        shown = same_face.get(exclusion)
        content = None if shown is None else embedding_of(*shown)
        if content is None:
            connection.execute("DELETE FROM exclusion WHERE id = ?", (exclusion,))
            exclusions_left_out += 1
            continue
        connection.update(Row.EXCLUSION, exclusion, {"person_id": person, "embedding": content})
    # What was done before tells of rows as they were; thresholds are of the old similarities.
    connection.execute("DELETE FROM operation")
    connection.execute("DELETE FROM calibration")
    return Succeeded(
        moved=moved, left_out=len(kept) - moved, exclusions_left_out=exclusions_left_out
    )
