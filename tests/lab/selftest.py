"""The laboratory's own parts, tried without Asterisk: `python3 -m unittest tests.lab.selftest`, also from tests/run."""

import hashlib
import hmac
import http.client
import json
import pathlib
import socket
import tempfile
import time
import unittest

from . import cdr, compare, mongodb, sip, sip_message
from .ami import Capture
from .ami_proxy import AmiProxy
from .receiver import Receiver


def record(**fields):
    return {"id": "lab-1.0-1", "conversation": "lab-1.0", "status": "completed", "extension": "101", "lead": True, "revision": 1, **fields}


class Comparing(unittest.TestCase):
    def test_equal(self):
        self.assertEqual(compare.differences([{"extension": "101", "status": "completed", "reason": None, "talk_seconds": 3}], [record(talk_seconds=3.4)]), [])

    def test_every_kind_of_difference_is_named(self):
        want = {"extension": "101", "status": "completed"}
        for wrong in ([], [record(status="missed")], [record(extension="102")], [record(), record(id="lab-1.0-2", extension="102", lead=False)],
                      [record(lead=False)], [record(), record(extension="101")]):
            self.assertTrue(compare.differences([want], wrong), wrong)
        self.assertTrue(compare.differences([{**want, "talk_seconds": 3}], [record(talk_seconds=4.5)]))
        self.assertTrue(compare.differences([{**want, "reason": None}], [record(reason="busy")]))
        self.assertTrue(compare.differences([{**want, "has_recording": True}], [record(recordings=[])]))
        self.assertTrue(compare.differences([{**want, "status": lambda v: v == "missed"}], [record()]))

    def test_conversations(self):
        one, two = record(), record(id="lab-1.5-1", conversation="lab-1.5", extension="102")
        want = [{"extension": "101"}, {"extension": "102"}]
        self.assertTrue(compare.differences(want, [one, two]), "one conversation fell apart")
        self.assertEqual(compare.differences([want[0], {**want[1], "conversation": 2}], [one, two]), [])
        joined = {**two, "conversation": "lab-1.0", "lead": False}
        self.assertEqual(compare.differences(want, [one, joined]), [])
        self.assertTrue(compare.differences([want[0], {**want[1], "conversation": 2}], [one, joined]), "joined what is apart")

    def test_cdrs(self):
        row = {"channel": "PJSIP/trunk-msk-00000000", "dstchannel": "PJSIP/101-00000001", "disposition": "ANSWERED", "billsec": 3, "linkedid": "1.0", "src": "1",
               "dst": "2", "start": "now"}
        self.assertEqual(compare.against_cdrs([record(talk_seconds=3.2)], [row]), [])
        self.assertTrue(compare.against_cdrs([record(talk_seconds=9)], [row]))
        self.assertTrue(compare.against_cdrs([record(talk_seconds=3)], [{**row, "disposition": "NO ANSWER"}]))
        self.assertTrue(compare.against_cdrs([], [row]))
        self.assertEqual(compare.conversations_missing([record()], [row], "lab", lambda r: False), [])
        self.assertTrue(compare.conversations_missing([record()], [{**row, "linkedid": "1.7"}], "lab", lambda r: False))

    def test_master_csv(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "Master.csv"
            path.write_text('"","+7916","+7495","from-trunk","""Ivan"" <+7916>","PJSIP/a","PJSIP/b","Dial","x","s","a","e",5,3,"ANSWERED","DOCUMENTATION","1.0","","","1.0","7"\n"half')
            rows = cdr.read(path)
        self.assertEqual([(r["billsec"], r["linkedid"], r["clid"]) for r in rows], [(3, "1.0", '"Ivan" <+7916>')])


class Receiving(unittest.TestCase):
    def setUp(self):
        self.crm = Receiver(("127.0.0.1", 0))

    def tearDown(self):
        self.crm.close()

    def send(self, records, nonce, secret=None, timeout=5):
        body = json.dumps({"op": "records", "records": records}).encode()
        now = str(int(time.time()))
        text = "\n".join(["POST", "/calls", now, nonce, hashlib.sha256(body).hexdigest()])
        signature = hmac.new((secret or self.crm.secret).encode(), text.encode(), hashlib.sha256).hexdigest()
        connection = http.client.HTTPConnection(*self.crm.address, timeout=timeout)
        try:
            connection.request("POST", "/calls", body, {"X-PIN-Key": "lab", "X-PIN-Time": now, "X-PIN-Nonce": nonce, "X-PIN-Signature": signature})
            with connection.getresponse() as answer:
                return answer.status
        finally:
            connection.close()

    def test_newest_revision(self):
        self.assertEqual(self.send([record()], "01"), 200)
        self.assertEqual(self.send([record(revision=3, status="missed")], "02"), 200)
        self.assertEqual([(r["revision"], r["status"]) for r in self.crm.records()], [(3, "missed")])
        self.assertEqual(self.crm.faults, [])
        self.send([record(revision=2)], "03")
        self.assertIn("came after", self.crm.faults[0])

    def test_wrong_signature_and_nonce(self):
        self.assertEqual(self.send([record()], "01", secret="wrong"), 401)
        self.assertEqual(self.crm.records(), [])
        self.assertEqual(self.send([record()], "02"), 200)
        self.send([record()], "02")
        self.assertIn("the same nonce twice", self.crm.faults)

    def test_illnesses(self):
        for n, (mode, *details) in enumerate([("status", 500), ("html",), ("redirect", "http://127.0.0.1:9/"), ("close",), ("reset",), ("hang",)]):
            self.crm.answers(mode, *details)
            try:
                status = self.send([record()], f"a{n}", timeout=0.5)
            except (OSError, http.client.HTTPException):
                status = None
            self.assertEqual(status, {"status": 500, "html": 200, "redirect": 302}.get(mode), mode)
        self.assertEqual(self.crm.records(), [])
        self.crm.answers("ok")
        self.assertEqual(self.send([record()], "b"), 200)
        self.assertEqual(len(self.crm.records()), 1)


class Lines(unittest.TestCase):
    def setUp(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.proxy = AmiProxy(("127.0.0.1", 0), self.server.getsockname())
        self.near = socket.create_connection(self.proxy.address, timeout=5)
        self.far, _ = self.server.accept()

    def tearDown(self):
        self.near.close()
        self.far.close()
        self.proxy.close()
        self.server.close()

    def test_passes_and_swallows(self):
        self.near.sendall(b"Action: Ping\r\n\r\n")
        self.assertEqual(self.far.recv(100), b"Action: Ping\r\n\r\n")
        self.proxy.swallow(lambda name, fields: name == "Hangup" and fields["Channel"] == "x")
        self.far.sendall(b"Event: Hangup\r\nChannel: x\r\n\r\nEvent: Hang")
        self.far.sendall(b"up\r\nChannel: y\r\n\r\n")
        self.assertEqual(self.near.recv(100), b"Event: Hangup\r\nChannel: y\r\n\r\n")
        self.assertEqual(self.proxy.swallowed, ["Hangup"])

    def test_cut(self):
        self.proxy.cut(refuse=True)
        self.assertEqual(self.near.recv(100), b"")
        again = socket.create_connection(self.proxy.address, timeout=5)
        self.assertEqual(again.recv(100), b"")
        again.close()

    def test_silence(self):
        self.proxy.stop_flow()
        self.far.sendall(b"Event: A\r\n\r\n")
        self.near.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            self.near.recv(100)
        self.proxy.resume_flow()
        self.near.settimeout(5)
        self.assertEqual(self.near.recv(100), b"Event: A\r\n\r\n")


class Phones(unittest.TestCase):
    """Two agents, each the other's PBX, talk to each other."""

    def setUp(self):
        ports = []
        for _ in range(2):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind(("127.0.0.1", 0))
                ports.append(("127.0.0.1", s.getsockname()[1]))
        self.a, self.b = sip.Agent(ports[0], ports[1], "a"), sip.Agent(ports[1], ports[0], "b")

    def tearDown(self):
        self.a.close()
        self.b.close()

    def test_a_call(self):
        expected = self.b.expect("101", "+7916", ring=0.01, answer=0.1)
        call = self.a.call("101", "+7916")
        call.wait_ringing()
        call.wait_up()
        there = expected.call()
        call.hold()
        call.hangup()
        there.wait_ended(5)
        self.assertIn("ringing", call.times)
        self.assertEqual(self.a.errors + self.b.errors, [])

    def test_refusals_and_giving_up(self):
        self.b.expect("102", ring=0.01, reject=(486, 0.05))
        self.assertEqual(self.a.call("102", "1").wait_ended(5), 486)
        expected = self.b.expect("103", ring=0.01)
        call = self.a.call("103", "1")
        call.wait_ringing()
        call.hangup()
        self.assertEqual((call.status, expected.call().status), (487, 487))
        self.assertEqual(self.a.call("104", "1").wait_ended(5), 480)
        self.assertEqual(self.b.surprises, [("104", "1")])

    def test_headers(self):
        self.assertEqual(sip_message.user_of('"A <b>" <sip:%2B7916@x>;tag=1') or sip_message.user_of("<sip:%2B7916@x>"), "+7916")
        self.assertEqual(sip_message.tag_of("<sip:a@b>;tag=xyz;x=1"), "xyz")
        self.assertEqual(sip_message.uri_of("<sip:a@b;transport=udp>;tag=1"), "sip:a@b;transport=udp")


class Recording(unittest.TestCase):
    def test_timing(self):
        stream = b"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\n\r\nEvent: A\r\n\r\nEvent: B\r\n\r\n"
        for cut in (1, 7, len(stream)):
            with tempfile.TemporaryDirectory() as folder:
                capture = Capture(pathlib.Path(folder) / "x.ami")
                for at in range(0, len(stream), cut):
                    capture.received(stream[at:at + cut])
                capture.close()
                self.assertEqual((pathlib.Path(folder) / "x.ami").read_bytes(), stream)
                offsets = [int(line.split("\t")[1]) for line in (pathlib.Path(folder) / "x.timing").read_text().splitlines()]
            self.assertEqual(offsets, [0, 30, 51, 63])

    def test_bson(self):
        document = {"a": 1, "b": "text", "c": {"d": [1, 2.5, None, True]}, "e": 1 << 40}
        self.assertEqual(mongodb._parse(mongodb._bson(document))[0], document)


if __name__ == "__main__":
    unittest.main()
