"""Calls as records of vTiger: history, workflows, rights, lists, filters, tabs, card. Each function's name is its sentence; screens are asked first, the database for what no screen shows."""
import json
import os
import re
import time
import urllib.request

from connector import call, wire_time
from database import quoted
from office import squeezed
from scenarios.common import saved, scenario


# As any module


@scenario
def the_history_of_a_call_is_kept(office):
    record, crm_id = saved(office, status="ringing")
    office.connector.send(dict(record, revision=record["revision"] + 1, status="missed"))
    rows = office.db.rows("SELECT prevalue, postvalue FROM vtiger_modtracker_basic b JOIN vtiger_modtracker_detail d USING (id) WHERE b.crmid = %d AND fieldname = 'call_status'" % crm_id)
    assert ["ringing", "missed"] in rows, rows
    page = office.admin.get("index.php?module=Calls&view=Detail&record=%d&mode=showRecentActivities&page=1&tab_label=LBL_UPDATES" % crm_id)
    assert "Missed" in page.text, squeezed(page.text)[:300]


@scenario
def a_workflow_fires_on_create_and_on_update_and_once_for_a_missed_client(office):
    office.db.run("DELETE FROM com_vtiger_workflows WHERE workflowname = 'calls e2e'")
    queue = int(office.db.one("SELECT COALESCE(MAX(workflow_id), 0) + 1 FROM com_vtiger_workflows"))
    test = json.dumps([{"fieldname": "is_main", "operation": "is", "value": "true:boolean", "valuetype": "rawtext", "joincondition": "and", "groupjoin": None, "groupid": "0"},
                       {"fieldname": "call_status", "operation": "is", "value": "missed", "valuetype": "rawtext", "joincondition": "", "groupjoin": None, "groupid": "0"}])
    office.db.run("INSERT INTO com_vtiger_workflows (workflow_id, module_name, summary, test, execution_condition, defaultworkflow, type, filtersavedinnew, status, workflowname) "
                  "VALUES (%d, 'Calls', 'calls e2e', %s, 2, 0, 'basic', 6, 1, 'calls e2e')" % (queue, quoted(test)))
    task = ('O:18:"VTUpdateFieldsTask":5:{s:18:"executeImmediately";b:1;s:10:"workflowId";i:%d;s:7:"summary";s:1:"x";s:6:"active";b:1;s:19:"field_value_mapping";s:%d:"%s";}')
    mapping = json.dumps([{"fieldname": "description", "value": "seen by workflow", "valuetype": "rawtext"}])
    serialized = task % (queue, len(mapping), mapping)
    tid = int(office.db.one("SELECT COALESCE(MAX(task_id), 0) + 1 FROM com_vtiger_workflowtasks"))
    serialized = serialized.replace('":5:{', '":6:{', 1)[:-1] + 's:2:"id";i:%d;}' % tid
    office.db.run("INSERT INTO com_vtiger_workflowtasks (task_id, workflow_id, summary, task) VALUES (%d, %d, 'x', %s)" % (tid, queue, quoted(serialized)))
    try:
        record, main = saved(office, status="ringing")
        other = dict(call(conversation=record["conversation"], n=2, status="missed"), lead=False)
        other_id = int(office.connector.send(other)[other["id"]]["crm_id"])

        def seen(crm_id):
            return office.db.one("SELECT description FROM vtiger_crmentity WHERE crmid = %d" % crm_id)

        assert seen(main) != "seen by workflow", "not missed yet"
        office.connector.send(dict(record, revision=record["revision"] + 1, status="missed"))
        assert seen(main) == "seen by workflow", "on update"
        assert seen(other_id) != "seen by workflow", "one client is missed once, not once per phone"
        _, created = saved(office, status="missed")
        assert seen(created) == "seen by workflow", "on create"
    finally:
        office.db.run("DELETE FROM com_vtiger_workflowtasks WHERE workflow_id = %d; DELETE FROM com_vtiger_workflows WHERE workflow_id = %d" % (queue, queue))


