-- Schema 1. Times are milliseconds since 1970 UTC.

-- Cursors and small facts.
CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- What the core was in the middle of: its own state, opaque here.
CREATE TABLE open_conversation (
    id       TEXT PRIMARY KEY,
    pbx      TEXT NOT NULL,
    state    BLOB NOT NULL,
    -- How often restoring it was followed by an abort.
    restores INTEGER NOT NULL DEFAULT 0
);

-- Set aside after the third time.
CREATE TABLE quarantine (
    id    TEXT PRIMARY KEY,
    pbx   TEXT NOT NULL,
    state BLOB NOT NULL,
    at    INTEGER NOT NULL,
    why   TEXT NOT NULL
);

-- Conversations that turned out to be part of another one.
CREATE TABLE joined (
    id   TEXT PRIMARY KEY,
    into_id TEXT NOT NULL,
    at   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX joined_at ON joined (at);

-- Calls: the newest revision of each as JSON, and what is asked for in columns.
CREATE TABLE record (
    n            INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    conversation TEXT NOT NULL,
    pbx          TEXT NOT NULL,
    -- Empty if it belongs to none.
    crm          TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    started_at   INTEGER NOT NULL,
    extension    TEXT,
    -- The normalised number.
    client       TEXT,
    open         INTEGER NOT NULL,
    lead         INTEGER NOT NULL,
    -- Leads a missed conversation.
    missed       INTEGER NOT NULL,
    -- Missed and not yet called back.
    to_settle    INTEGER NOT NULL,
    -- What it has done for missed calls of its client: 0 nothing, 1 it was a try, 2 the client was reached.
    weighed      INTEGER NOT NULL,
    -- Holds something the core does not know of (the file of a recording, a follow-up).
    amended      INTEGER NOT NULL DEFAULT 0,
    -- Of the columns that have indexes and of the recordings: while it stays the same, only the body is written.
    fingerprint  INTEGER NOT NULL,
    body         TEXT NOT NULL
);
CREATE INDEX record_started ON record (started_at);
CREATE INDEX record_conversation ON record (conversation);
CREATE INDEX record_extension ON record (extension, started_at) WHERE extension IS NOT NULL;
CREATE INDEX record_client ON record (client, started_at) WHERE client IS NOT NULL;
CREATE INDEX record_open ON record (started_at) WHERE open = 1;
CREATE INDEX record_missed ON record (started_at) WHERE missed = 1;
CREATE INDEX record_to_settle ON record (client, crm, started_at) WHERE to_settle = 1;

CREATE TABLE recording (
    id     TEXT NOT NULL,
    record INTEGER NOT NULL,
    PRIMARY KEY (id, record)
) WITHOUT ROWID;
CREATE INDEX recording_record ON recording (record);

-- Whom records are sent to, and how each fared last.
CREATE TABLE destination (
    id              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    down_since      INTEGER,
    next_try        INTEGER,
    tries           INTEGER NOT NULL DEFAULT 0,
    last_error      TEXT,
    last_error_at   INTEGER,
    last_success_at INTEGER
);

-- What must still reach whom: at most one row a record and destination, whatever changes meanwhile. The body is that of
-- the record. A second history takes whole conversations; its rows name the conversation.
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY,
    destination INTEGER NOT NULL,
    item        TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    -- 0 ready, 1 delayed until `due`, 2 parked with `last_error` as its reason
    state       INTEGER NOT NULL DEFAULT 0,
    due         INTEGER NOT NULL DEFAULT 0,
    tries       INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT
);
CREATE UNIQUE INDEX outbox_item ON outbox (item, destination);
CREATE INDEX outbox_ready ON outbox (destination, changed_at) WHERE state = 0;
CREATE INDEX outbox_delayed ON outbox (destination, due) WHERE state = 1;
CREATE INDEX outbox_parked ON outbox (destination, id) WHERE state = 2;

-- Click-to-call: the same request again gets the same answer.
CREATE TABLE request (
    crm     TEXT NOT NULL,
    request TEXT NOT NULL,
    answer  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (crm, request)
) WITHOUT ROWID;
CREATE INDEX request_at ON request (at);

-- Click-to-call: who asked for what.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    crm     TEXT NOT NULL,
    user    TEXT,
    request TEXT,
    caller  TEXT NOT NULL,
    called  TEXT NOT NULL,
    outcome TEXT NOT NULL,
    peer    TEXT
);
CREATE INDEX audit_at ON audit (at);
