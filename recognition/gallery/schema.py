"""The gallery's tables, as SQLite is told to make them."""

VERSION = 3
"""Kept as `user_version`; a file with a larger one was written by a newer Likeness."""

APPLICATION_ID = 0x4C696B65
"""Kept as `application_id`: "Like". A database without it is somebody else's."""

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

_EXCLUSION = """
-- A face of a photograph that is known not to be a person's. `embedding` as in `template`.
CREATE TABLE exclusion (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    photograph_sha256 TEXT NOT NULL CHECK (length(photograph_sha256) = 64),
    embedding BLOB NOT NULL
) STRICT
"""

_OPERATION = """
-- What has been done to the people by hand, the latest last; see `journal`.
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
    kind TEXT NOT NULL CHECK (kind IN ('person', 'template', 'exclusion')),
    row INTEGER NOT NULL,
    before TEXT
) STRICT
"""

_REVERSAL_INDEX = "CREATE INDEX reversal_operation ON reversal (operation_id)"

_JOURNAL = (_QUALITY, _EXCLUSION, _OPERATION, _REVERSAL, _REVERSAL_INDEX)

MIGRATIONS = {1: (_CALIBRATION,), 2: _JOURNAL}
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
    -- 1 from the moment someone is erased until no byte of them is left in any file.
    traces_remain INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE person (
    -- AUTOINCREMENT here and below: an id is never given twice, so an index may trust it.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    enrolled_at TEXT NOT NULL,
    deleted_at TEXT
) STRICT;

-- Someone who was deleted may be enrolled anew under the same name.
CREATE UNIQUE INDEX person_name ON person (name) WHERE deleted_at IS NULL;

-- One face of one photograph. `embedding`: float32, little-endian, a unit vector.
CREATE TABLE template (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    photograph_sha256 TEXT NOT NULL CHECK (length(photograph_sha256) = 64),
    embedding BLOB NOT NULL,
    UNIQUE (person_id, photograph_sha256)
) STRICT;

CREATE INDEX template_photograph ON template (photograph_sha256);

-- Apart from the templates, so that reading all of those skips no pictures.
CREATE TABLE crop (
    template_id INTEGER PRIMARY KEY REFERENCES template ON DELETE CASCADE,
    picture BLOB NOT NULL
) STRICT;
{_CALIBRATION};
{";".join(_JOURNAL)};
COMMIT;
"""