@scenario
def people_comment_a_call(office):
    _, crm_id = saved(office)
    answer = office.admin.action("SaveAjax", module="ModComments", commentcontent="перезвонить завтра", related_to=crm_id)
    assert answer["success"], answer
    page = office.admin.get("index.php?module=Calls&view=Detail&record=%d&mode=showAllComments&relatedModule=ModComments&tab_label=ModComments" % crm_id)
    page = page if "перезвонить" in page.text else office.admin.get("index.php?module=Calls&relatedModule=ModComments&view=Detail&record=%d&mode=showRelatedList&tab_label=ModComments" % crm_id)
    assert "перезвонить завтра" in page.text


@scenario
def what_the_exchange_said_people_cannot_change(office):
    _, crm_id = saved(office, status="missed")
    office.admin.action("SaveAjax", record=crm_id, field="description", value="моё")
    assert office.db.one("SELECT description FROM vtiger_crmentity WHERE crmid = %d" % crm_id) == "моё"
    page = office.admin.get("index.php?module=Calls&view=Edit&record=%d" % crm_id)
    assert 'name="call_status"' not in page.text and 'name="description"' in page.text
    for forged in ({"action": "SaveAjax", "field": "call_status", "value": "completed"}, {"action": "Save", "call_status": "completed", "assigned_user_id": "1"}):
        office.admin.post(dict(forged, module="Calls", record=crm_id))
    assert office.db.call(crm_id)["call_status"] == "missed"


@scenario
def nobody_makes_a_call_record_by_hand(office):
    assert "basicAction_LBL_ADD_RECORD" not in office.admin.list_rows(office.views()["All"])[1].text, "a button to add one"
    before = office.db.one("SELECT COUNT(*) FROM vtiger_calls")
    for action in ("Save", "SaveAjax"):
        office.admin.post({"module": "Calls", "action": action, "call_name": "by hand", "assigned_user_id": "1"})
    assert office.db.one("SELECT COUNT(*) FROM vtiger_calls") == before


@scenario
def everybody_sees_calls_and_only_owners_change_them(office):
    _, crm_id = saved(office, extension="101")
    other = office.as_user("calls_op2")
    assert other.card(crm_id).status == 200 and "calls-story" in other.card(crm_id).text
    other.action("SaveAjax", record=crm_id, field="description", value="чужое")
    assert office.db.one("SELECT description FROM vtiger_crmentity WHERE crmid = %d" % crm_id) in ("", "NULL")


@scenario
def the_webservice_reads_calls(office):
    import hashlib
    key = office.db.one("SELECT accesskey FROM vtiger_users WHERE id = 1")
    base = office.url + "/webservice.php"
    challenge = json.load(urllib.request.urlopen(base + "?operation=getchallenge&username=admin"))["result"]["token"]
    data = ("operation=login&username=admin&accessKey=" + hashlib.md5((challenge + key).encode()).hexdigest()).encode()
    session = json.load(urllib.request.urlopen(base, data))["result"]["sessionName"]
    record, crm_id = saved(office, status="missed", client_number=office.fresh_number())
    query = urllib.request.quote("select call_status, client_number from Calls where call_id = '%s';" % record["id"])
    answer = json.load(urllib.request.urlopen(base + "?operation=query&sessionName=%s&query=%s" % (session, query)))
    assert answer["success"] and answer["result"][0]["call_status"] == "missed", answer


@scenario
def calls_are_exported(office):
    saved(office, status="missed", client_number="89169998877")
    page = office.admin.post({"module": "Calls", "source_module": "Calls", "action": "ExportData", "mode": "ExportAllData", "viewname": office.views()["All"], "selected_ids": "[]", "excluded_ids": "[]", "page": 1})
    assert page.status == 200 and "89169998877" in page.text, squeezed(page.text)[:300]


