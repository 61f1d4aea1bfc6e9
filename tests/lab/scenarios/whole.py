"""Transfers, queues, pickup, forwarding, parking: where other connectors go wrong. Played on Asterisk 22, the first ones on 16, too."""

import time

from ..story import story

QUEUE = "+74951234531"


def _talk_with_first(s, leads_to="200", answer=0.5):
    """The client calls and the story's first phone answers. Returns the client's call, the phone's leg and the number called."""
    did = s.did(leads_to)
    ring = s.phone(s.exts[0], answer=answer)
    call = s.client_calls(did)
    call.wait_up()
    return call, ring.call(), did


@story("blind transfer (REFER)", core=True)
def blind_refer(s):
    first, second = s.exts[:2]
    target = s.phone(second, answer=0.8)
    call, leg, did = _talk_with_first(s)
    time.sleep(1)
    leg.refer(str(second))
    target.call().wait_up()
    leg.hangup()
    time.sleep(1.2)
    call.hangup()
    s.must(s.incoming(did, status="completed", extension=first, transferred_to=second, transfer="blind", lead=True, talk_seconds=1, ended_by="us"),
           s.incoming(did, status="completed", extension=second, transferred_from=first, transfer="blind", lead=False, talk_seconds=1.2, ring_seconds=0.8,
                      ended_by="client"))


@story("attended transfer (REFER with Replaces)", core=True)
def attended_refer(s):
    first, second = s.exts[:2]
    target = s.phone(second, caller=first, answer=0.6)
    call, leg, did = _talk_with_first(s)
    time.sleep(0.8)
    leg.hold()
    consultation = s.phone_calls(first, second)
    consultation.wait_up()
    time.sleep(0.8)
    leg.refer_replaces(consultation)
    leg.wait_notify("200 OK")
    leg.hangup()
    consultation.wait_ended()
    time.sleep(1.2)
    call.hangup()
    target.call().wait_ended()
    s.cdrs_agree = False  # Asterisk splits them otherwise; the seconds are compared with the phones
    s.must(s.incoming(did, status="completed", extension=first, transferred_to=second, transfer="attended", lead=True, talk_seconds=2.2, ended_by="us"),
           s.incoming(did, status="completed", extension=second, transferred_from=first, transfer="attended", lead=False, talk_seconds=2, ring_seconds=0.6,
                      ended_by="client"))


@story("queue, answered by the second agent", core=True)
def queue_answered(s):
    s.phone(101)
    agent = s.phone(102, answer=1.5)
    s.phone(103)
    call = s.client_calls(QUEUE)
    call.wait_up()
    leg = agent.call()
    leg.wait_up()
    time.sleep(1.2)
    leg.hangup()
    call.wait_ended()
    others = dict(status="no_answer", queue="sales", lead=False, talk_seconds=0, ring_seconds=1.5, wait_seconds=1.5)
    s.must(s.incoming(QUEUE, extension=101, **others),
           s.incoming(QUEUE, extension=102, status="completed", queue="sales", lead=True, talk_seconds=1.2, ring_seconds=1.5, wait_seconds=1.5, ended_by="us"),
           s.incoming(QUEUE, extension=103, **others))


@story("queue, abandoned while the agents ring", core=True)
def queue_abandoned_ringing(s):
    for agent in (101, 102, 103):
        s.phone(agent)
    call = s.client_calls(QUEUE)
    call.wait_up()
    time.sleep(2)
    call.hangup()
    s.must(*(s.incoming(QUEUE, extension=e, status="missed", reason="abandoned", queue="sales", talk_seconds=0, wait_seconds=2, ring_seconds=2,
                        ended_by="client") for e in (101, 102, 103)))


@story("queue, abandoned with nobody there", core=True)
def queue_abandoned(s):
    did = "+74951234533"
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(2)
    call.hangup()
    s.must(s.incoming(did, status="missed", reason="queue", queue="nobody", extension=None, lead=True, wait_seconds=2, ended_by="client"))


@story("queue, its time is over")
def queue_timeout(s):
    did = "+74951234532"
    for agent in (101, 102, 103):
        s.phone(agent)
    s.client_calls(did).wait_ended()
    s.must(*(s.incoming(did, extension=e, status="missed", reason="no_answer", queue="sales", wait_seconds=6, ring_seconds=6, ended_by="pbx")
             for e in (101, 102, 103)))


@story("queue that lets nobody in")
def queue_closed(s):
    did = "+74951234534"
    s.client_calls(did).wait_ended()
    s.must(s.incoming(did, status="missed", reason="queue", queue="closed", extension=None, lead=True, wait_seconds=0, ended_by="pbx"))


