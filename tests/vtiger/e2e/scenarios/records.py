"""Records and the endpoint: what the connector sends, and what becomes of it. Each function's name is its sentence; screens are asked first, the database for what no screen shows."""
import os
import threading
import time

from connector import call, wire_time
from database import quoted
from scenarios.common import saved, scenario


@scenario
def a_record_becomes_a_call_with_all_its_fields(office):
    started = time.time() - 100
    record, crm_id = saved(
        office, now=started, status="completed", client_number="89161112233", client_number_normalized="+79161112233", client_name="Иван",
        **{"from": "89161112233", "to": "+74951234531"}, did="+74951234531", extension="101", trunk="trunk-msk", queue="sales", menu="ivr 1",
        answered_at=wire_time(started + 5), ended_at=wire_time(started + 65), ring_seconds=4.6, talk_seconds=60, total_seconds=65, wait_seconds=5,
        hangup_cause=16, ended_by="us", transferred_to="102", transfer="blind", outside_hours=True)
    stored = office.db.call(crm_id)
    wanted = {"call_direction": "incoming", "call_status": "completed", "is_main": "1", "ring_seconds": "5", "talk_seconds": "60", "total_seconds": "65",
              "client_number": "89161112233", "client_name": "Иван", "calling_number": "89161112233", "called_number": "+74951234531",
              "call_did": "+74951234531", "call_pbx": "msk", "call_extension": "101", "call_trunk": "trunk-msk", "call_queue": "sales", "call_menu": "ivr 1",
              "transfer_target": "102", "transfer_kind": "blind", "ended_by": "us", "hangup_cause": "16", "outside_hours": "1", "call_source": "ami",
              "call_started": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(started)), "crm_user": str(office.users["calls_op1"])}
    wrong = {name: stored[name] for name in wanted if stored[name] != wanted[name]}
    assert not wrong, wrong


@scenario
def a_record_is_stored_once_and_in_any_order(office):
    record, crm_id = saved(office, status="completed")
    again = office.connector.send(record)[record["id"]]
    assert (again["result"], again["crm_id"]) == ("unchanged", str(crm_id)), again
    older = dict(record, revision=record["revision"] - 5, status="ringing")
    stale = office.connector.send(older)[record["id"]]
    assert (stale["result"], stale["revision"]) == ("stale", record["revision"]), stale
    newer = dict(record, revision=record["revision"] + 5, status="missed")
    assert office.connector.send(newer)[record["id"]]["crm_id"] == str(crm_id)
    assert office.db.call(crm_id)["call_status"] == "missed"


@scenario
def two_senders_with_the_same_record_make_one_call(office):
    records = [call(status="completed", client_number=office.fresh_number()) for _ in range(10)]
    results = []

    def send():
        results.append(office.connector.send(*records))

    threads = [threading.Thread(target=send) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(results) == 4
    for record in records:
        ids = {result[record["id"]]["crm_id"] for result in results}
        assert len(ids) == 1, ids
        assert office.db.one("SELECT COUNT(*) FROM vtiger_calls WHERE call_id = " + quoted(record["id"])) == "1"


@scenario
def one_bad_record_does_not_spoil_the_batch(office):
    good, other = call(), call()
    bad = call(status="nonsense")
    results = office.connector.send(good, bad, other)
    assert [results[one["id"]]["result"] for one in (good, bad, other)] == ["saved", "rejected", "saved"], results
    assert "status" in results[bad["id"]]["reason"]


@scenario
def a_request_without_the_right_signature_is_refused(office):
    body = {"op": "users"}
    spoilt = office.connector.post(body, spoil=lambda raw: raw.replace(b"users", b"xsers"))
    assert (spoilt.status, spoilt.body["error"]) == (401, "bad_signature"), spoilt.raw
    bare = office.connector.post(body, headers={"Content-Type": "application/json"})
    assert (bare.status, bare.body["error"]) == (401, "unsigned"), bare.raw
    assert office.connector.post(body, method="GET").status == 405


@scenario
def a_clock_that_is_off_is_told_both_times(office):
    answer = office.connector.post({"op": "users"}, moment=int(time.time()) - 1000)
    assert (answer.status, answer.body["error"]) == (401, "clock"), answer.raw
    assert answer.body["message"].count("T") >= 2


@scenario
def a_nonce_is_good_once(office):
    nonce = os.urandom(16).hex()
    assert office.connector.post({"op": "users"}, nonce=nonce).status == 200
    answer = office.connector.post({"op": "users"}, nonce=nonce)
    assert (answer.status, answer.body["error"]) == (401, "nonce"), answer.raw


@scenario
def the_endpoint_opens_no_php_session(office):
    answer = office.connector.post({"op": "users"})
    assert not answer.headers.get("Set-Cookie"), answer.headers
    assert answer.headers["Content-Type"].startswith("application/json")


@scenario
def a_php_fatal_is_still_an_answer_and_spoils_one_record(office):
    root = os.environ.get("VTIGER_ROOT")
    if not root:
        return "VTIGER_ROOT is not given"
    handler = os.path.join(root, "modules/Calls/CallsE2eFatal.php")
    with open(handler, "w") as written:
        written.write("<?php class CallsE2eFatal extends VTEventHandler { function handleEvent($n, $d) { if ($d->getModuleName() === 'Calls' && $d->get('call_trunk') === 'fatal') { ini_set('memory_limit', '90M'); $x = str_repeat('x', 2000000000); } } }")
    office.db.run("INSERT INTO vtiger_eventhandlers (event_name, handler_path, handler_class, cond, is_active, dependent_on) VALUES ('vtiger.entity.aftersave', 'modules/Calls/CallsE2eFatal.php', 'CallsE2eFatal', '', 1, '[]')")
    try:
        good, killer, rest = call(), call(trunk="fatal"), call()
        results = office.connector.send(good, killer, rest)
        assert [results[one["id"]]["result"] for one in (good, killer, rest)] == ["saved", "rejected", "retry"], results
        assert "memory" in results[killer["id"]]["reason"].lower(), results
        assert office.db.one("SELECT COUNT(*) FROM vtiger_calls WHERE call_id = " + quoted(killer["id"])) == "0", "half a record is left"
    finally:
        office.db.run("DELETE FROM vtiger_eventhandlers WHERE handler_class = 'CallsE2eFatal'")
        os.remove(handler)
    assert office.connector.send(killer, rest)[killer["id"]]["result"] == "saved"


@scenario
def at_least_150_records_a_second_with_two_senders(office):
    def batches(count):
        return [[call(status="completed", client_number=office.fresh_number(), extension="101", did="+74951234531", talk_seconds=61.5, ring_seconds=3, trunk="t", queue="sales",
                      timeline=[{"at": wire_time(time.time()), "step": "ring", "who": "101"}] * 5) for _ in range(50)] for _ in range(count)]

    work = [batches(6), batches(6)]
    office.connector.send(*batches(1)[0])
    began = time.time()

    def send(mine):
        for batch in mine:
            office.connector.send(*batch)

    threads = [threading.Thread(target=send, args=(mine,)) for mine in work]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    rate = 600 / (time.time() - began)
    assert rate >= 150, "%.0f records/s" % rate
    return "%.0f records/s" % rate
