"""vTiger's own module PBXManager, unmodified, behind the connector's `kind = "pbxmanager"`: calls of real phones on a real Asterisk, and what that module
makes of them. Each function's name is its sentence."""
import json
import time

from live.stage import until
from tests.lab import processes

STOCK = []
SECRET = "stock-secret-of-the-live-suite"
ADMIN = 1


def stock(function):
    def played(stage):
        if "stock" not in stage.service.name:
            stage.done_with(stage.service)
            gateway(stage, SECRET)
            stage.service = serve(stage)
        return function(stage)
    played.__name__ = function.__name__
    # The stage is left as it is between these, and made plain for whatever comes after them.
    played.own_stage = True
    STOCK.append(played)
    return played


def serve(stage, name="stock", more=""):
    return stage.serve(name, {"lab": stage.pbx}, [("stock", SECRET, stage.vtiger.url, 'kind = "pbxmanager"\n' + more)], public=True)


def gateway(stage, secret, url="http://127.0.0.1:1"):
    """The module's settings, as an administrator saves them."""
    known = stage.vtiger.db.one("SELECT id FROM vtiger_pbxmanager_gateway")
    answer = stage.vtiger.admin.post({"module": "PBXManager", "parent": "Settings", "action": "SaveAjax", "id": known or "", "webappurl": url, "outboundcontext": "from-internal",
                                      "outboundtrunk": "trunk-msk", "vtigersecretkey": secret})
    assert answer.json().get("success"), answer.text[:300]


def known(stage, number):
    """The connector's records of a client, newest first."""
    said = stage.service.command("calls", "--json", "--client", number).stdout
    return [json.loads(line) for line in said.splitlines() if line.strip()]


COLUMNS = ("direction", "callstatus", "customernumber", "customer", "customertype", "user", "smownerid", "totalduration", "billduration", "recordingurl")


def rows_of(stage, record_id):
    sql = "SELECT p.direction, p.callstatus, p.customernumber, p.customer, p.customertype, p.user, e.smownerid, p.totalduration, p.billduration, p.recordingurl FROM vtiger_pbxmanager p " \
          "JOIN vtiger_crmentity e ON e.crmid = p.pbxmanagerid WHERE e.deleted = 0 AND p.sourceuuid = '%s'" % record_id
    return [dict(zip(COLUMNS, ["" if value == "NULL" else value for value in row])) for row in stage.vtiger.db.rows(sql)]


ENDS = ("completed", "no-answer", "busy", "failed")


def settled(stage, number, records=1, **want):
    """The vTiger record of each of the connector's records of that client, once they are as wanted: the first, and all of them at their end if nothing
    is said of `callstatus`."""
    last = []

    def found():
        own = known(stage, number)
        rows = {record["id"]: rows_of(stage, record["id"]) for record in own}
        last[:] = [own and [(r["id"], r["status"]) for r in own], rows]
        if len(own) != records or any(len(of) != 1 for of in rows.values()):
            return None
        if "callstatus" not in want and any(of[0]["callstatus"] not in ENDS for of in rows.values()):
            return None
        first = rows[next(record["id"] for record in own if record["lead"])][0]
        return (first, [of[0] for of in rows.values()]) if all(str(first[key]) == str(value) for key, value in want.items()) else None

    try:
        return processes.wait_for("the call in vTiger", 15, found, every_s=0.1)
    except TimeoutError:
        raise AssertionError("%s is not %s but %s" % (number, want, last)) from None


def user(stage, name):
    return stage.vtiger.users[name]


def talk(stage, did, extension, number, seconds=2):
    phone = stage.pbx.phone(extension, number, ring=0.05, answer=0.3)
    call = stage.pbx.client_calls(did, number)
    phone.call().wait_up()
    call.wait_up()
    time.sleep(seconds)
    call.hangup()
    stage.pbx.phones.forget(phone)


