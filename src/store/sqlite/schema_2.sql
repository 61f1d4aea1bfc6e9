-- Schema 2: the contact directory, so that the dialplan is answered after a restart while the CRM is away.

-- Where each CRM's directory stands.
CREATE TABLE directory_state (
    id     INTEGER PRIMARY KEY,
    crm    TEXT NOT NULL UNIQUE,
    -- Where to go on asking; empty: from the beginning.
    cursor TEXT NOT NULL DEFAULT '',
    -- The users as the CRM gave them, opaque here.
    users  TEXT NOT NULL DEFAULT ''
);

-- Numbers and whose they are; several clients may have one.
CREATE TABLE directory (
    crm          INTEGER NOT NULL,
    number       TEXT NOT NULL,
    module       TEXT NOT NULL,
    id           TEXT NOT NULL,
    name         TEXT NOT NULL,
    user         TEXT,
    caller_id    TEXT,
    contacted_at INTEGER NOT NULL,
    -- The full walk that saw it last.
    walk         INTEGER NOT NULL,
    PRIMARY KEY (crm, number, module, id)
) WITHOUT ROWID;