@story("group pickup", core=True)
def pickup_group(s):
    first, second = s.exts[:2]
    s.phone(first)
    did = s.did("200")
    call = s.client_calls(did)
    call.wait_ringing()
    time.sleep(1)
    picker = s.phone_calls(second, "*8")
    call.wait_up()
    time.sleep(1.2)
    call.hangup()
    picker.wait_ended()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="no_answer", extension=first, lead=False, talk_seconds=0, ring_seconds=1),
           s.incoming(did, status="completed", extension=second, picked_up_from=first, lead=True, talk_seconds=1.2, ended_by="client"))


@story("directed pickup")
def pickup_directed(s):
    first, _, third = s.exts
    s.phone(first)
    did = s.did("200")
    call = s.client_calls(did)
    call.wait_ringing()
    time.sleep(1)
    picker = s.phone_calls(third, f"**{first}")
    call.wait_up()
    time.sleep(1.2)
    picker.hangup()
    call.wait_ended()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="no_answer", extension=first, lead=False, talk_seconds=0),
           s.incoming(did, status="completed", extension=third, picked_up_from=first, lead=True, talk_seconds=1.2, ended_by="us"))


@story("blind transfer by ##")
def blind_feature(s):
    first, second = s.exts[:2]
    target = s.phone(second, answer=0.6)
    call, leg, did = _talk_with_first(s)
    time.sleep(0.6)
    began = time.time()
    leg.dtmf("##")
    time.sleep(0.6)
    leg.dtmf(str(second))
    target.call().wait_up()
    gone = target.call().times["up"] - 0.6 - began
    time.sleep(1.2)
    call.hangup()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="completed", extension=first, transferred_to=second, transfer="blind", lead=True, talk_seconds=0.6 + gone, ended_by="us"),
           s.incoming(did, status="completed", extension=second, transferred_from=first, transfer="blind", lead=False, talk_seconds=1.2, ended_by="client"))


@story("attended transfer by *2")
def attended_feature(s):
    first, second = s.exts[:2]
    target = s.phone(second, caller=first, answer=0.6)
    call, leg, did = _talk_with_first(s)
    time.sleep(0.6)
    leg.dtmf("*2")
    time.sleep(0.6)
    leg.dtmf(str(second))
    target.call().wait_up()
    time.sleep(1)
    leg.hangup()
    talk = leg.times["ended"] - leg.times["up"]
    time.sleep(1.2)
    call.hangup()
    target.call().wait_ended()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="completed", extension=first, transferred_to=second, transfer="attended", lead=True, talk_seconds=talk, ended_by="us"),
           s.incoming(did, status="completed", extension=second, transferred_from=first, transfer="attended", lead=False, talk_seconds=2.2, ended_by="client"))


@story("attended transfer while the target still rings")
def attended_ringing(s):
    first, second = s.exts[:2]
    target = s.phone(second, caller=first)
    call, leg, did = _talk_with_first(s)
    time.sleep(0.8)
    leg.hold()
    consultation = s.phone_calls(first, second)
    consultation.wait_ringing()
    time.sleep(1)
    leg.refer_replaces(consultation)
    time.sleep(0.8)
    target.call().answer()
    target.call().wait_up()
    time.sleep(1.2)
    call.hangup()
    target.call().wait_ended()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="completed", extension=first, transferred_to=second, transfer="attended", lead=True, talk_seconds=1.8, ended_by="us"),
           s.incoming(did, status="completed", extension=second, transferred_from=first, transfer="attended", lead=False, ring_seconds=1.8, talk_seconds=1.2,
                      ended_by="client"))


@story("a consultation that comes to nothing")
def consultation_abandoned(s):
    first, second = s.exts[:2]
    s.phone(second, caller=first, answer=0.4)
    call, leg, did = _talk_with_first(s)
    time.sleep(0.5)
    leg.hold()
    consultation = s.phone_calls(first, second)
    consultation.wait_up()
    time.sleep(0.8)
    consultation.hangup()
    leg.unhold()
    time.sleep(1)
    call.hangup()
    s.must(s.incoming(did, status="completed", extension=first, transferred_to=None, transfer=None, lead=True, talk_seconds=2.7, ended_by="client"),
           s.internal(first, second, conversation=2, status="completed", talk_seconds=0.8, lead=True, ended_by="us", transfer=None))


@story("blind transfer to a mobile")
def blind_external(s):
    first = s.exts[0]
    mobile = "89165550" + str(first)
    target = s.outside(mobile, answer=0.8)
    call, leg, did = _talk_with_first(s)
    time.sleep(1)
    leg.refer(mobile)
    target.call().wait_up()
    leg.hangup()
    time.sleep(1.2)
    call.hangup()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="completed", extension=first, transferred_to=mobile, transfer="blind", lead=True, talk_seconds=1),
           s.incoming(did, status="completed", extension=None, phone=mobile, transferred_from=first, transfer="blind", lead=False, talk_seconds=1.2))


