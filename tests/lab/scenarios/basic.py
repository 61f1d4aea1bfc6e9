"""The calls of every day, played on Asterisk 22 and 16."""

import time

from ..story import story


@story("answered, the client hangs up", core=True)
def answered_client_hangs_up(s):
    did = s.did("200")
    s.phone(s.exts[0], answer=0.8)
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(1.5)
    call.hangup()
    s.must(s.incoming(did, status="completed", extension=s.exts[0], phone=None, lead=True, reason=None, ended_by="client", ring_seconds=0.75,
                      talk_seconds=1.5, hangup_cause=16, transferred_to=None, has_recording=False, source="ami"))


@story("answered, the phone hangs up", core=True)
def answered_phone_hangs_up(s):
    did = s.did("200")
    s.phone(s.exts[0], answer=0.5, hangup=1.2)
    call = s.client_calls(did)
    call.wait_ended()
    s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True, ended_by="us", talk_seconds=1.2))


@story("missed in the greeting", core=True)
def greeting(s):
    did = "+74951234510"
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(0.8)
    call.hangup()
    s.must(s.incoming(did, status="missed", reason="greeting", extension=None, phone=None, lead=True, ended_by="client", talk_seconds=0,
                      ring_seconds=0, answered_at=None, total_seconds=0.8))


@story("the greeting plays to its end", core=True)
def greeting_to_end(s):
    did = "+74951234511"
    call = s.client_calls(did)
    call.wait_ended()
    s.must(s.incoming(did, status="missed", reason="greeting", extension=None, lead=True, ended_by="pbx", answered_at=None))


@story("a group of three, the second answers", core=True)
def group(s):
    did = s.did("204")
    first, second, third = s.exts
    s.phone(first)
    s.phone(second, answer=1.5)
    s.phone(third)
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(1.2)
    call.hangup()
    s.must(s.incoming(did, status="no_answer", extension=first, lead=False, talk_seconds=0, ring_seconds=1.5, answered_at=None, reason=None),
           s.incoming(did, status="completed", extension=second, lead=True, talk_seconds=1.2, ring_seconds=1.5, ended_by="client"),
           s.incoming(did, status="no_answer", extension=third, lead=False, talk_seconds=0, ring_seconds=1.5))


@story("a group of three: busy, refused, rung out", core=True)
def group_mixed(s):
    did = s.did("204")
    first, second, third = s.exts
    s.phone(first, reject=(486, 0.3))
    s.phone(second, reject=(603, 0.6))
    s.phone(third)
    call = s.client_calls(did)
    call.wait_ended()
    everyone = dict(status="missed", reason="no_answer", talk_seconds=0)
    s.must(*(s.incoming(did, extension=e, **everyone) for e in s.exts))


@story("one phone after the other", core=True)
def hunt(s):
    did = s.did("205")
    first, second = s.exts[:2]
    s.phone(first)
    s.phone(second, answer=0.6)
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(1)
    call.hangup()
    s.must(s.incoming(did, status="no_answer", extension=first, ring_seconds=3, lead=False, reason=None),
           s.incoming(did, status="completed", extension=second, ring_seconds=0.6, talk_seconds=1, lead=True))


@story("rung out", core=True)
def rung_out(s):
    did = s.did("200")
    s.phone(s.exts[0])
    call = s.client_calls(did)
    call.wait_ended()
    s.must(s.incoming(did, status="missed", reason="no_answer", extension=s.exts[0], lead=True, ended_by="pbx", ring_seconds=8, talk_seconds=0))


@story("the client gives up while the phone rings", core=True)
def abandoned(s):
    did = s.did("200")
    s.phone(s.exts[0])
    call = s.client_calls(did)
    call.wait_ringing()
    time.sleep(1.2)
    call.hangup()
    s.must(s.incoming(did, status="missed", reason="abandoned", extension=s.exts[0], lead=True, ended_by="client", ring_seconds=1.2))


@story("the phone is busy", core=True)
def busy(s):
    did = s.did("200")
    s.phone(s.exts[0], ring=None, reject=(486, 0.1))
    call = s.client_calls(did)
    call.wait_ended()
    s.must(s.incoming(did, status="missed", reason="busy", extension=s.exts[0], lead=True, talk_seconds=0))


@story("the phone is not registered", core=True)
def unregistered(s):
    did = "+74951234506"
    call = s.client_calls(did)
    call.wait_ended()
    s.must(s.incoming(did, status="missed", reason="unreachable", extension=106, lead=True, ended_by="pbx"))


@story("the menu, key 2, answered", core=True)
def menu_key(s):
    did = "+74951234520"
    ring = s.phone(102, answer=0.8)
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(0.6)
    call.dtmf("2")
    ring.call().wait_up()
    time.sleep(1.2)
    call.hangup()
    s.must(s.incoming(did, status="completed", extension=102, menu="ivr-main 2", lead=True, ended_by="client", talk_seconds=1.2, ring_seconds=0.8, reason=None))


@story("hung up in the menu", core=True)
def menu_hangup(s):
    did = "+74951234520"
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(1)
    call.hangup()
    s.must(s.incoming(did, status="missed", reason="menu", menu="ivr-main", extension=None, lead=True, ended_by="client", answered_at=None))


