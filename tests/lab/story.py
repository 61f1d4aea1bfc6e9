"""A story: calls that are played in an office, and the records that must come of them. And how stories are judged.

Stories are functions marked with `@story`; they play by `s.client_calls`, `s.phone` and the like and say by `s.must` what has to
arrive. Each has a client number and phones of its own, so that many can be played at once in one office.
"""

import json
import threading
import time
import traceback

from . import cdr, compare, dialplan
from .office import new_client

STORIES = []
PBX = "lab"  # the name of the PBX in the connector's configuration
_ENDED_S = 12.0


def story(title, core=False, versions=("22", "16")):
    """Registers a story. `core`: played on every Asterisk; else only on 22."""
    def register(play):
        STORIES.append(Plan(title, play, versions if core else ("22",)))
        return play
    return register


class Plan:
    def __init__(self, title, play, versions):
        self.title, self.play, self.versions = title, play, versions

    @property
    def name(self):
        return self.play.__name__


class Phones:
    """Hands out the spare phones of an office."""

    def __init__(self):
        self._blocks = list(dialplan.blocks())
        self._mutex = threading.Lock()

    def take(self):
        with self._mutex:
            return self._blocks.pop(0)


class Story:
    """What a story plays with, and what became of it."""

    def __init__(self, plan, office, phones):
        self.plan, self.office = plan, office
        self.client = new_client()
        # The same client as a phone of the office dials him.
        self.number = "8" + self.client[2:]
        self._phones, self._block = phones, None
        self._expectations = []
        self._callers = set()
        self._since = len(office.all.messages)
        self.expected = []
        self.dids = set()  # numbers only this story calls, where the client's number does not tell
        self.problems = []
        self.cdrs_agree = True
        self.seconds = 0.0
        self._matched = False

    # -- playing ---------------------------------------------------------------------------------------------------------

    @property
    def exts(self):
        """Three phones of one pickup group that only this story uses."""
        if self._block is None:
            self._block = self._phones.take()
        return self._block

    def did(self, leads_to):
        """The number that dials a phone of ours: +7495200XXX and its brothers (see dialplan.py)."""
        return f"+7495{leads_to}{self.exts[0]}"

    def client_calls(self, did, **kwargs):
        return self.office.client_calls(did, self.client, **kwargs)

    def phone(self, extension, caller=None, **behaviour):
        """What this phone does when our client (or `caller`) calls it."""
        expectation = self.office.phone(extension, str(caller or self.client), **{"ring": 0.05, **behaviour})
        self._expectations.append((self.office.phones, expectation))
        return expectation

    def outside(self, number=None, caller=None, **behaviour):
        """What this outside number (our client) does when somebody calls it."""
        expectation = self.office.outside(number or self.number, caller and str(caller), **{"ring": 0.05, **behaviour})
        self._expectations.append((self.office.trunk, expectation))
        return expectation

    def phone_calls(self, extension, to, **kwargs):
        self._callers.add(str(extension))
        return self.office.phone_calls(extension, str(to), **kwargs)

    def must(self, *expected):
        """The records of this story's conversations; see compare.py."""
        self.expected += expected

    def incoming(self, did, **fields):
        """A record of a call of our client."""
        return {"direction": "incoming", "client_number": self.client, "client_number_normalized": self.client, "did": did, "to": did,
                "from": self.client, "trunk": dialplan.TRUNK, "click_to_call": False, **_strings(fields)}

    def outgoing(self, extension, **fields):
        return {"direction": "outgoing", "client_number": self.number, "client_number_normalized": self.client, "to": self.number,
                "from": str(extension), "extension": str(extension), "trunk": dialplan.TRUNK, **_strings(fields)}

    def internal(self, caller, extension, **fields):
        return {"direction": "internal", "client_number": None, "to": str(extension), "from": str(caller), "extension": str(extension), **_strings(fields)}

    # -- judging ---------------------------------------------------------------------------------------------------------

    def run(self, records_wanted=True):
        """Plays the story and waits until the records are as they must be. Problems are kept, not raised."""
        began = time.monotonic()
        try:
            self.plan.play(self)
        except Exception as e:
            where = traceback.extract_tb(e.__traceback__)
            line = next((f.lineno for f in reversed(where) if "scenarios" in f.filename), 0)
            self.problems.append(f"the calls did not go as the story says (line {line}): {e}")
        finally:
            for agent, expectation in self._expectations:
                agent.forget(expectation)
        if records_wanted and not self.problems:
            self._wait_for_records()
        elif not self.problems:
            self._check_events()
        self.seconds = time.monotonic() - began

    def _wait_for_records(self):
        end = time.monotonic() + _ENDED_S
        while self.judge() and time.monotonic() < end:
            time.sleep(0.1)

    def judge(self):
        """The differences just now."""
        records = self.records()
        out = compare.differences(self.expected, records)
        out += [f"not final: {compare.short(r)}" for r in records if r.get("status") not in compare.FINAL]
        known = {f"{PBX}-{u}" for u in self.uniqueids()}
        out += [f"conversation is {r['conversation']}, Asterisk's first channels are {sorted(known)}" for r in records if r["conversation"] not in known]
        return out

    def final_judgement(self, rows):
        """When everything is over: the records once more, and against Asterisk's own CDRs."""
        if self.problems:
            return
        self.problems = self.judge()
        if not self.problems and self.cdrs_agree:
            linkedids = set(self.uniqueids())
            self.problems = compare.against_cdrs(self.records(), [r for r in rows if r["linkedid"] in linkedids])

    def uniqueids(self):
        """The first channels of this story's conversations, by Asterisk's Newchannel."""
        out = []
        for m in self.office.all.messages[self._since:]:
            if m.get("Event") != "Newchannel" or m.get("Uniqueid") != m.get("Linkedid") or m.get("Exten") == "s":
                continue
            endpoint = compare._endpoint(m.get("Channel", ""))
            outside = m.get("CallerIDNum") == self.client or m.get("Exten") in self.dids
            if (endpoint == dialplan.TRUNK and outside) or endpoint in self._callers:
                out.append(m["Uniqueid"])
        return out

    def records(self):
        known = {f"{PBX}-{u}" for u in self.uniqueids()}
        return self.office.crm.records(lambda r: r.get("conversation") in known or r.get("client_number") in (self.client, self.number)
                                       or str(r.get("id", "")).rsplit("-", 1)[0] in known)

    def _check_events(self):
        """Without a connector: Asterisk's events must show what the records are expected to say."""
        end = time.monotonic() + 3
        while not (linkedids := set(self.uniqueids())):
            if time.monotonic() > end:
                self.problems.append("Asterisk made no channel for this story")
                return
            time.sleep(0.02)
        messages = self.office.all.messages[self._since:]
        own = {m.get("Uniqueid") for m in messages if m.get("Linkedid") in linkedids}
        bridged = {compare._endpoint(m["Channel"]) for m in messages if m.get("Event") == "BridgeEnter" and m.get("Uniqueid") in own}
        for want in self.expected:
            party = want.get("extension")
            if party is None:
                continue
            if want["status"] == "completed" and party not in bridged:
                self.problems.append(f"events: {party} was never in a bridge")
            if want["status"] in ("missed", "no_answer", "busy", "failed") and party in bridged:
                self.problems.append(f"events: {party} was in a bridge")

    def evidence(self, folder):
        """Everything that arrived about these calls, in order, and what was expected."""
        known = {f"{PBX}-{u}" for u in self.uniqueids()}
        path = folder / f"{self.plan.name}.evidence.jsonl"
        with open(path, "w") as out:
            print(json.dumps({"story": self.plan.title, "client": self.client, "conversations": sorted(known), "problems": self.problems}, ensure_ascii=False), file=out)
            for want in self.expected:
                print(json.dumps({"expected": {k: v if not callable(v) else "(a condition)" for k, v in want.items()}}, ensure_ascii=False), file=out)
            for request in list(self.office.crm.requests):
                for record in request.records:
                    if record.get("conversation") in known or record.get("client_number") in (self.client, self.number):
                        print(json.dumps({"at": round(request.at, 3), "answered": request.answer, "record": record}, ensure_ascii=False), file=out)
            for row in cdr.read(self.office.asterisk.master_csv()):
                if row["linkedid"] in set(self.uniqueids()):
                    print(json.dumps({"cdr": row}, ensure_ascii=False), file=out)
        return path


def _strings(fields):
    """Extensions are written as numbers in the stories."""
    return {k: str(v) if k in ("extension", "transferred_to", "transferred_from", "picked_up_from") and v is not None else v for k, v in fields.items()}
