"""Compares the records that arrived with what must be, and with Asterisk's own call records.

In what is expected: a value is exact; None means absent; `conversation` is a number (1 if not said): records with the same
number are in one conversation, others are not; `has_recording` looks at `recordings`; seconds may differ by one; a
function decides for itself; a field that is not named is not looked at.
"""

import re

TOLERANCE_S = 1.0
FINAL = {"completed", "missed", "no_answer", "busy", "failed", "cancelled"}


def differences(expected, records):
    """A list of sentences; empty if the records are as expected. The order of both does not matter."""
    out = []
    left = list(records)
    groups = {}
    for want in expected:
        who = {k: want.get(k) for k in ("extension", "phone")}
        mine = [r for r in left if all(r.get(k) == v for k, v in who.items())]
        name = who["extension"] or who["phone"] or "the call without a phone"
        if not mine:
            out.append(f"no record of {name}")
            continue
        # Of several records of one phone, the one that fits best.
        best = min(mine, key=lambda r: len(_fields(want, r)))
        left.remove(best)
        groups.setdefault(want.get("conversation", 1), set()).add(best.get("conversation"))
        out += [f"{name}: {text}" for text in _fields(want, best)]
    out += [f"a record too much: {short(r)}" for r in left]
    for number, names in groups.items():
        if len(names) > 1:
            out.append(f"conversation {number} fell apart: {sorted(names)}")
    if len(set().union(*groups.values())) < len(groups):
        out.append("conversations that have nothing to do with each other were joined")
    for conversation in {r.get("conversation") for r in records}:
        leads = sum(bool(r.get("lead")) for r in records if r.get("conversation") == conversation)
        if leads != 1:
            out.append(f"{leads} lead records in place of one in {conversation}")
    ids = [r.get("id") for r in records]
    if len(set(ids)) != len(ids):
        out.append(f"the same id twice: {ids}")
    return out


def _fields(want, record):
    out = []
    for field, value in want.items():
        got = record.get(field)
        if field == "conversation":
            continue
        if field == "has_recording":
            if bool(record.get("recordings")) != value:
                out.append(f"recordings is {record.get('recordings')!r}")
        elif callable(value):
            if not value(got):
                out.append(f"{field} is {got!r}")
        elif field.endswith("_seconds") and isinstance(value, (int, float)):
            if abs((got or 0) - value) > TOLERANCE_S:
                out.append(f"{field} is {got!r} in place of {value!r}")
        elif value is False or value is None:
            if got not in (None, False):
                out.append(f"{field} is {got!r} in place of {'absent' if value is None else value!r}")
        elif got != value:
            out.append(f"{field} is {got!r} in place of {value!r}")
    return out


def short(record):
    """The fields that matter at first sight."""
    keys = "id direction status reason client_number from to did extension phone lead talk_seconds ring_seconds hangup_cause ended_by".split()
    return " ".join(f"{k}={record[k]}" for k in keys if k in record)


# -- Asterisk's own CDRs ----------------------------------------------------------------------------------------------

def _endpoint(channel):
    found = re.match(r"[A-Za-z0-9]+/(.+)-[0-9a-f]{8}$", channel)
    return found.group(1) if found else ""


def against_cdrs(records, rows):
    """Compares records of one or more conversations with the CDR rows of the same calls; a list of sentences.

    A row with a destination channel is a phone that was dialled: it must have a record, and the seconds Asterisk bills are the
    seconds its phone talked. Rows without one are calls that reached nobody: a missed record without a phone, or nothing.
    """
    out = []
    billed, dialled = {}, set()
    for row in rows:
        if not row["dstchannel"] or row["dstchannel"].startswith("Local/") or row["channel"].startswith("Local/"):
            continue
        ours, theirs = _endpoint(row["channel"]), _endpoint(row["dstchannel"])
        person = theirs if re.fullmatch(r"\d{2,5}", theirs) else ours
        if not re.fullmatch(r"\d{2,5}", person):
            continue
        dialled.add(person)
        if row["disposition"] == "ANSWERED":
            billed[person] = billed.get(person, 0) + row["billsec"]
    by_person = {r.get("extension"): r for r in records if r.get("extension")}
    for person in sorted(dialled):
        record = by_person.get(person)
        if record is None:
            out.append(f"Asterisk's CDRs name {person}, no record does")
            continue
        talk, bill = record.get("talk_seconds") or 0, billed.get(person)
        if bill is None and talk > TOLERANCE_S:
            out.append(f"{person}: talk_seconds {talk}, but Asterisk has no answered CDR")
        # billsec is cut to whole seconds, row by row; where the dialplan had answered before (menu, queue), it counts from there.
        elif bill is not None and not ((0 if {"menu", "queue"} & set(record) else bill - TOLERANCE_S) <= talk <= bill + len(rows) + TOLERANCE_S):
            out.append(f"{person}: talk_seconds {talk}, Asterisk billed {bill}")
    for person, record in by_person.items():
        if record.get("status") == "completed" and person not in billed and rows:
            out.append(f"{person} is completed, but Asterisk has no answered CDR of it")
    return out


def conversations_missing(records, rows, pbx, without_record):
    """Linkedids in the CDRs that no record knows. `without_record(row)` tells calls that make none (features)."""
    known = {r["conversation"] for r in records} | {r["id"].rsplit("-", 1)[0] for r in records}
    missing = {}
    for row in rows:
        if f"{pbx}-{row['linkedid']}" not in known and not without_record(row):
            missing.setdefault(row["linkedid"], row)
    return [f"no record of the call {linkedid} from {row['src']} to {row['dst']} at {row['start']} ({row['disposition']})"
            for linkedid, row in missing.items()]
