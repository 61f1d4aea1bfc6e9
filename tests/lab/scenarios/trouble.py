"""What breaks around the calls: the connector is killed, the CRM is ill, the line to Asterisk is cut, Asterisk crashes.

Each trouble is a function of a `Scene`: an office of its own on Asterisk 22, with a connector. It raises AssertionError with a sentence.
"""

import json
import random
import time

from .. import compare, processes
from ..ami_proxy import AmiProxy
from ..connector import Connector
from ..processes import wait_for
from ..story import Plan, Phones, Story

TROUBLES = []


def trouble(title, sections=None):
    """`sections`: see Connector."""
    def register(function):
        function.title, function.sections = title, sections
        TROUBLES.append(function)
        return function
    return register


class Scene:
    """An office with a connector, and stories that are played bit by bit."""

    def __init__(self, plan, office):
        self.office = office
        self.phones = Phones()
        self.stories = []
        # Between Asterisk and the connector: for bad lines, and to keep what the connector hears.
        self.proxy = AmiProxy((office.lane.connector, 5038), office.asterisk.ami_address, office.folder)
        try:
            self.connector = Connector(office, ami=self.proxy.address, sections=plan.sections)
            self.connector.start()
        except BaseException:
            self.proxy.close()
            raise

    def close(self):
        if self.connector.running():
            self.connector.thaw()
            status = self.connector.stop()
            assert status == 0, f"pinconnector ended with {status} on SIGTERM: {self.connector.tail()}"
        self.proxy.close()

    def story(self, name):
        story = Story(Plan(name, _nothing, ("22",)), self.office, self.phones)
        self.stories.append(story)
        return story

    def talk(self, name, answer=0.3):
        """A client calls and is answered. Returns (story, the client's call, the phone's leg, number called)."""
        s = self.story(name)
        did = s.did("200")
        ring = s.phone(s.exts[0], answer=answer)
        call = s.client_calls(did)
        call.wait_up()
        return s, call, ring.call(), did

    def arrived(self, story, status, extension=None, timeout_s=10):
        """Waits until a record of the story has this status at the CRM."""
        def there(_):
            return any(r.get("status") == status and extension in (None, r.get("extension")) for r in story.records())
        self.office.crm.wait(f"a record of '{story.plan.title}' that is {status}", there, timeout_s)

    def wait_for_all(self, timeout_s=15):
        """Until every story has exactly its records; else says what is different."""
        try:
            wait_for("all records", timeout_s, lambda: not any(s.judge() for s in self.stories), every_s=0.2)
        except TimeoutError:
            text = "; ".join(f"{s.plan.title}: {', '.join(s.judge())}" for s in self.stories if s.judge())
            raise AssertionError(text) from None
        self.no_faults()

    def outbox(self, *words):
        """What `pinconnector outbox WORDS` prints."""
        done = self.connector.command("outbox", *words)
        assert done.returncode == 0, f"outbox {' '.join(words)}: {done.stderr or done.stdout}"
        return done.stdout

    def no_faults(self):
        assert not self.office.crm.faults, f"at the CRM: {self.office.crm.faults[:3]}"


def _nothing(_):
    pass