@story("a number the dialplan does not know: our catch-all", core=True)
def catch_all(s):
    did = "+74957778899"
    call = s.client_calls(did)
    if (status := call.wait_ended()) != 404:
        s.problems.append(f"the client gets {status} in place of 404")
    s.must(s.incoming(did, status="missed", reason="dialplan_error", extension=None, phone=None, menu=None, lead=True, ended_by="pbx", hangup_cause=1,
                      talk_seconds=0, answered_at=None))


@story("a name the dialplan does not know: our catch-all", core=True)
def catch_all_name(s):
    call = s.client_calls("someoffice")
    call.wait_ended()
    s.must(s.incoming("someoffice", status="missed", reason="dialplan_error", extension=None, lead=True))


@story("the dialplan goes nowhere", core=True)
def goto_nowhere(s):
    did = "+74951234540"
    s.client_calls(did).wait_ended()
    s.must(s.incoming(did, status="missed", reason="dialplan_error", extension=None, lead=True, ended_by="pbx"))


@story("the dialplan refuses", core=True)
def refused(s):
    did = "+74951234541"
    s.client_calls(did).wait_ended()
    s.must(s.incoming(did, status="missed", reason="rejected", extension=None, lead=True, ended_by="pbx"))


@story("recorded", core=True)
def recorded(s):
    did = s.did("201")
    s.phone(s.exts[0], answer=0.5)
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(1.5)
    call.hangup()

    def one_file(recordings):
        if not recordings or len(recordings) != 1:
            return False
        name = recordings[0]["file"].removeprefix(f"{s.office.asterisk.inside}/spool/monitor/")
        return name.endswith(".wav") and s.client in name and (s.office.asterisk.recordings / name).is_file()

    s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True, talk_seconds=1.5, has_recording=True, recordings=one_file))


@story("outgoing, answered", core=True)
def out_answered(s):
    me = s.exts[0]
    s.outside(answer=0.8)
    call = s.phone_calls(me, s.number)
    call.wait_up()
    time.sleep(1.2)
    call.hangup()
    s.must(s.outgoing(me, status="completed", lead=True, ring_seconds=0.8, talk_seconds=1.2, ended_by="us", did=None))


@story("outgoing, busy", core=True)
def out_busy(s):
    me = s.exts[0]
    s.outside(reject=(486, 0.5))
    s.phone_calls(me, s.number).wait_ended()
    s.must(s.outgoing(me, status="busy", lead=True, talk_seconds=0, answered_at=None, reason=None))


@story("outgoing, not answered", core=True)
def out_no_answer(s):
    me = s.exts[0]
    s.outside()
    s.phone_calls(me, s.number).wait_ended()
    s.must(s.outgoing(me, status="no_answer", lead=True, ring_seconds=10, talk_seconds=0))


@story("outgoing, no such number", core=True)
def out_404(s):
    me = s.exts[0]
    s.outside(ring=None, reject=(404, 0.1))
    s.phone_calls(me, s.number).wait_ended()
    s.must(s.outgoing(me, status="failed", lead=True, talk_seconds=0))


@story("outgoing, we give up", core=True)
def out_cancelled(s):
    me = s.exts[0]
    s.outside()
    call = s.phone_calls(me, s.number)
    call.wait_ringing()
    time.sleep(1)
    call.hangup()
    s.must(s.outgoing(me, status="cancelled", lead=True, ring_seconds=1, ended_by="us"))


@story("outgoing with our number and recording pieces", core=True)
def out_recorded(s):
    """The connector knows no caller id for this client, so the usual one is shown."""
    me = s.exts[0]
    s.outside(answer=0.5)
    call = s.phone_calls(me, "9" + s.number)
    call.wait_up()
    time.sleep(1.2)
    call.hangup()
    s.must({**s.outgoing(me, status="completed", lead=True, talk_seconds=1.2, has_recording=True), "to": lambda v: v in (s.number, "9" + s.number)})


@story("internal, answered", core=True)
def internal_answered(s):
    me, other = s.exts[:2]
    s.phone(other, caller=me, answer=0.8)
    call = s.phone_calls(me, other)
    call.wait_up()
    time.sleep(1.2)
    call.hangup()
    s.must(s.internal(me, other, status="completed", lead=True, ring_seconds=0.8, talk_seconds=1.2, ended_by="us"))


@story("internal, the other is busy", core=True)
def internal_busy(s):
    me, other = s.exts[:2]
    s.phone(other, caller=me, reject=(486, 0.3))
    s.phone_calls(me, other).wait_ended()
    s.must(s.internal(me, other, status="busy", lead=True, talk_seconds=0))


@story("a feature is no call", core=True)
def feature(s):
    me = s.exts[0]
    s.phone_calls(me, "*11").wait_ended()
    s.must()


@story("an anonymous client", core=True)
def anonymous(s):
    did = s.did("200")
    s.dids.add(did)
    s.phone(s.exts[0], caller="anonymous", answer=0.5)
    call = s.office.trunk.call(did, "anonymous", display="Anonymous")
    call.wait_up()
    time.sleep(1)
    call.hangup()
    s.must({"direction": "incoming", "client_number": None, "client_number_normalized": None, "did": did, "extension": str(s.exts[0]), "status": "completed",
            "lead": True, "follow_up": None})


@story("a client with a Cyrillic name", core=True)
def cyrillic(s):
    did = s.did("200")
    s.phone(s.exts[0], answer=0.4)
    call = s.client_calls(did, display="ООО «Ромашка»")
    call.wait_up()
    time.sleep(1)
    call.hangup()
    s.must(s.incoming(did, status="completed", extension=s.exts[0], client_name="ООО «Ромашка»", lead=True))
