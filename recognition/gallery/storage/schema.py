"""The gallery's tables, as SQLite is told to make them.

What tells of a person is sealed (see `encryption`): as it is, or encrypted. It is found again by a
mark: what is meant itself, or a keyed hash of it.
"""

from ..templates import FIRST_DETECTOR, UNSAID_ALIGNMENT

VERSION = 7
"""Kept as `user_version`; a file with a larger one was written by a newer Likeness."""

PROVED = 6
"""The first version in which the rows of an encrypted gallery have a proof."""

APPLICATION_ID = 0x4C696B65
"""Kept as `application_id`: "Like". A database without it is somebody else's."""

AUDIT_DAYS = 365
"""How long a line of the audit log is kept."""

LEAVES_TRACES = "UPDATE gallery SET traces_remain = changes + 1"
"""Notes, in a change, that bytes of what it removes are still in a file.

The change's number tells it from those that come while an earlier one's bytes are being wiped.
"""

_CALIBRATION = """
-- The gallery's own threshold for one use, and where it comes from; see `results.Calibration`.
CREATE TABLE calibration (
    use TEXT PRIMARY KEY CHECK (use IN ('identify', 'verify')),
    rate REAL NOT NULL,
    threshold REAL NOT NULL,
    threshold_low REAL NOT NULL,
    threshold_high REAL NOT NULL,
    rate_low REAL NOT NULL,
    rate_high REAL NOT NULL,
    comparisons INTEGER NOT NULL,
    rise REAL,
    fall REAL,
    offset REAL,
    prior REAL NOT NULL,
    calibration_error REAL,
    weights_digest TEXT NOT NULL,
    data TEXT NOT NULL,
    calibrated_at TEXT NOT NULL,
    people INTEGER NOT NULL,
    templates INTEGER NOT NULL
) STRICT
"""

_QUALITY = """
-- How well a template's face can be recognised; see `results.Quality`.
CREATE TABLE quality (
    template_id INTEGER PRIMARY KEY REFERENCES template ON DELETE CASCADE,
    size REAL NOT NULL,
    sharpness REAL NOT NULL,
    turn REAL NOT NULL,
    nod REAL NOT NULL,
    brightness REAL NOT NULL
) STRICT
"""

_TRUST = "ALTER TABLE quality ADD COLUMN trust REAL"

_OLDER_EXCLUSION = """
CREATE TABLE exclusion (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    photograph_sha256 TEXT NOT NULL CHECK (length(photograph_sha256) = 64),
    embedding BLOB NOT NULL
) STRICT
"""

_EXCLUSION = """
-- A face of a photograph that is known not to be a person's. Columns as in `template`.
CREATE TABLE exclusion (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    photograph_mark TEXT NOT NULL CHECK (length(photograph_mark) = 64),
    photograph_sha256 TEXT NOT NULL,
    embedding BLOB NOT NULL
) STRICT
"""

_OPERATION = """
-- What has been done to the people by hand, the latest last; see `changes`. `what` is sealed.
CREATE TABLE operation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    what TEXT NOT NULL,
    done_at TEXT NOT NULL
) STRICT
"""

_REVERSAL = """
-- A row as it was before an operation, its columns as JSON; NULL where it was not there.
CREATE TABLE reversal (
    id INTEGER PRIMARY KEY,
    operation_id INTEGER NOT NULL REFERENCES operation ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('person', 'template', 'exclusion', 'membership')),
    row INTEGER NOT NULL,
    before TEXT
) STRICT
"""

_REVERSAL_INDEX = "CREATE INDEX reversal_operation ON reversal (operation_id)"

_JOURNAL = (_QUALITY, _EXCLUSION, _OPERATION, _REVERSAL, _REVERSAL_INDEX)

_MEMBERSHIP = """
-- That a person is in a group. Its name is sealed, and found by its mark.
CREATE TABLE membership (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    name TEXT NOT NULL,
    mark TEXT NOT NULL,
    UNIQUE (person_id, mark)
) STRICT
"""