@trouble("the connector is killed in mid-call and started again: calls that go on, end and begin meanwhile")
def killed(scene):
    goes_on, call_a, _, did_a = scene.talk("talks through it")
    ends, call_b, _, did_b = scene.talk("hangs up while it is down")
    answered = scene.story("rings before, is answered while it is down")
    did_c = answered.did("200")
    ring_c = answered.phone(answered.exts[0])
    call_c = answered.client_calls(did_c)
    call_c.wait_ringing()
    waits = scene.story("waits in the queue through it")
    call_d = waits.client_calls("+74951234533")
    call_d.wait_up()
    out = scene.story("outgoing, rings through it")
    out.outside()
    call_e = out.phone_calls(out.exts[0], out.number)
    call_e.wait_ringing()
    for story, status in ((goes_on, "in_progress"), (ends, "in_progress"), (answered, "ringing"), (waits, "ringing"), (out, "ringing")):
        scene.arrived(story, status)
    ids = {s: {r["id"] for r in s.records()} for s in scene.stories}
    scene.connector.kill()
    call_b.hangup()
    ring_c.call().answer()
    begins, call_f, _, did_f = scene.talk("begins while it is down")
    time.sleep(0.5)
    scene.connector.start()
    scene.arrived(begins, "in_progress")
    time.sleep(0.5)
    for call in (call_a, call_c, call_d, call_e, call_f):
        call.hangup()
    talked = lambda call: time.time() - call.times["up"]
    goes_on.must(goes_on.incoming(did_a, status="completed", extension=goes_on.exts[0], lead=True, ended_by="client", talk_seconds=talked(call_a)))
    ends.must(ends.incoming(did_b, status="completed", extension=ends.exts[0], lead=True))
    answered.must(answered.incoming(did_c, status="completed", extension=answered.exts[0], lead=True, ended_by="client"))
    waits.must(waits.incoming("+74951234533", status="missed", reason="queue", queue="nobody", extension=None, lead=True, ended_by="client"))
    out.must(out.outgoing(out.exts[0], status="cancelled", lead=True, ended_by="us"))
    begins.must({"direction": "incoming", "client_number": begins.client, "status": "completed", "extension": str(begins.exts[0]), "lead": True, "ended_by": "client"})
    scene.wait_for_all()
    for story, before in ids.items():
        now = {r["id"] for r in story.records()}
        assert before == now, f"{story.plan.title}: the ids were {sorted(before)} and are {sorted(now)}"


@trouble("calls that began while the connector was down: ringing, talking, outgoing, internal, in a group")
def began_unheard(scene):
    scene.connector.kill()
    talks = scene.story("outgoing, talks when it comes back")
    talks.outside(answer=0.1)
    call_a = talks.phone_calls(talks.exts[0], talks.number)
    call_a.wait_up()
    rings = scene.story("outgoing, rings when it comes back")
    rings.outside()
    call_b = rings.phone_calls(rings.exts[0], rings.number)
    call_b.wait_ringing()
    inside = scene.story("internal, talks when it comes back")
    inside.phone(inside.exts[1], caller=inside.exts[0], answer=0.1)
    call_c = inside.phone_calls(inside.exts[0], inside.exts[1])
    call_c.wait_up()
    group = scene.story("a group rings when it comes back")
    did = group.did("204")
    legs = [group.phone(e) for e in group.exts]
    call_d = group.client_calls(did)
    call_d.wait_ringing()
    scene.connector.start()
    time.sleep(1)
    legs[1].call().answer()
    call_d.wait_up()
    time.sleep(1)
    for call in (call_a, call_b, call_c, call_d):
        call.hangup()
    talks.must({"direction": "outgoing", "extension": str(talks.exts[0]), "client_number": talks.number, "status": "completed", "lead": True, "ended_by": "us"})
    rings.must({"direction": "outgoing", "extension": str(rings.exts[0]), "client_number": rings.number, "status": "cancelled", "lead": True, "ended_by": "us"})
    inside.must({"direction": "internal", "extension": str(inside.exts[1]), "from": str(inside.exts[0]), "status": "completed", "lead": True, "ended_by": "us"})
    group.must(*({"direction": "incoming", "extension": str(e), "client_number": group.client, "status": "completed" if e == group.exts[1] else "no_answer",
                  "lead": e == group.exts[1]} for e in group.exts))
    scene.wait_for_all()


