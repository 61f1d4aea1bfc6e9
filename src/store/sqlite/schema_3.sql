-- Schema 3: what a CRM that takes events instead of states has been told of a record, kept as long as the record.
CREATE TABLE told (
    item        TEXT NOT NULL,
    destination INTEGER NOT NULL,
    text        TEXT NOT NULL,
    PRIMARY KEY (item, destination)
) WITHOUT ROWID;