@stock
def stock_an_answered_call_is_the_clients_and_the_managers(stage):
    number = stage.vtiger.fresh_number()
    contact = stage.vtiger.contact(number)
    talk(stage, "+7495201101", 101, number)
    op1 = user(stage, "calls_op1")
    row, _ = settled(stage, number, direction="inbound", callstatus="completed", customer=contact, customertype="Contacts", user=op1, smownerid=op1)
    assert int(row["billduration"]) in (1, 2) and int(row["totalduration"]) >= int(row["billduration"]), row

    def linked():
        return settled(stage, number)[0]["recordingurl"]
    url = until("the recording is linked", 15, linked)
    assert "/r/" in url and len(url) <= 200, url
    page = stage.vtiger.admin.opener.open(url)
    assert page.read(4) == b"RIFF", page.status
    return "%s digits" % row["customernumber"]


@stock
def stock_a_missed_call_is_missed_and_his_whose_phone_rang(stage):
    number = stage.vtiger.fresh_number()
    phone = stage.pbx.phone(101, number, ring=0.05)
    call = stage.pbx.client_calls("+74951234567", number)
    phone.call().wait_ringing()
    settled(stage, number, callstatus="ringing")
    time.sleep(0.5)
    call.hangup()
    stage.pbx.phones.forget(phone)
    settled(stage, number, direction="inbound", callstatus="no-answer", user=user(stage, "calls_op1"), billduration=0)


@stock
def stock_a_client_lost_in_the_menu_is_there(stage):
    number = stage.vtiger.fresh_number()
    call = stage.pbx.client_calls("+74951234520", number)
    call.wait_up()
    time.sleep(1)
    call.hangup()
    settled(stage, number, direction="inbound", callstatus="no-answer", user="", smownerid=ADMIN)


@stock
def stock_a_busy_phone_is_busy(stage):
    number = stage.vtiger.fresh_number()
    phone = stage.pbx.phone(101, number, ring=0.05, reject=(486, 0.3))
    stage.pbx.client_calls("+74951234567", number).wait_ended()
    stage.pbx.phones.forget(phone)
    row, _ = settled(stage, number, direction="inbound", user=user(stage, "calls_op1"))
    assert row["callstatus"] in ("busy", "no-answer"), row
    return row["callstatus"]


@stock
def stock_an_anonymous_client_is_not_the_first_there_is(stage):
    before = stage.vtiger.db.one("SELECT COALESCE(MAX(pbxmanagerid), 0) FROM vtiger_pbxmanager")
    phone = stage.pbx.phone(101, "anonymous", ring=0.05, answer=0.3)
    call = stage.pbx.trunk.call("+74951234567", "anonymous", display="Anonymous")
    call.wait_up()
    time.sleep(1)
    call.hangup()
    stage.pbx.phones.forget(phone)
    sql = "SELECT direction, callstatus, COALESCE(customer, '') FROM vtiger_pbxmanager WHERE pbxmanagerid > %s" % before
    until("it is told", 10, lambda: stage.vtiger.db.rows(sql) == [["inbound", "completed", ""]])


@stock
def stock_a_short_number_finds_nobody(stage):
    phone = stage.pbx.phone(101, "791", ring=0.05, answer=0.3)
    before = stage.vtiger.db.one("SELECT COALESCE(MAX(pbxmanagerid), 0) FROM vtiger_pbxmanager")
    call = stage.pbx.trunk.call("+74951234567", "791")
    call.wait_up()
    time.sleep(0.5)
    call.hangup()
    stage.pbx.phones.forget(phone)
    sql = "SELECT direction, callstatus, COALESCE(customer, '') FROM vtiger_pbxmanager WHERE pbxmanagerid > %s" % before
    until("it is told", 10, lambda: stage.vtiger.db.rows(sql) == [["inbound", "completed", ""]])


@stock
def stock_an_extension_that_nobody_has_leaves_no_record_without_owner(stage):
    number = stage.vtiger.fresh_number()
    talk(stage, "+7495200110", 110, number, seconds=1)
    settled(stage, number, direction="inbound", callstatus="completed", user="", smownerid=ADMIN)


