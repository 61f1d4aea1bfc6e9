"""What a CRM asks of the connector over HTTP, with a real Asterisk behind it: click-to-call, recordings, status."""

import json
import time

from .. import compare
from ..processes import wait_for
from .trouble import trouble

QUICK = {"click_to_call": "ring_s = 5\n"}


class Click:
    """One request of the CRM to call `to` from the phone `extension`."""

    def __init__(self, scene, name, extension, to, **fields):
        self.scene, self.name, self.extension = scene, name, str(extension)
        answers = []

        def linked():
            answers.append(scene.connector.ask("POST", "/api/v1/calls", {"from": self.extension, "to": str(to), **fields}))
            return answers[-1][0] != 503

        # Just after a start the link is up, and the window hears of it a moment later; 503 dials nothing.
        wait_for("the window knows of the link", 5, linked, every_s=0.05)
        status, _, body = answers[-1]
        self.answer = json.loads(body)
        assert status == 202, f"{name}: {status} {body[:300]!r}"
        self.request = self.answer["request"]
        self.states = []

    def state(self):
        status, _, body = self.scene.connector.ask("GET", f"/api/v1/calls/{self.request}")
        assert status == 200, f"{self.name}: GET answers {status} {body[:200]!r}"
        state = json.loads(body)["state"]
        if not self.states or self.states[-1] != state:
            self.states.append(state)
        return state

    def wait(self, *states, timeout_s=10):
        try:
            return wait_for(self.name, timeout_s, lambda: self.state() in states, every_s=0.05)
        except TimeoutError:
            raise AssertionError(f"{self.name}: the request is not {' or '.join(states)} within {timeout_s} s; it was {self.states}") from None

    def records(self):
        return self.scene.office.crm.records(lambda r: r.get("request") == self.request)

    def must(self, want):
        """Exactly one record, and this one."""
        want = {"click_to_call": True, "extension": self.extension, "from": self.extension, "lead": True, **want}
        try:
            wait_for("its record", 10, lambda: not compare.differences([want], self.records()), every_s=0.1)
        except TimeoutError:
            raise AssertionError(f"{self.name}: {'; '.join(compare.differences([want], self.records()))} {[compare.short(r) for r in self.records()]}") from None


@trouble("click-to-call: answered, busy, given up by the agent, agent busy, agent not there, internal, asked twice", sections=QUICK)
def clicks(scene):
    office = scene.office
    stories = {n: scene.story(n) for n in "answered busy ignored refused twice inside".split()}
    s = stories["answered"]
    me = office.phone(s.exts[0], None, ring=0.05, answer=0.8)
    there = s.outside(answer=1)
    answered = Click(scene, "answered", s.exts[0], s.number, request="req-answered", crm_record="12x345")
    answered.wait("agent_ringing")
    assert answered.answer["request"] == "req-answered", answered.answer
    answered.wait("customer_ringing")

    busy = stories["busy"]
    office.phone(busy.exts[0], None, ring=0.05, answer=0.3)
    busy.outside(reject=(486, 0.5))
    busy_click = Click(scene, "customer busy", busy.exts[0], busy.number)

    ignored = stories["ignored"]
    office.phone(ignored.exts[0], None, ring=0.05)
    ignored_click = Click(scene, "agent does not answer", ignored.exts[0], ignored.number)

    refused = stories["refused"]
    office.phone(refused.exts[0], None, ring=0.05, reject=(486, 0.3))
    refused_click = Click(scene, "agent is busy", refused.exts[0], refused.number)
    absent_click = Click(scene, "agent's phone is not there", "106", refused.number)

    inside = stories["inside"]
    office.phone(inside.exts[0], None, ring=0.05, answer=0.3)
    colleague = office.phone(inside.exts[1], None, ring=0.05, answer=0.5)
    inside_click = Click(scene, "internal", inside.exts[0], inside.exts[1])

    twice = stories["twice"]
    phone = office.phone(twice.exts[0], None, ring=0.05)
    first = Click(scene, "asked once", twice.exts[0], twice.number, request="req-twice")
    phone.call()
    again = Click(scene, "asked twice", twice.exts[0], twice.number, request="req-twice")
    assert again.answer == first.answer, f"{again.answer} in place of {first.answer}"

    answered.wait("talking")
    time.sleep(1)
    there.call().hangup()
    answered.wait("done")
    order = [x for x in ("queued", "agent_ringing", "customer_ringing", "talking", "done") if x in answered.states]
    assert answered.states == order, f"the states came as {answered.states}"
    assert me.call().times["up"] < there.call().times["up"]
    outgoing = {"direction": "outgoing", "did": None}
    answered.must({**outgoing, "status": "completed", "client_number": s.number, "to": s.number, "crm_record": "12x345", "talk_seconds": 1, "ring_seconds": 1, "ended_by": "client"})
    colleague.call().wait_up()
    time.sleep(0.5)
    colleague.call().hangup()
    inside_click.must({"direction": "internal", "status": "completed", "to": str(inside.exts[1]), "client_number": None, "extension": str(inside.exts[1])})
    busy_click.must({**outgoing, "status": "busy", "client_number": busy.number, "talk_seconds": 0})
    refused_click.must({**outgoing, "status": "cancelled", "reason": "agent_busy"})
    absent_click.must({**outgoing, "status": "cancelled", "reason": "agent_unreachable", "extension": "106"})
    ignored_click.must({**outgoing, "status": "cancelled", "reason": "agent_no_answer", "talk_seconds": 0})
    first.must({**outgoing, "status": "cancelled", "reason": "agent_no_answer"})
    assert len(phone.calls) == 1, f"the phone was called {len(phone.calls)} times for one request"
    ignored_click.wait("failed", "done")
    scene.no_faults()