@trouble("the connector is killed at random under many calls: what ended after a start of it is all there, once, and agrees with the CDRs")
def killed_at_random(scene):
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)
    scene.office.trunk.log(f"random seed {seed}")
    up = [(time.time(), None)]  # when the connector was up
    calls = []
    end = time.monotonic() + 20
    next_kill = time.monotonic() + 3
    while time.monotonic() < end:
        if len(scene.phones._blocks) < 2:
            break
        s = scene.story(f"call {len(calls) + 1}")
        did = s.did("204" if dice.random() < 0.4 else "200")
        group = did[5:8] == "204"
        answers = dice.random() < 0.7
        for n, extension in enumerate(s.exts[: 3 if group else 1]):
            s.phone(extension, answer=dice.uniform(0.2, 1) if answers and n == 0 else None)
        call = s.client_calls(did)
        call.after(dice.uniform(1.2, 4), call.hangup)
        calls.append((s, call))
        time.sleep(dice.uniform(0.2, 0.5))
        if time.monotonic() > next_kill:
            scene.connector.kill()
            up[-1] = (up[-1][0], time.time())
            time.sleep(dice.uniform(0.1, 0.6))
            scene.connector.start()
            up.append((time.time(), None))
            next_kill = time.monotonic() + dice.uniform(2.5, 4.5)
    for _, call in calls:
        call.wait_ended()
    scene.office.wait_idle()
    rows = scene.office.cdrs()

    def problems():
        out = []
        for s, call in calls:
            began, ended = call.times.get("ringing", call.times["ended"]), call.times["ended"]
            if not any(a < ended - 0.3 and (b is None or b > ended + 0.3) for a, b in up):
                continue  # it ended while nobody listened: only the CDRs can tell
            records = s.records()
            if not records:
                out.append(f"{s.plan.title}: no record")
            out += [f"{s.plan.title}: not final: {compare.short(r)}" for r in records if r.get("status") not in compare.FINAL]
            if records and sum(bool(r.get("lead")) for r in records) != 1:
                out.append(f"{s.plan.title}: {sum(bool(r.get('lead')) for r in records)} leads")
            if any(a < began - 0.5 and (b is None or b > ended + 0.3) for a, b in up):
                uniqueids = set(s.uniqueids())
                out += [f"{s.plan.title}: {text}" for text in compare.against_cdrs(records, [r for r in rows if r["linkedid"] in uniqueids])]
        return out

    try:
        wait_for("all records", 20, lambda: not problems(), every_s=0.3)
    except TimeoutError:
        raise AssertionError(f"seed {seed}, {len(up) - 1} kills: " + "; ".join(problems()[:6])) from None
    for s, _ in calls:  # also those that ended unseen must not stay open
        open_records = [compare.short(r) for r in s.records() if r.get("status") not in compare.FINAL]
        assert not open_records, f"seed {seed}: still open: {open_records}"
    scene.no_faults()
    return f"{len(calls)} calls, {len(up) - 1} kills, lost 0, duplicated 0"


@trouble("the CRM answers 401, 500, a login page, hangs up, redirects, 404, hangs; then well: all arrive, in order, none is parked")
def crm_ill(scene):
    crm = scene.office.crm
    illnesses = [("status", 401), ("status", 500), ("html",), ("close",), ("reset",), ("redirect", "http://127.0.0.1:9/"), ("status", 404), ("hang",)]
    for n, (mode, *details) in enumerate(illnesses):
        seen = len(crm.requests)
        crm.answers(mode, *details)
        s, call, _, did = scene.talk(f"while the CRM answers {mode} {details or ''}".strip())
        time.sleep(0.6)
        call.hangup()
        s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True, ended_by="client"))
        if n >= 4:
            # By now the connector leaves the CRM alone for longer and longer; an operator may have it try at once.
            scene.outbox("retry")
        crm.wait(f"a request it answers with {mode}", lambda c: len(c.requests) > seen, 30)
    assert not crm.newest, f"the CRM never said yes and has {list(crm.newest)}"
    rows = [json.loads(line) for line in scene.outbox("list", "--json").splitlines()]
    assert len(rows) == len(illnesses), f"{len(rows)} rows wait for {len(illnesses)} calls"
    parked = [row for row in rows if row.get("parked")]
    assert not parked, f"parked: {parked[0]}"
    crm.answers("ok")
    scene.outbox("retry")
    scene.wait_for_all(20)
    for key, revisions in crm.history.items():
        assert revisions == sorted(set(revisions)), f"{key}: revisions {revisions}"
    waits = scene.outbox("list", "--json")
    assert not waits, f"still waiting: {waits[:300]}"
    return f"{len(crm.requests)} requests, {len(crm.newest)} records"