@story("blind transfer that nobody takes")
def blind_no_answer(s):
    first, second = s.exts[:2]
    s.phone(second)
    call, leg, did = _talk_with_first(s)
    time.sleep(1)
    leg.refer(str(second))
    leg.wait_notify("SIP/2.0")
    leg.hangup()
    call.wait_ended()
    s.must(s.incoming(did, status="completed", extension=first, transferred_to=second, transfer="blind", lead=True, talk_seconds=1, ended_by="us"),
           s.incoming(did, status="no_answer", extension=second, transferred_from=first, transfer="blind", lead=False, reason=None, ring_seconds=8, ended_by="pbx"))


@story("the phone forwards to a colleague (302)")
def forward_internal(s):
    first, second = s.exts[:2]
    s.phone(first, ring=None, redirect=str(second))
    s.phone(second, answer=0.8)
    did = s.did("200")
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(1.2)
    call.hangup()
    s.must(s.incoming(did, status="no_answer", extension=first, lead=False, talk_seconds=0),
           s.incoming(did, status="completed", extension=second, lead=True, talk_seconds=1.2, ring_seconds=0.8))


@story("the phone forwards to a mobile (302)")
def forward_mobile(s):
    first = s.exts[0]
    mobile = "89165550" + str(first)
    s.phone(first, ring=None, redirect=mobile)
    s.outside(mobile, answer=0.8)
    did = s.did("200")
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(1.2)
    call.hangup()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="no_answer", extension=first, lead=False, talk_seconds=0),
           s.incoming(did, status="completed", extension=None, phone=mobile, lead=True, talk_seconds=1.2))


@story("follow-me through a Local channel")
def follow_me(s):
    first = s.exts[0]
    mobile = "89165550" + str(first)
    s.phone(first)
    s.outside(mobile, answer=0.8)
    did = s.did("206")
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(1.2)
    call.hangup()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="no_answer", extension=first, lead=False, ring_seconds=3),
           s.incoming(did, status="completed", extension=None, phone=mobile, lead=True, talk_seconds=1.2))


@story("held and taken back")
def hold(s):
    call, leg, did = _talk_with_first(s)
    time.sleep(0.5)
    leg.hold()
    time.sleep(1)
    leg.unhold()
    time.sleep(0.5)
    call.hangup()

    def held(timeline):
        steps = [step.get("step") for step in timeline or []]
        return "hold" in steps and "unhold" in steps and steps.index("hold") < steps.index("unhold")

    s.must(s.incoming(did, status="completed", extension=s.exts[0], lead=True, talk_seconds=2, timeline=held))


@story("parked and retrieved")
def parked(s):
    first, second = s.exts[:2]
    call, leg, did = _talk_with_first(s)
    time.sleep(1)
    parked_at = len(s.office.all.messages)
    leg.refer("700")
    slot = s.office.all.wait(lambda m: m.get("Event") == "ParkedCall" and m.get("ParkeeCallerIDNum") == s.client, since=parked_at)["ParkingSpace"]
    leg.hangup()
    time.sleep(0.5)
    retriever = s.phone_calls(second, slot)
    retriever.wait_up()
    time.sleep(1.2)
    call.hangup()
    retriever.wait_ended()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="completed", extension=first, lead=True, talk_seconds=1, ended_by="us", transfer=None),
           s.incoming(did, status="completed", extension=second, lead=False, talk_seconds=1.2, ended_by="client"))


@story("a conference with a client")
def conference(s):
    did = "+74951234599"
    first = s.exts[0]
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(0.5)
    member = s.phone_calls(first, "600")
    member.wait_up()
    time.sleep(1.5)
    call.hangup()
    time.sleep(0.3)
    member.hangup()
    s.cdrs_agree = False
    s.must(s.incoming(did, status="completed", extension=first, lead=True, talk_seconds=1.5))


@story("rung out, then the voicemail box")
def voicemail(s):
    did = s.did("207")
    s.phone(s.exts[0])
    call = s.client_calls(did)
    call.wait_up()
    time.sleep(1.5)
    call.hangup()
    s.must(s.incoming(did, status="missed", reason="voicemail", extension=s.exts[0], lead=True, voicemail=lambda v: v and "101" in v))


@story("the phone registers, is called, and goes away", core=True)
def registers(s):
    did = "+74951234504"
    s.office.phones.register("104")
    try:
        s.phone(104, answer=0.5)
        call = s.client_calls(did)
        call.wait_up()
        time.sleep(1)
        call.hangup()
    finally:
        s.office.phones.register("104", 0)
    s.must(s.incoming(did, status="completed", extension=104, lead=True, talk_seconds=1))


@story("answered elsewhere at the same moment as given up")
def answer_and_cancel_cross(s):
    """The phone answers in the very moment in which the client gives up: whatever Asterisk makes of it, one record, final."""
    did = s.did("200")
    ring = s.phone(s.exts[0])
    call = s.client_calls(did)
    call.wait_ringing()
    time.sleep(0.5)
    ring.call().after(0, ring.call().answer)
    call.hangup()
    s.must(s.incoming(did, extension=s.exts[0], lead=True, talk_seconds=0, status=lambda v: v in ("missed", "completed"), ended_by="client"))
