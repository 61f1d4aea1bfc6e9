"""Asterisk's own call records, as Master.csv keeps them with the settings we ship. Leaves comparing to compare.py."""

import csv

# The order of cdr_csv with loguniqueid, loguserfield and newcdrcolumns.
COLUMNS = ["accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start", "answer", "end", "duration",
           "billsec", "disposition", "amaflags", "uniqueid", "userfield", "peeraccount", "linkedid", "sequence"]


def read(path):
    """All rows so far, as dicts; numbers are ints."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]  # Asterisk may be writing the next line
    rows = []
    for values in csv.reader(whole.splitlines()):
        if len(values) != len(COLUMNS):
            raise ValueError(f"{path}: {len(values)} columns in place of {len(COLUMNS)}: {values}")
        row = dict(zip(COLUMNS, values))
        row["duration"], row["billsec"] = int(row["duration"]), int(row["billsec"])
        rows.append(row)
    return rows


def of_call(rows, number):
    """The rows of all calls in which this outside number took part."""
    linkedids = {r["linkedid"] for r in rows if number in (r["src"], r["dst"]) or r["dst"].endswith(number)}
    return [r for r in rows if r["linkedid"] in linkedids]