@trouble("the CRM is away and comes back: the connector finds out by itself")
def crm_returns(scene):
    crm = scene.office.crm
    crm.answers("status", 503)
    s, call, _, did = scene.talk("while the CRM is away")
    call.hangup()
    crm.wait("three tries", lambda c: len(c.requests) >= 3, 20)
    crm.answers("ok")
    s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True))
    scene.wait_for_all(20)


@trouble("the CRM refuses one record (422): it alone is parked, the others arrive, and a retry brings it")
def crm_refuses_one(scene):
    crm = scene.office.crm
    crm.answers("status", 422)
    refused, call, _, did_r = scene.talk("the refused one")
    call.hangup()
    crm.wait("the refused record", lambda c: any(r.get("status") == "completed" for q in c.requests for r in q.records), 10)
    crm.answers("ok")
    other, call, _, did = scene.talk("the next one")
    call.hangup()
    other.must(other.incoming(did, status="completed", extension=other.exts[0], lead=True))
    wait_for("the next call's record", 15, lambda: not other.judge())
    assert not [r for r in refused.records() if r["status"] == "completed"], "a refused record was sent again by itself"
    scene.outbox("retry")
    refused.must(refused.incoming(did_r, status="completed", extension=refused.exts[0], lead=True))
    scene.wait_for_all(20)


@trouble("the line to Asterisk is cut in mid-call: calls go on, and one ends meanwhile")
def line_cut(scene):
    goes_on, call_a, _, did_a = scene.talk("goes on")
    ends, call_b, _, did_b = scene.talk("ends while the line is cut")
    scene.arrived(goes_on, "in_progress")
    scene.arrived(ends, "in_progress")
    logins = scene.connector.logins()
    scene.proxy.cut(refuse=True)
    call_b.hangup()
    begins, call_c, _, did_c = scene.talk("begins while the line is cut")
    time.sleep(0.5)
    scene.proxy.open()
    scene.connector.wait_login(logins)
    scene.arrived(begins, "in_progress")
    time.sleep(0.5)
    for call in (call_a, call_c):
        call.hangup()
    goes_on.must(goes_on.incoming(did_a, status="completed", extension=goes_on.exts[0], lead=True, ended_by="client", talk_seconds=time.time() - call_a.times["up"]))
    ends.must(ends.incoming(did_b, status="completed", extension=ends.exts[0], lead=True))
    begins.must({"direction": "incoming", "client_number": begins.client, "status": "completed", "extension": str(begins.exts[0]), "lead": True})
    scene.wait_for_all()


@trouble("the line to Asterisk falls silent without a word")
def line_silent(scene):
    s, call, _, did = scene.talk("goes on")
    scene.arrived(s, "in_progress")
    logins = scene.connector.logins()
    scene.proxy.stop_flow()
    try:
        wait_for("the connector gives up the silent line", 90, lambda: scene.proxy.connections > 1, every_s=0.2)
    finally:
        scene.proxy.resume_flow()
    scene.connector.wait_login(logins)
    time.sleep(0.5)
    call.hangup()
    s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True, ended_by="client"))
    scene.wait_for_all()


@trouble("Asterisk crashes in mid-call and starts again; channel names begin from zero")
def asterisk_crashes(scene):
    s, _, leg, did = scene.talk("cut off by the crash")
    rings = scene.story("rang at the crash")
    did_r = rings.did("200")
    rings.phone(rings.exts[0])
    rings.client_calls(did_r).wait_ringing()
    scene.arrived(s, "in_progress")
    scene.arrived(rings, "ringing")
    known = s.uniqueids(), rings.uniqueids()
    logins = scene.connector.logins()
    scene.office.asterisk.crash()
    scene.office.asterisk.start()
    s.uniqueids, rings.uniqueids = (lambda: known[0]), (lambda: known[1])
    scene.connector.wait_login(logins)
    scene.office.record()
    s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True, ended_by="pbx"))
    rings.must(rings.incoming(did_r, status="missed", extension=rings.exts[0], lead=True, ended_by="pbx"))
    after, call, _, did_a = scene.talk("after the restart")
    call.hangup()
    after.must(after.incoming(did_a, status="completed", extension=after.exts[0], lead=True, ended_by="client"))
    scene.wait_for_all()