@stock
def stock_of_phones_that_ring_together_each_is_a_record(stage):
    number = stage.vtiger.fresh_number()
    phones = [stage.pbx.phone(101, number, ring=0.05), stage.pbx.phone(102, number, ring=0.05, answer=0.6), stage.pbx.phone(103, number, ring=0.05)]
    call = stage.pbx.client_calls("+74951234550", number)
    call.wait_up()
    time.sleep(1)
    call.hangup()
    for phone in phones:
        stage.pbx.phones.forget(phone)
    _, rows = settled(stage, number, records=3, user=user(stage, "calls_op2"))
    assert sorted(row["callstatus"] for row in rows) == ["completed", "no-answer", "no-answer"], rows


@stock
def stock_an_outgoing_call_is_outgoing(stage):
    number = stage.vtiger.fresh_number()
    contact = stage.vtiger.contact(number)
    there = stage.pbx.outside(number, None, ring=0.05, answer=0.4)
    call = stage.pbx.phone_calls(101, number)
    call.wait_up()
    time.sleep(1.5)
    call.hangup()
    stage.pbx.trunk.forget(there)
    op1 = user(stage, "calls_op1")
    settled(stage, number, direction="outbound", callstatus="completed", customer=contact, user=op1, smownerid=op1)


@stock
def stock_an_outgoing_call_that_fails_belongs_to_who_called(stage):
    for behaviour, status in (({"reject": (486, 0.3)}, "busy"), ({}, "no-answer")):
        number = stage.vtiger.fresh_number()
        there = stage.pbx.outside(number, None, ring=0.05, **behaviour)
        call = stage.pbx.phone_calls(101, number)
        if status == "no-answer":
            there.call().wait_ringing()
            time.sleep(0.5)
            call.hangup()
        call.wait_ended()
        stage.pbx.trunk.forget(there)
        settled(stage, number, direction="outbound", callstatus=status, user=user(stage, "calls_op1"), billduration=0)


@stock
def stock_an_internal_call_is_kept_as_well_as_it_can_be(stage):
    before = stage.vtiger.db.one("SELECT COALESCE(MAX(pbxmanagerid), 0) FROM vtiger_pbxmanager")
    phone = stage.pbx.phone(102, "101", ring=0.05, answer=0.3)
    call = stage.pbx.phone_calls(101, "102")
    call.wait_up()
    time.sleep(1)
    call.hangup()
    stage.pbx.phones.forget(phone)
    sql = "SELECT direction, callstatus, customernumber, user, COALESCE(customer, '') FROM vtiger_pbxmanager WHERE pbxmanagerid > %s" % before
    until("it is told", 10, lambda: [row[1] for row in stage.vtiger.db.rows(sql)] == ["completed"])
    (row,) = stage.vtiger.db.rows(sql)
    assert row[0] == "outbound" and "102" in row[2] and row[3:] == [str(user(stage, "calls_op1")), ""], row


@stock
def stock_a_blind_transfer_is_a_record_each(stage):
    number = stage.vtiger.fresh_number()
    first, target = stage.pbx.phone(101, number, ring=0.05, answer=0.3), stage.pbx.phone(102, number, ring=0.05, answer=0.5)
    call = stage.pbx.client_calls("+74951234567", number)
    leg = first.call()
    leg.wait_up()
    call.wait_up()
    time.sleep(1)
    leg.refer("102")
    target.call().wait_up()
    leg.hangup()
    time.sleep(1)
    call.hangup()
    for phone in (first, target):
        stage.pbx.phones.forget(phone)
    _, rows = settled(stage, number, records=2)
    assert [row["callstatus"] for row in rows] == ["completed"] * 2, rows
    assert {row["user"] for row in rows} == {str(user(stage, "calls_op1")), str(user(stage, "calls_op2"))}, rows


@stock
def stock_a_queue_has_the_phone_that_answered(stage):
    number = stage.vtiger.fresh_number()
    phones = [stage.pbx.phone(101, None, ring=0.05, answer=0.6), stage.pbx.phone(102, None, ring=0.05), stage.pbx.phone(103, None, ring=0.05)]
    call = stage.pbx.client_calls("+74951234531", number)
    phones[0].call().wait_up()
    time.sleep(1)
    call.hangup()
    for phone in phones:
        stage.pbx.phones.forget(phone)
    row, _ = settled(stage, number, records=3, direction="inbound", user=user(stage, "calls_op1"))
    assert row["callstatus"] == "completed", row


