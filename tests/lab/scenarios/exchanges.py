"""Two real exchanges (Asterisk 22 and 16) and three CRMs at one connector: nobody meets what is another's, nobody waits for another.

The exchanges are `lab` and `spb`. The CRM `rest` takes the numbers +7495205XXX of both, else `lab` has those of its exchange and
`second` those of spb; +7495208XXX names `second` in the dialplan, late. Between the exchanges is a trunk, `peer` on both: 7 and a phone's
number calls the other's phone, and so does +7495209XXX.
"""

import hashlib
import hmac
import http.client
import json
import os
import time

from .. import dialplan
from ..asterisk import SECRET
from ..connector import Connector
from ..office import Office, new_client
from ..processes import wait_for
from ..receiver import Receiver

CHECKS = []


def check(title):
    def register(function):
        function.title = title
        CHECKS.append(function)
        return function
    return register


BETWEEN = """exten => _7[12]XX,1,Dial(PJSIP/${EXTEN:1}@peer,8,tT)
 same => n,Hangup()
[from-trunk](+)
exten => _+7495209XXX,1,Dial(PJSIP/${EXTEN:-3}@peer,8,tT)
 same => n,Hangup()
"""


class Exchanges:
    """Use as a context."""

    def __init__(self, folder):
        self.offices, self.others = [], []
        try:
            self.lab = self._office("22", folder / "lab")
            self.spb = self._office("16", folder / "spb")
            self.first = self.lab.crm
            self.second = self._crm("second", "lab-Secret-of-the-second-CRM-0123")
            self.rest = self._crm("rest", "lab-Secret-of-the-third-CRM-01234")
            self._trunk_between(self.lab, self.spb)
            self._trunk_between(self.spb, self.lab)
            self.phones = iter(list(dialplan.blocks()))
            self.connector = Connector(self.lab, folder=folder, sections=self._sections())
            self.connector.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if hasattr(self, "connector") and self.connector.running():
            self.connector.stop()
        for crm in self.others:
            crm.close()
        for office in self.offices:
            office.close()

    def _office(self, version, folder):
        office = Office(version, folder, extra_dialplan=BETWEEN, keep_messages=False)
        self.offices.append(office)
        return office

    def _trunk_between(self, office, other):
        """Both must have their addresses before either can name the other's."""
        there = other.lane.pbx
        with open(office.asterisk.folder / "etc" / "pjsip.conf", "a") as out:
            out.write(f"[peer](common)\ncontext = from-internal\naors = peer\n[peer]\ntype = aor\ncontact = sip:{there}:5060\n"
                      f"[peer]\ntype = identify\nendpoint = peer\nmatch = {there}/32\n")
        office.asterisk.command("module reload res_pjsip.so")

        def there_is_one():
            office.asterisk.command("module reload res_pjsip_endpoint_identifier_ip.so")
            return "peer" in str(office.asterisk.command("pjsip show identifies"))

        wait_for("the trunk between the exchanges", 10, there_is_one)

    def kept(self, *words):
        """Records in the connector's own history."""
        done = self.connector.command("calls", "--json", "--since", "1h", "--limit", "1000", *words)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def _crm(self, key, secret):
        crm = Receiver((self.lab.lane.crm, 0), secret=secret, key=key)
        self.others.append(crm)
        return crm

    def _sections(self):
        def cdr(office):
            return f'\n[asterisk.cdr]\nkind = "csv"\npath = {json.dumps(str(office.asterisk.master_csv()))}\ntime_zone = "UTC"\n'

        def crm(receiver, match):
            return (f'\n[[crm]]\nname = "{receiver.key}"\nkind = "webhook"\nurl = "{receiver.url}"\nsecret = "{receiver.secret}"\n'
                    f"timeout_s = 3\nconnect_timeout_s = 2\nmatch = {match}\n")

        ami = self.spb.asterisk.ami_address
        peers = 'peers = { peer = "%s" }\n'
        spb = (f'\n[[asterisk]]\nname = "spb"\nhost = "{ami[0]}"\nport = {ami[1]}\nusername = "pinconnector"\nsecret = "{SECRET}"\n'
               f'time_zone = "Asia/Yekaterinburg"\nrecordings = {json.dumps(str(self.spb.asterisk.recordings))}\n' + peers % "lab")
        return {
            "[asterisk]": peers % "spb" + cdr(self.lab) + spb + cdr(self.spb),
            # Its own come last: what fits the others is not its.
            "[crm]": 'match = { pbx = ["lab"], did = ["_+749520[0-46-9]."] }\n' + crm(self.rest, '{ did = ["_+7495205."] }') + crm(self.second, '{ pbx = ["spb"] }'),
            "click_to_call": "ring_s = 5\n",
        }

    def talk(self, office, prefix="200", seconds=0.5):
        """A client calls a phone of its own in this office and is answered. Returns (client, extension)."""
        extension, client = next(self.phones)[0], new_client()
        office.phone(extension, client, ring=0.05, answer=0.2)
        call = office.client_calls(f"+7495{prefix}{extension}", client)
        call.wait_up()
        time.sleep(seconds)
        call.hangup()
        return client, str(extension)

    def arrived(self, crm, client, timeout_s=15, status="completed"):
        """The record of this client, once it is over, at this CRM."""
        def mine(r):
            return r.get("client_number") == client and r.get("status") == status
        crm.wait(f"the call of {client}", lambda c: any(mine(r) for r in c.newest.values()), timeout_s)
        return crm.records(mine)[0]

    def nowhere_else(self, client, *but):
        for crm in (self.first, self.second, self.rest):
            known = [r for r in crm.records(lambda r: r.get("client_number") == client)]
            assert crm in but or not known, f"{crm.key} has the call of {client}: {known}"

    def ask(self, crm, method, target, body=None):
        """A request with the key of this CRM."""
        data = json.dumps(body).encode() if body is not None else b""
        now, nonce = str(int(time.time())), os.urandom(16).hex()
        text = "\n".join([method, target, now, nonce, hashlib.sha256(data).hexdigest()])
        signature = hmac.new(crm.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-PIN-Key": crm.key, "X-PIN-Time": now, "X-PIN-Nonce": nonce, "X-PIN-Signature": signature}
        connection = http.client.HTTPConnection(self.connector.http, timeout=10)
        try:
            connection.request(method, target, data or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@check("the same extension on two exchanges is two people, and each CRM has its own calls")
def two_people(x):
    extension, one, other = next(x.phones)[0], new_client(), new_client()
    for office, client in ((x.lab, one), (x.spb, other)):
        office.phone(extension, client, ring=0.05, answer=0.2)
    calls = [x.lab.client_calls(f"+7495200{extension}", one), x.spb.client_calls(f"+7495200{extension}", other)]
    for call in calls:
        call.wait_up()
    time.sleep(0.5)
    for call in calls:
        call.hangup()
    first, second = x.arrived(x.first, one), x.arrived(x.second, other)
    assert (first["extension"], second["extension"]) == (f"lab/{extension}", f"spb/{extension}"), (first, second)
    assert (first["pbx"], second["pbx"]) == ("lab", "spb")
    assert first["id"].startswith("lab-") and second["id"].startswith("spb-")
    x.nowhere_else(one, x.first)
    x.nowhere_else(other, x.second)
    client, _ = x.talk(x.spb, "205")
    x.arrived(x.rest, client)
    x.nowhere_else(client, x.rest)


@check("a CRM that is down delays nobody, and gets everything afterwards")
def one_is_down(x):
    x.second.answers("hang")
    try:
        late = [x.talk(x.spb)[0] for _ in range(3)]
        began = time.monotonic()
        for office, crm, prefix in ((x.lab, x.first, "200"), (x.spb, x.rest, "205"), (x.lab, x.first, "200")):
            x.arrived(crm, x.talk(office, prefix)[0], timeout_s=10)
        took = time.monotonic() - began
        assert not any(x.second.records(lambda r: r.get("client_number") in late)), "it takes nothing"
    finally:
        x.second.answers("ok")
    for client in late:
        x.arrived(x.second, client, timeout_s=60)
    return f"three calls of others in {took:.1f} s"


@check("an exchange that is down does not touch the other")
def one_exchange_is_down(x):
    x.spb.asterisk.crash()
    client, _ = x.talk(x.lab)
    x.arrived(x.first, client)
    x.spb.asterisk.start()
    wait_for("the link to spb is up again", 40, lambda: "spb: logged in to Asterisk" in x.connector.tail(400).split("lost", 1)[-1])
    # Its first call may ring before the window knows; the record does not care.
    client, _ = x.talk(x.spb)
    x.arrived(x.second, client, timeout_s=30)


@check("a conversation that the dialplan gives to another CRM late is that one's")
def moved(x):
    client, extension = x.talk(x.lab, "208")
    record = x.arrived(x.second, client)
    assert record["crm"] == "second" and record["extension"] == f"lab/{extension}", record
    left = x.first.records(lambda r: r["id"] == record["id"])
    for r in left:
        assert r.get("superseded_by") is not None and "extension" not in r and "client_number" not in r, f"the first CRM keeps {r}"
    x.nowhere_else(client, x.second)


@check("a key of one CRM sees, hears and dials nothing of another")
def strangers(x):
    client, extension = x.talk(x.spb, "201", seconds=1.5)
    record = x.arrived(x.second, client)
    status, body = x.ask(x.first, "POST", "/api/v1/calls", {"from": extension, "to": "89161234567", "pbx": "spb"})
    assert status in (403, 404), f"dials from another's exchange: {status} {body[:200]}"
    x.spb.phone(extension, None, ring=0.05)
    status, body = x.ask(x.second, "POST", "/api/v1/calls", {"from": extension, "to": "89161234567", "pbx": "spb", "request": "req-own"})
    assert status == 202, f"its own: {status} {body[:200]}"
    status, body = x.ask(x.first, "GET", "/api/v1/calls/req-own")
    assert status in (403, 404), f"sees another's request: {status} {body[:200]}"
    status, body = x.ask(x.first, "DELETE", "/api/v1/calls/req-own")
    assert status in (403, 404), f"cancels another's request: {status} {body[:200]}"
    recordings = [r["id"] for r in record.get("recordings", [])]
    assert recordings, f"it was recorded: {record}"
    status, _ = x.ask(x.second, "GET", f"/recordings/{recordings[0]}")
    assert status == 200, f"its own recording: {status}"
    status, _ = x.ask(x.first, "GET", f"/recordings/{recordings[0]}")
    assert status in (403, 404), f"hears another's recording: {status}"
    # Its secret with another's name is no key at all.
    class Forged:
        key, secret = x.second.key, x.first.secret
    status, _ = x.ask(Forged, "GET", "/api/v1/calls/req-own")
    assert status == 401, f"a forged key: {status}"


@check("a call over the trunk between two of ours is one conversation")
def over_the_trunk(x):
    caller, called, client = next(x.phones)[0], next(x.phones)[0], new_client()
    x.spb.phone(called, str(caller), ring=0.05, answer=0.3)
    call = x.lab.phone_calls(caller, f"7{called}")
    call.wait_up()
    time.sleep(0.5)
    call.hangup()
    x.spb.phone(called, client, ring=0.05, answer=0.3)
    call = x.lab.client_calls(f"+7495209{called}", client)
    call.wait_up()
    time.sleep(0.5)
    call.hangup()
    here = f"spb/{called}"

    def both():
        return [r for r in x.kept() if r.get("extension") == here and r["status"] == "completed"]

    wait_for("both calls", 10, lambda: len(both()) == 2, every_s=0.2)
    own, outside = sorted(both(), key=lambda r: r["started_at"])
    assert (own["direction"], own["from"], own["pbx"], own["lead"]) == ("internal", str(caller), "lab", True), own
    assert (outside["direction"], outside["client_number"], outside["pbx"]) == ("incoming", client, "lab"), outside
    x.spb.wait_idle()
    others = [r for r in x.kept() if r["pbx"] == "spb" and (str(called) in (r.get("to") or "") or r.get("client_number") in (client, str(caller)))]
    assert not others, f"the far end made a call of its own: {others}"


@check("calls of both exchanges that nobody heard are filled in, each at its CRM, and reconcile finds all present")
def unheard(x):
    assert x.connector.stop() == 0, x.connector.tail()
    lab, spb = x.talk(x.lab), x.talk(x.spb)
    x.lab.wait_idle()
    x.spb.wait_idle()
    x.connector.start()
    first, second = x.arrived(x.first, lab[0], timeout_s=30), x.arrived(x.second, spb[0], timeout_s=30)
    for record, extension in ((first, f"lab/{lab[1]}"), (second, f"spb/{spb[1]}")):
        assert (record["source"], record["extension"], record["live"]) == ("cdr", extension, False), record
    done = x.connector.command("reconcile", "--since", "1h", "--json")
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert {r["pbx"] for r in reports} == {"lab", "spb"}, reports
    for report in reports:
        assert report["calls"] > 0 and report["missing"] == report["unfinished"] == 0, report
    return "; ".join(f"{r['pbx']}: {r['calls']} calls" for r in reports)