_MEMBERSHIP_INDEX = "CREATE INDEX membership_mark ON membership (mark)"

_GROUPS = (_MEMBERSHIP, _MEMBERSHIP_INDEX)

_WRAPPED_KEY = """
-- The key of an encrypted gallery, encrypted itself; no row in one that is not. See `encryption`.
CREATE TABLE wrapped_key (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    key_id TEXT NOT NULL,
    gallery_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('passphrase', 'raw')),
    -- Of scrypt, which makes a key of a passphrase.
    n INTEGER NOT NULL,
    r INTEGER NOT NULL,
    p INTEGER NOT NULL,
    salt BLOB NOT NULL,
    wrapped BLOB NOT NULL
) STRICT
"""

_AUDIT = """
-- Who did what to whom, in ids; see `audit`. No line is altered, and none goes before its time.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    done_at TEXT NOT NULL,
    action TEXT NOT NULL,
    person_id INTEGER,
    user_id INTEGER
) STRICT
"""

_AUDIT_STAYS = """
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'a line of the audit log cannot be altered'); END
"""

_AUDIT_IS_KEPT = f"""
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
WHEN old.done_at >= strftime('%Y-%m-%dT%H:%M:%S', 'now', '-{AUDIT_DAYS} days')
BEGIN SELECT RAISE(ABORT, 'a line of the audit log is kept for {AUDIT_DAYS} days'); END
"""

_ERASED = """
-- Who was erased, with which templates and exclusions, in ids: never trimmed, so that no older
-- backup brings them back. The ids are those of galleries of one origin; see `changes`.
CREATE TABLE erased (
    origin_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('person', 'template', 'exclusion')),
    row INTEGER NOT NULL,
    PRIMARY KEY (origin_id, kind, row)
) STRICT, WITHOUT ROWID
"""

_PROOF = """
-- That the rows of an encrypted gallery are as they were written; no row in one that is not. See
-- `integrity`.
CREATE TABLE proof (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    value BLOB NOT NULL
) STRICT
"""

_LASTING = (_ERASED, _PROOF)

TRIGGERS = (_AUDIT_STAYS, _AUDIT_IS_KEPT)
"""All that a gallery's file has; one with others is a stranger's."""

_PERSON_INDEXES = (
    # Someone who was deleted may be enrolled anew under the same name.
    "CREATE UNIQUE INDEX person_mark ON person (mark) WHERE deleted_at IS NULL",
    "CREATE INDEX person_deleted ON person (deleted_at) WHERE deleted_at IS NOT NULL",
    "CREATE INDEX person_expiry ON person (expires_on) WHERE expires_on IS NOT NULL",
)

_PRIVACY = (_WRAPPED_KEY, _AUDIT, *TRIGGERS, *_PERSON_INDEXES)

_MARKS = (
    "ALTER TABLE person ADD COLUMN mark TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE person ADD COLUMN consent TEXT",
    "ALTER TABLE person ADD COLUMN consented_at TEXT",
    "ALTER TABLE person ADD COLUMN expires_on TEXT",
    "UPDATE person SET mark = name",
    "UPDATE reversal SET before = json_set(before, '$.mark', json_extract(before, '$.name'))"
    " WHERE kind = 'person' AND before IS NOT NULL",
    "DROP INDEX person_name",
    "ALTER TABLE template RENAME COLUMN photograph_sha256 TO photograph_mark",
    "ALTER TABLE template ADD COLUMN photograph_sha256 TEXT NOT NULL DEFAULT ''",
    "UPDATE template SET photograph_sha256 = photograph_mark",
    "ALTER TABLE exclusion RENAME COLUMN photograph_sha256 TO photograph_mark",
    "ALTER TABLE exclusion ADD COLUMN photograph_sha256 TEXT NOT NULL DEFAULT ''",
    "UPDATE exclusion SET photograph_sha256 = photograph_mark",
)