@stock
def stock_a_number_written_otherwise_on_the_card_is_found(stage):
    number = stage.vtiger.fresh_number()
    contact = stage.vtiger.contact("8 (%s) %s-%s-%s" % (number[2:5], number[5:8], number[8:10], number[10:]))
    talk(stage, "+74951234567", 101, number, seconds=0.7)
    settled(stage, number, customer=contact)


@stock
def stock_a_hostile_name_breaks_nothing(stage):
    number = stage.vtiger.fresh_number()
    sender = ('"\\"><script>alert(1)</script>%%\' OR 1=1 --" <sip:%s@%s>' % (number, stage.pbx.lane.trunk)).encode()
    phone = stage.pbx.phone(101, number, ring=0.05, answer=0.3)
    call = stage.pbx.client_calls("+74951234567", number, raw_from=sender)
    call.wait_up()
    time.sleep(0.7)
    call.hangup()
    stage.pbx.phones.forget(phone)
    settled(stage, number, callstatus="completed", user=user(stage, "calls_op1"))


@stock
def stock_a_wrong_secret_loses_nothing(stage):
    gateway(stage, "another")
    numbers = [stage.vtiger.fresh_number() for _ in range(2)]
    for number in numbers:
        talk(stage, "+74951234567", 101, number, seconds=0.5)
    waits = until("they wait", 10, lambda: "secret" in stage.service.command("outbox").stdout.lower())
    assert waits and not any(rows_of(stage, record["id"]) for number in numbers for record in known(stage, number))
    gateway(stage, SECRET)
    stage.service.command("outbox", "retry")
    for number in numbers:
        settled(stage, number, callstatus="completed", user=user(stage, "calls_op1"))


@stock
def stock_a_connector_killed_in_mid_call_makes_no_second_record(stage):
    number = stage.vtiger.fresh_number()
    phone = stage.pbx.phone(101, number, ring=0.05, answer=0.3)
    call = stage.pbx.client_calls("+74951234567", number)
    phone.call().wait_up()
    settled(stage, number, callstatus="in-progress")
    stage.service.kill()
    stage.service.start()
    time.sleep(1)
    call.hangup()
    stage.pbx.phones.forget(phone)
    settled(stage, number, callstatus="completed", user=user(stage, "calls_op1"))


@stock
def stock_a_click_in_vtiger_calls(stage):
    gateway(stage, SECRET, "http://" + stage.service.http)
    number = stage.vtiger.fresh_number()
    contact = stage.vtiger.contact(number)
    mine = stage.pbx.phone(101, None, ring=0.05, answer=0.3)
    there = stage.pbx.outside(number, None, ring=0.05, answer=0.4)
    answer = stage.vtiger.as_user("calls_op1").action("OutgoingCall", module="PBXManager", number=number, record=str(contact))
    assert answer == {"success": True, "result": True}, answer
    call = there.call()
    call.wait_up()
    time.sleep(1)
    call.hangup()
    for agent, thing in ((stage.pbx.phones, mine), (stage.pbx.trunk, there)):
        agent.forget(thing)
    settled(stage, number, direction="outbound", callstatus="completed", customer=contact, user=user(stage, "calls_op1"))
    gateway(stage, "another", "http://" + stage.service.http)
    try:
        refused = stage.vtiger.as_user("calls_op1").action("OutgoingCall", module="PBXManager", number=number, record=str(contact))
        assert refused["result"] is False, refused
    finally:
        gateway(stage, SECRET)


@stock
def stock_the_list_of_vtiger_shows_them(stage):
    page = stage.vtiger.admin.get("index.php?module=PBXManager&view=List")
    assert page.status == 200 and "listViewEntries" in page.text and "<script>alert(1)" not in page.text