@trouble("Hangup events are swallowed: the audit ends the calls", sections={"[asterisk]": "audit_s = 5\n"})
def hangup_swallowed(scene):
    scene.proxy.swallow(lambda name, fields: name in ("Hangup", "BridgeLeave", "BridgeDestroy", "HangupRequest", "SoftHangupRequest", "Cdr"))
    s, call, _, did = scene.talk("its end is swallowed")
    scene.arrived(s, "in_progress")
    call.hangup()
    wait_for("events were swallowed", 5, lambda: "Hangup" in scene.proxy.swallowed)
    scene.proxy.swallow(None)
    s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True))
    scene.wait_for_all(20)


@trouble("the first events of a call are swallowed: the audit takes it in", sections={"[asterisk]": "audit_s = 5\n"})
def beginning_swallowed(scene):
    scene.proxy.swallow(lambda name, fields: True)
    s, call, _, did = scene.talk("its beginning is swallowed")
    time.sleep(0.5)
    scene.proxy.swallow(None)
    scene.arrived(s, "in_progress", timeout_s=20)
    call.hangup()
    s.must({"direction": "incoming", "client_number": s.client, "status": "completed", "extension": str(s.exts[0]), "lead": True, "ended_by": "client"})
    scene.wait_for_all()


@trouble("`capture` records the live line beside the service, and `replay` makes the same records of it")
def captured(scene):
    """Not a trouble, but what an operator does when he has one."""
    path = scene.office.folder / "bug.ami"
    log = scene.office.folder / "capture.log"
    recording = processes.start([scene.connector.program, "--config", scene.connector.config, "capture", path, "--seconds", "6"], log)
    hidden = scene.office.folder / "bug-redacted.ami"
    hidden_log = scene.office.folder / "capture-redacted.log"
    hiding = processes.start([scene.connector.program, "--config", scene.connector.config, "capture", hidden, "--redact", "--seconds", "6"], hidden_log)
    for file in (log, hidden_log):
        wait_for("capture has logged in", 5, lambda: "logged in" in file.read_text())
    s, call, _, did = scene.talk("while a capture runs", answer=0.8)
    time.sleep(1.5)
    call.hangup()
    s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True, talk_seconds=1.5))
    scene.wait_for_all()
    assert recording.wait(15) == 0, log.read_text()[-500:]
    done = scene.connector.command("replay", "--json", str(path))
    assert done.returncode == 0, done.stderr
    replayed = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(replayed) == 1, f"{len(replayed)} records of one call"
    lived = s.records()[0]
    assert hiding.wait(15) == 0, hidden_log.read_text()[-500:]
    done = scene.connector.command("replay", "--json", str(hidden))
    redacted = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(redacted) == 1, f"{len(redacted)} records of one call, redacted: {done.stderr}"
    for field in ("direction", "status", "extension", "hangup_cause", "ended_by", "lead", "conversation"):
        assert redacted[0].get(field) == replayed[0].get(field), f"{field} is {redacted[0].get(field)!r} in the redacted capture"
    for field in ("client_number", "did"):
        shown, real = redacted[0][field], lived[field]
        assert shown != real and len(shown) == len(real) and shown[:-6] == real[:-6], f"{field}: {real} became {shown}"
        assert real.encode() not in hidden.read_bytes(), f"{real} is still in {hidden}"
    for field in ("direction", "status", "client_number", "did", "extension", "hangup_cause", "ended_by", "lead"):
        assert replayed[0].get(field) == lived.get(field), f"{field} is {replayed[0].get(field)!r}, live it was {lived.get(field)!r}"
    for field in ("ring_seconds", "talk_seconds", "total_seconds"):
        assert abs(replayed[0][field] - lived[field]) < 0.1, f"{field} is {replayed[0][field]}, live it was {lived[field]}"