_REVERSAL_OF_GROUPS = (
    "ALTER TABLE reversal RENAME TO older_reversal",
    _REVERSAL,
    "INSERT INTO reversal SELECT * FROM older_reversal",
    "DROP TABLE older_reversal",
    _REVERSAL_INDEX,
)

_ERASED_EXCLUSIONS = (
    "ALTER TABLE erased RENAME TO older_erased",
    _ERASED,
    "INSERT INTO erased SELECT * FROM older_erased",
    "DROP TABLE older_erased",
)

MIGRATIONS = {
    1: (_CALIBRATION,),
    2: (_QUALITY, _OLDER_EXCLUSION, _OPERATION, _REVERSAL, _REVERSAL_INDEX),
    3: (*_MARKS, *_PRIVACY),
    4: (*_GROUPS, *_REVERSAL_OF_GROUPS),
    5: (
        "ALTER TABLE gallery ADD COLUMN origin_id TEXT NOT NULL DEFAULT ''",
        # What an encrypted gallery's rows are bound to is what its earlier backups had.
        "UPDATE gallery SET origin_id = ifnull((SELECT gallery_id FROM wrapped_key), gallery_id)",
        *_LASTING,
        _TRUST,
    ),
    6: (
        f"ALTER TABLE gallery ADD COLUMN detector TEXT NOT NULL DEFAULT '{FIRST_DETECTOR}'",
        f"ALTER TABLE gallery ADD COLUMN alignment TEXT NOT NULL DEFAULT '{UNSAID_ALIGNMENT}'",
        *_ERASED_EXCLUSIONS,
    ),
}
"""A version → the statements that make the next one of it."""

TABLES = f"""
BEGIN;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};

-- One row. `changes` counts the changes made, `mark` is drawn anew with each, so that the count
-- reached again after a backup was put back is not taken for the same state.
CREATE TABLE gallery (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    gallery_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    model_id TEXT NOT NULL,
    weights_digest TEXT NOT NULL,
    dimension INTEGER NOT NULL CHECK (dimension > 0),
    weights_path TEXT,
    changes INTEGER NOT NULL DEFAULT 0,
    mark TEXT NOT NULL DEFAULT '',
    -- The number of the change by which someone was erased, until no byte of them is left in any
    -- file; then 0.
    traces_remain INTEGER NOT NULL DEFAULT 0,
    -- Stays when a backup is restored, which `gallery_id` does not: whose ids these are.
    origin_id TEXT NOT NULL DEFAULT '',
    -- What found the faces, and how they were aligned; see `EmbeddingModel`.
    detector TEXT NOT NULL DEFAULT '{FIRST_DETECTOR}',
    alignment TEXT NOT NULL DEFAULT '{UNSAID_ALIGNMENT}'
) STRICT;

CREATE TABLE person (
    -- AUTOINCREMENT here and below: an id is never given twice, so an index may trust it.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Sealed, and what it is found by.
    name TEXT NOT NULL,
    mark TEXT NOT NULL,
    enrolled_at TEXT NOT NULL,
    deleted_at TEXT,
    -- What the person agreed to, sealed; when that was noted; the last day on which it holds.
    consent TEXT,
    consented_at TEXT,
    expires_on TEXT
) STRICT;

-- One face of one photograph. `embedding`: float32, little-endian, a unit vector; sealed, as is the
-- photograph's hash, which is found by its mark.
CREATE TABLE template (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    photograph_mark TEXT NOT NULL CHECK (length(photograph_mark) = 64),
    photograph_sha256 TEXT NOT NULL,
    embedding BLOB NOT NULL,
    UNIQUE (person_id, photograph_mark)
) STRICT;

CREATE INDEX template_photograph ON template (photograph_mark);

-- Apart from the templates, so that reading all of those skips no pictures. Sealed.
CREATE TABLE crop (
    template_id INTEGER PRIMARY KEY REFERENCES template ON DELETE CASCADE,
    picture BLOB NOT NULL
) STRICT;
{_CALIBRATION};
{";".join((*_JOURNAL, *_PRIVACY, *_GROUPS, *_LASTING, _TRUST))};
COMMIT;
"""