@scenario
def administrators_add_fields_of_their_own(office):
    block = office.db.one("SELECT blockid FROM vtiger_blocks b JOIN vtiger_tab t ON t.tabid = b.tabid WHERE t.name = 'Calls' AND blocklabel = 'LBL_CUSTOM_INFORMATION'")
    known = office.db.one("SELECT fieldname FROM vtiger_field f JOIN vtiger_tab t USING (tabid) WHERE t.name = 'Calls' AND fieldlabel = 'E2E Note'")
    if not known:
        answer = office.admin.action("Field", module="LayoutEditor", parent="Settings", mode="add", sourceModule="Calls", blockid=block, fieldType="Text", fieldLabel="E2E Note", fieldLength=50, fieldTypeList=0, mandatory="O", masseditable=0, summaryfield=0, headerfield=0, presence=2, quickcreate=0)
        assert answer["success"], answer
        known = office.db.one("SELECT fieldname FROM vtiger_field f JOIN vtiger_tab t USING (tabid) WHERE t.name = 'Calls' AND fieldlabel = 'E2E Note'")
    record, crm_id = saved(office)
    answer = office.admin.action("SaveAjax", record=crm_id, field=known, value="заметка")
    assert answer["success"], answer
    office.connector.send(dict(record, revision=record["revision"] + 1, talk_seconds=5))
    assert office.db.one("SELECT %s FROM vtiger_callscf WHERE callsid = %d" % (known, crm_id)) == "заметка", "an update leaves it alone"


# Lists, filters, tabs, card


@scenario
def filters_of_the_box_show_what_they_say(office):
    views = office.views()
    mark = "trunk-" + os.urandom(4).hex()
    missed_record, missed = saved(office, status="missed", follow_up="open", trunk=mark)
    _, back = saved(office, status="missed", follow_up="called_back", trunk=mark)
    _, outgoing = saved(office, direction="outgoing", extension="102", trunk=mark)
    _, internal = saved(office, direction="internal", extension="102", trunk=mark, **{"from": "101", "to": "102"})
    _, phone = saved(office, conversation=missed_record["conversation"], n=2, status="missed", lead=False, trunk=mark)
    _, old = saved(office, now=time.time() - 3 * 86400, status="missed", follow_up="open", trunk=mark)

    def shown(view, user="admin"):
        return set(office.as_user(user).list_rows(views[view], search_params=json.dumps([[["call_trunk", "e", mark]]]))[0])

    assert {missed, back, outgoing, internal, phone, old} <= shown("All")
    assert shown("Missed") >= {missed, back, old} and not shown("Missed") & {outgoing, internal, phone}
    assert missed in shown("Missed and not called back") and not shown("Missed and not called back") & {back, phone}
    # vTiger 8.0 adds a Moscow user's three hours twice when the server runs in UTC: from 18 to 21 h its "today" is tomorrow, for every module.
    night = 18 <= time.gmtime().tm_hour < 21
    assert (night or missed in shown("Today")) and not shown("Today") & {old, phone}
    assert outgoing in shown("Outgoing") and not shown("Outgoing") & {missed, internal}
    assert internal in shown("Internal") and missed not in shown("Internal")
    assert missed in shown("Incoming") and not shown("Incoming") & {outgoing, phone}
    assert outgoing in shown("Mine", "calls_op2") and missed not in shown("Mine", "calls_op2")


@scenario
def tabs_show_main_records_and_all_phones_one_click_away(office):
    number = office.fresh_number()
    contact = office.contact(number)
    main, main_id = saved(office, status="completed", client_number=number, extension="101")
    _, phone_id = saved(office, conversation=main["conversation"], n=2, status="no_answer", lead=False, client_number=number, extension="102")
    assert office.admin.related_rows("Contacts", contact, "Calls")[0] == [main_id]
    assert set(office.admin.related_rows("Contacts", contact, "Calls (all phones)")[0]) == {main_id, phone_id}
    for module, field, name in (("Leads", "phone", {"lastname": "Вкладкин"}), ("Accounts", "phone", {"accountname": "Вкладка " + number})):
        number = office.fresh_number()
        client = office.admin.save(module, assigned_user_id="1", **{field: number}, **name)
        main, main_id = saved(office, status="completed", client_number=number, extension="101")
        _, phone_id = saved(office, conversation=main["conversation"], n=2, status="no_answer", lead=False, client_number=number, extension="102")
        assert office.admin.related_rows(module, client, "Calls")[0] == [main_id], module
        assert set(office.admin.related_rows(module, client, "Calls (all phones)")[0]) == {main_id, phone_id}, module


@scenario
def a_ticket_has_the_calls_that_were_made_from_it(office):
    number = office.fresh_number()
    contact = office.contact(number)
    ticket = office.admin.save("HelpDesk", ticket_title="Не работает", contact_id=contact, assigned_user_id="1", ticketstatus="Open", ticketpriorities="Normal")
    _, crm_id = saved(office, direction="outgoing", click_to_call=True, crm_record=str(ticket), client_number=number, extension="101")
    assert office.admin.related_rows("HelpDesk", ticket, "Calls")[0] == [crm_id]
    assert office.admin.related_rows("Contacts", contact, "Calls")[0] == [crm_id]