@trouble("click-to-call is refused where it must be: 400, 401, 403, 404, 409, 422; without a link 503", sections={"click_to_call": 'ring_s = 5\ndeny = ["_810."]\n'})
def clicks_refused(scene):
    s = scene.story("refusals")
    number = s.number

    def status(**body):
        code, _, answer = scene.connector.ask("POST", "/api/v1/calls", body)
        parsed = json.loads(answer)
        assert code == 202 or {"error", "message"} <= set(parsed), f"{body}: {code} {answer[:200]!r}"
        return code

    me = str(s.exts[0])
    # The link is up; the window hears of it a moment later.
    wait_for("the window knows of the link", 5, lambda: status(**{"from": me, "to": "call me"}) != 503, every_s=0.05)
    assert (got := status(**{"from": me, "to": "call me"})) in (400, 422), f"a number that is none: {got}"
    assert (got := status(**{"from": "trunk-msk", "to": number})) in (400, 403), f"from a trunk: {got}"
    assert (got := status(**{"from": me, "to": number, "pbx": "nowhere"})) == 404, f"an unknown pbx: {got}"
    assert (got := status(**{"from": me, "to": number, "context": "from-trunk"})) == 403, f"a context that is not allowed: {got}"
    assert (got := status(**{"from": me, "to": "81044123456789"})) == 422, f"a denied number: {got}"
    assert (got := status(**{"from": me, "to": number + "\r\nAction: Originate"})) in (400, 422), f"a number with a line break: {got}"
    secret, scene.office.crm.secret = scene.office.crm.secret, "wrong"
    got = status(**{"from": me, "to": number})
    scene.office.crm.secret = secret
    assert got == 401, f"a wrong signature: {got}"
    scene.office.phone(me, None, ring=0.05)
    click = Click(scene, "rings", me, number)
    click.wait("agent_ringing")
    assert (got := status(**{"from": me, "to": number, "request": "another"})) == 409, f"the agent already has one ringing: {got}"
    status_code, _, body = scene.connector.ask("DELETE", f"/api/v1/calls/{click.request}")
    assert status_code in (200, 202, 204, 403, 409), f"DELETE: {status_code} {body[:200]!r}"
    click.wait("failed", "done")
    scene.proxy.cut(refuse=True)
    wait_for("without a link 503", 10, lambda: status(**{"from": str(s.exts[1]), "to": number}) == 503, every_s=0.3)
    scene.proxy.open()


# The PBX names the file by its own path, which is another one here: it is found by its name.
@trouble("a recording is served to the CRM: whole, a part, its head; and not to others", sections={"recordings": 'search = ["{year}/{month}/{day}"]\n'})
def recording_served(scene):
    s = scene.story("recorded")
    did = s.did("201")
    s.phone(s.exts[0], answer=0.3)
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(2)
    call.hangup()
    s.must(s.incoming(did, status="completed", extension=s.exts[0], has_recording=True))
    scene.wait_for_all()
    recording = s.records()[0]["recordings"][0]
    target = f"/recordings/{recording['id']}"
    name = recording["file"].removeprefix(f"{scene.office.asterisk.inside}/spool/monitor/")
    sound = scene.office.asterisk.recordings / name
    wait_for("the recording is written", 5, lambda: sound.is_file() and sound.stat().st_size > 16_000)
    wait_for("the recording can be heard", 10, lambda: scene.connector.ask("GET", target)[0] == 200, every_s=0.2)
    def ready():
        said = s.records()[0]["recordings"][0]
        return said.get("state") == "ready" and said.get("size") == sound.stat().st_size
    wait_for("the record says that the recording is ready, and its size", 15, ready)
    status, headers, body = scene.connector.ask("GET", target)
    assert body == sound.read_bytes(), f"{len(body)} bytes in place of {sound.stat().st_size}"
    assert headers["content-type"] in ("audio/wav", "audio/x-wav", "audio/vnd.wave"), headers["content-type"]
    status, headers, part = scene.connector.ask("GET", target, headers={"Range": "bytes=44-1043"})
    assert status == 206 and part == body[44:1044], f"{status}, {len(part)} bytes"
    status, headers, nothing = scene.connector.ask("HEAD", target)
    assert status == 200 and not nothing and int(headers["content-length"]) == len(body), f"HEAD: {status} {headers}"
    secret, scene.office.crm.secret = scene.office.crm.secret, "wrong"
    status, _, answer = scene.connector.ask("GET", target)
    scene.office.crm.secret = secret
    assert status in (401, 403) and b"RIFF" not in answer, f"a wrong signature: {status}"
    status, _, _ = scene.connector.ask("GET", "/recordings/..%2f..%2fetc%2fpasswd")
    assert status in (400, 404), f"a path: {status}"
