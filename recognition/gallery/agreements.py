"""What people agreed to, where photographs pass from one of them to another: none of it is lost.

A consent covers photographs. Whoever gets somebody else's keeps them no longer than both agreed to,
and what was noted of either is noted of both.
"""

from dataclasses import dataclass

from data.errors import GalleryError

from ..inventory import LONGEST_NOTE, today
from .sealing import SealedConnection, consent_place


@dataclass(frozen=True, slots=True)
class Agreement:
    """What somebody agreed to, as it is kept.

    Attributes:
        note: In words; None where nothing was noted.
        noted_at: When that was noted: ISO 8601, UTC.
        until: The last day on which it holds, as 2027-01-31; None: without end.
    """

    note: str | None
    noted_at: str | None
    until: str | None

    @property
    def has_ended(self) -> bool:
        """Whether its last day is over."""
        return self.until is not None and self.until < today().isoformat()


def agreement_of(connection: SealedConnection, person: int) -> Agreement:
    """What somebody agreed to, of whom a row is there."""
    closed, noted_at, until = connection.execute(
        "SELECT consent, consented_at, expires_on FROM person WHERE id = ?", (person,)
    ).fetchone()
    note = closed and connection.seal.open_text(closed, consent_place(person))
    return Agreement(note, noted_at, until)


def set_agreement(connection: SealedConnection, person: int, agreement: Agreement) -> None:
    """Put an agreement in the place of what was noted of somebody."""
    note = agreement.note
    closed = note and connection.seal.close_text(note, consent_place(person))
    connection.execute(
        "UPDATE person SET consent = ?, consented_at = ?, expires_on = ? WHERE id = ?",
        (closed, agreement.noted_at, agreement.until, person),
    )


def joined(own: Agreement, other: Agreement) -> Agreement:
    """What covers one person's photographs together with another's: the earlier end, both notes.

    Raises:
        GalleryError: Both notes together are too long to be one.
    """
    ends = [each.until for each in (own, other) if each.until is not None]
    notes = [each.note for each in (own, other) if each.note is not None]
    parts = dict.fromkeys(part for note in notes for part in note.split("; "))
    note = "; ".join(parts) or None
    if note is not None and len(note) > LONGEST_NOTE:
        raise GalleryError(
            f"their notes of consent make one of {len(note)} characters, and at most "
            f"{LONGEST_NOTE} are kept: shorten one with `likeness people consent NAME --note NOTE`"
        )
    moments = [each.noted_at for each in (own, other) if each.noted_at is not None]
    return Agreement(note, max(moments, default=None), min(ends, default=None))