@scenario
def the_card_has_the_other_phones_and_the_timeline(office):
    main, main_id = saved(office, status="completed", extension="101", timeline=[
        {"at": wire_time(time.time()), "step": "enter", "where": "+74951234531"}, {"at": wire_time(time.time()), "step": "ring", "who": "msk/101"},
        {"at": wire_time(time.time()), "step": "ring_end", "who": "msk/101", "how": "no_answer", "seconds": 65}, {"at": wire_time(time.time()), "step": "lookup"},
        {"at": wire_time(time.time()), "step": "transfer", "who": "101", "to": "103", "how": "blind"}, {"at": wire_time(time.time()), "step": "hangup", "how": "client"}])
    _, phone_id = saved(office, conversation=main["conversation"], n=2, status="no_answer", lead=False, extension="102")
    text = office.admin.card(main_id).text
    assert "record=%d\"" % phone_id in text
    steps = re.findall(r"calls-step-name\">([^<]*)</td><td class=\"calls-step-details\">([^<]*)<", text)
    assert steps == [("Call came in", "+74951234531"), ("Rings", "101"), ("Stopped ringing", "101 · no answer · 1:05"), ("Client looked up", ""),
                     ("Transferred", "101 → 103 · blind"), ("Hung up", "client")], steps
    text = office.admin.card(phone_id).text
    assert "record=%d\"" % main_id in text and "Main record of this conversation" in text


@scenario
def durations_are_shown_as_minutes_and_seconds(office):
    _, crm_id = saved(office, talk_seconds=3725, ring_seconds=65)
    assert "1:02:05" in office.admin.card(crm_id).text and "1:05" in office.admin.card(crm_id).text
    assert "1:02:05" in office.admin.list_rows(office.views()["All"])[1].text


@scenario
def everything_is_russian_for_a_russian(office):
    _, crm_id = saved(office, status="missed", reason="abandoned", direction="incoming", client_number=office.fresh_number(), follow_up="open", timeline=[{"at": wire_time(time.time()), "step": "ring", "who": "101"}])
    user = office.as_user("calls_op2")
    page = user.list_rows(office.views()["All"])[1].text
    for words in ("Звонки", "Направление", "Входящий", "Пропущен", "Пропущенные без перезвона"):
        assert words in page, words
    card = user.card(crm_id).text
    for words in ("Ход звонка", "Клиент не дождался", "Телефонная станция", "Не перезвонили", "Звонит"):
        assert words in card, words
    untranslated = re.findall(r">\s*((?:LBL_|STEP_|JS_CALLS)\w+)", card + page)
    assert not untranslated, untranslated


@scenario
def with_ten_thousand_calls_list_card_and_filters_stay_under_300_ms(office):
    have = int(office.db.one("SELECT COUNT(*) FROM vtiger_calls"))
    while have < 10000:
        batch = [call(now=time.time() - (have + i) * 60, status="missed" if i % 5 == 0 else "completed", follow_up="open" if i % 5 == 0 else None, client_number="+7495%07d" % ((have + i) % 3000),
                      extension=str(101 + i % 2), talk_seconds=i, lead=i % 3 != 2) for i in range(100)]
        office.connector.send(*batch)
        have += 100
    views = office.views()
    newest = int(office.db.one("SELECT MAX(callsid) FROM vtiger_calls"))
    times = {}

    def measure(name, work):
        work()
        best = []
        for _ in range(5):
            began = time.time()
            work()
            best.append((time.time() - began) * 1000)
        times[name] = sorted(best)[2]

    for user in ("admin", "calls_op1"):
        session = office.as_user(user)
        for view in views:
            measure("%s of %s" % (view, user), lambda: session.list_rows(views[view]))
        measure("card of " + user, lambda: session.get("index.php?module=Calls&view=Detail&record=%d" % newest))
    slow = {name: round(ms) for name, ms in times.items() if ms >= 300}
    assert not slow, slow
    return "%d calls; slowest %.0f ms" % (have, max(times.values()))
