"""What the connector remembers is wrong, gone or old: its secret, its database, yesterday's copy of it.

Troubles as in trouble.py, of which they are a part.
"""

import json
import shutil
import signal
import time

from .. import compare
from ..processes import wait_for
from .trouble import trouble

CALLS_OF_A_DAY = 12


def _databases(connector):
    """The database with the files beside it."""
    return [p for p in connector.database.parent.iterdir() if p.name in (connector.database.name, f"{connector.database.name}-wal", f"{connector.database.name}-shm")]


def _short_call(scene, name):
    s, call, _, did = scene.talk(name, answer=0.1)
    time.sleep(0.3)
    call.hangup()
    s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True, ended_by="client"))
    return s


def _reload(connector):
    said = connector.log.read_text(errors="replace").count("the new configuration is in force")
    connector.child.send_signal(signal.SIGHUP)
    wait_for("the reload", 10, lambda: connector.log.read_text(errors="replace").count("the new configuration is in force") > said)


@trouble("a wrong secret for all calls of a day, then the right one: all arrive, none was parked")
def wrong_secret(scene):
    crm, connector = scene.office.crm, scene.connector
    right = connector.config.read_text()
    connector.config.write_text(right.replace(f'secret = "{crm.secret}"', 'secret = "of-last-year-and-long-enough"'))
    assert connector.config.read_text() != right
    _reload(connector)
    for n in range(CALLS_OF_A_DAY):
        _short_call(scene, f"call {n} of the day")
    crm.wait("a request with the wrong signature", lambda c: any(r.signed is False for r in c.requests), 20)
    wait_for("all calls to be stored", 15, lambda: len(scene.outbox("list", "--json").splitlines()) == CALLS_OF_A_DAY)
    assert not crm.newest, f"the CRM took {list(crm.newest)} with a wrong signature"
    rows = [json.loads(line) for line in scene.outbox("list", "--json").splitlines()]
    assert not any(row.get("parked") for row in rows), f"parked: {rows}"
    assert "401" in rows[0].get("last_error", "") + connector.tail(200), "nobody says why nothing arrives"
    connector.config.write_text(right)
    _reload(connector)  # which tries at once whoever was down
    scene.wait_for_all(30)
    wait_for("the outbox to be empty", 10, lambda: not scene.outbox("list", "--json"))
    return f"{CALLS_OF_A_DAY} calls, {sum(r.signed is False for r in crm.requests)} refused requests"


@trouble("the database is deleted in mid-call: the call ends as it did; after a restart what goes on keeps its conversation")
def database_deleted(scene):
    connector = scene.connector
    ends, call_a, _, did_a = scene.talk("ends while there is no database")
    goes_on, call_b, _, did_b = scene.talk("goes on into the next life")
    for story in (ends, goes_on):
        scene.arrived(story, "in_progress")
    for path in _databases(connector):
        path.unlink()
    time.sleep(0.3)
    call_a.hangup()
    ends.must(ends.incoming(did_a, status="completed", extension=ends.exts[0], lead=True, ended_by="client"))
    scene.arrived(ends, "completed")
    connector.kill()
    connector.start()
    wait_for("the call to be taken in again", 10, lambda: any(int(r["id"].rsplit("-", 1)[1]) > 1000 for r in goes_on.records()))
    call_b.hangup()
    scene.arrived(goes_on, "completed")
    # A receiver that knows the conversation and its phone goes on with its own record (the module does); this one keeps both.
    records = goes_on.records()
    assert len({r["conversation"] for r in records}) == 1, f"one call, {[compare.short(r) for r in records]}"
    newest = max(records, key=lambda r: r["revision"])
    assert (newest["status"], newest["extension"], newest["did"]) == ("completed", str(goes_on.exts[0]), did_b), compare.short(newest)
    scene.stories.remove(goes_on)
    after = _short_call(scene, "after all that")
    scene.wait_for_all(20)
    assert len(after.records()) == 1


@trouble("a backup of yesterday is restored: the CRM ends with the true state of every call, and new calls arrive")
def backup_restored(scene):
    crm, connector = scene.office.crm, scene.connector
    crm.answers("status", 503)
    waited = _short_call(scene, "waits for the CRM when the backup is made")
    before, call, _, did = scene.talk("goes on while the backup is made")
    wait_for("both calls to be stored", 15, lambda: len(scene.outbox("list", "--json").splitlines()) == 2)
    copy = connector.folder / "yesterday.db"
    done = connector.command("backup", str(copy))
    assert done.returncode == 0, done.stderr
    crm.answers("ok")
    scene.outbox("retry")
    call.hangup()
    before.must(before.incoming(did, status="completed", extension=before.exts[0], lead=True, ended_by="client"))
    since = [_short_call(scene, f"call {n} since the backup") for n in range(3)]
    scene.wait_for_all(20)
    truth = {key: (r["status"], r.get("talk_seconds"), r.get("ended_by")) for key, r in crm.newest.items()}
    assert connector.stop() == 0, connector.tail()
    for path in _databases(connector):
        path.unlink()
    shutil.copy(copy, connector.database)
    connector.start()
    after = _short_call(scene, "after the restoring")
    wait_for("the old outbox to be empty and all calls as they were", 30, lambda: not scene.outbox("list", "--json") and not any(s.judge() for s in scene.stories))
    # What waited when the copy was made comes once more, as old as it is: a receiver keeps the highest revision.
    crm.faults[:] = [fault for fault in crm.faults if " came after " not in fault]
    scene.no_faults()
    for key, was in truth.items():
        now = crm.newest[key]
        assert (now["status"], now.get("talk_seconds"), now.get("ended_by")) == was, f"{key} was {was} and is {compare.short(now)}"
    assert len(after.records()) == 1 and all(len(s.records()) == 1 for s in (waited, before, *since))
    return f"{len(crm.newest)} records"
