"""Who is it: clients, employees, owners. Each function's name is its sentence; screens are asked first, the database for what no screen shows."""
import json
import time

from connector import wire_time
from office import squeezed
from scenarios.common import saved, scenario


@scenario
def the_client_is_found_however_his_number_is_written(office):
    number = office.fresh_number()
    pretty = "8 (%s) %s-%s-%s" % (number[2:5], number[5:8], number[8:10], number[10:])
    contact = office.contact(pretty)
    for written in (number, "8" + number[2:], number[2:]):
        _, crm_id = saved(office, status="missed", client_number=written, client_number_normalized=number)
        assert office.db.call(crm_id)["call_client"] == str(contact), written
    answer = office.connector.ask("lookup", number="8" + number[2:])
    assert answer["client"]["id"] == str(contact), answer


@scenario
def leads_and_organizations_are_clients_too(office):
    lead_number, account_number = office.fresh_number(), office.fresh_number()
    lead = office.admin.save("Leads", lastname="Лидова", phone=lead_number, assigned_user_id="1")
    account = office.admin.save("Accounts", accountname="ООО %s" % account_number, phone=account_number, assigned_user_id="1")
    assert office.connector.ask("lookup", number=lead_number)["client"]["id"] == str(lead)
    assert office.connector.ask("lookup", number=account_number)["client"]["id"] == str(account)


@scenario
def a_number_taken_from_the_card_finds_nobody_any_more(office):
    number, other = office.fresh_number(), office.fresh_number()
    contact = office.contact(number)
    answer = office.admin.action("SaveAjax", module="Contacts", record=contact, field="mobile", value=other)
    assert answer["success"], answer
    assert not office.connector.ask("lookup", number=number)["found"]
    assert office.connector.ask("lookup", number=other)["found"]


@scenario
def a_deleted_client_is_nobody_and_comes_back_when_restored(office):
    number = office.fresh_number()
    contact = office.contact(number)
    office.admin.action("Delete", module="Contacts", record=contact, ajaxDelete=1)
    assert not office.connector.ask("lookup", number=number)["found"]
    page = office.admin.post({"module": "RecycleBin", "action": "RecycleBinAjax", "mode": "restoreRecords", "sourceModule": "Contacts", "selected_ids": json.dumps([str(contact)])})
    assert page.json()["success"], page.text[:300]
    assert office.connector.ask("lookup", number=number)["found"]


@scenario
def several_clients_with_one_number_follow_the_rule(office):
    number = office.fresh_number()
    lead = office.admin.save("Leads", lastname="Двойников", phone=number, assigned_user_id="1")
    contact = office.contact(number)
    answer = office.connector.ask("lookup", number=number)
    assert (answer["client"]["id"], answer["others"]) == (str(contact), 1), answer
    office.settings("rules", client_modules="Leads", popup=1)
    try:
        assert office.connector.ask("lookup", number=number)["client"]["id"] == str(lead)
        _, crm_id = saved(office, client_number=number)
        assert office.db.call(crm_id)["call_client"] == str(lead), "card and AGI choose alike"
    finally:
        office.settings("rules", client_modules="Contacts", popup=1)


@scenario
def the_directory_tells_changes_since_the_last_time(office):
    cursor = ""
    while True:
        page = office.connector.ask("directory", cursor=cursor, limit=500)
        cursor = page["cursor"]
        if not page["more"]:
            break
    number = office.fresh_number()
    contact = office.contact(number)
    page = office.connector.ask("directory", cursor=cursor, limit=500)
    assert {"number": number, "id": str(contact)} in [{"number": entry["number"], "id": (entry["client"] or {}).get("id")} for entry in page["entries"]], page
    office.admin.action("Delete", module="Contacts", record=contact, ajaxDelete=1)
    page = office.connector.ask("directory", cursor=page["cursor"], limit=500)
    assert {"number": number, "client": None} in page["entries"], page


@scenario
def the_call_belongs_to_whose_extension_rang(office):
    _, crm_id = saved(office, extension="101")
    stored = office.db.call(crm_id)
    assert stored["crm_user"] == stored["owner"] == str(office.users["calls_op1"]), stored


@scenario
def an_outside_phone_belongs_to_whose_mobile_it_is(office):
    _, crm_id = saved(office, phone="89031110102")
    assert office.db.call(crm_id)["crm_user"] == str(office.users["calls_op2"])


@scenario
def a_call_nobody_took_goes_to_the_clients_manager_or_the_set_owner_or_the_group(office):
    number = office.fresh_number()
    office.contact(number, owner="calls_op2")
    _, mine = saved(office, status="missed", client_number=number)
    assert office.db.call(mine)["owner"] == str(office.users["calls_op2"])
    _, nobodys = saved(office, status="missed", extension="199", queue="e2e-queue")
    assert office.db.call(nobodys)["owner"] == str(office.default_group())
    office.settings("owner", kind="queue", value="e2e-queue", owner=office.users["calls_op1"])
    try:
        _, queued = saved(office, status="missed", queue="e2e-queue")
        assert office.db.call(queued)["owner"] == str(office.users["calls_op1"])
    finally:
        office.settings("owner", kind="queue", value="e2e-queue", remove=1)


@scenario
def a_deactivated_manager_gets_no_calls(office):
    number = office.fresh_number()
    office.contact(number, owner="calls_gone")
    office.db.run("UPDATE vtiger_users SET status = 'Inactive' WHERE id = %d" % office.users["calls_gone"])
    try:
        _, crm_id = saved(office, status="missed", client_number=number, extension="109")
        stored = office.db.call(crm_id)
        assert (stored["owner"], stored["crm_user"]) == (str(office.default_group()), "0"), stored
        gone = [user for user in office.connector.ask("users")["users"] if user["user"] == str(office.users["calls_gone"])]
        assert gone and not gone[0]["active"] and not gone[0]["extensions"], gone
    finally:
        office.db.run("UPDATE vtiger_users SET status = 'Active' WHERE id = %d" % office.users["calls_gone"])


@scenario
def internal_calls_have_no_client(office):
    office.contact("101")
    _, crm_id = saved(office, direction="internal", **{"from": "101", "to": "102"}, extension="102")
    stored = office.db.call(crm_id)
    assert (stored["call_client"], stored["crm_user"]) == ("0", str(office.users["calls_op2"])), stored


@scenario
def nobody_is_owner_zero_or_administrator_by_accident(office):
    rows = office.db.rows("SELECT COUNT(*) FROM vtiger_calls c JOIN vtiger_crmentity e ON e.crmid = c.callsid WHERE e.deleted = 0 AND (e.smownerid = 0 OR (e.smownerid = 1 AND c.call_client = 0 AND c.call_connector = %d))" % office.connector_id)
    assert rows == [["0"]], rows


@scenario
def the_default_group_is_made_again_when_somebody_deletes_it(office):
    group = office.default_group()
    office.db.run("DELETE FROM vtiger_groups WHERE groupid = %d" % group)
    _, crm_id = saved(office, status="missed")
    owner = office.db.call(crm_id)["owner"]
    assert owner not in ("0", "1") and owner == str(office.default_group()), owner
    office.db.run("UPDATE vtiger_crmentity SET smownerid = %s WHERE setype = 'Calls' AND smownerid = %d" % (owner, group))


@scenario
def an_owner_set_by_hand_stays(office):
    record, crm_id = saved(office, status="ringing")
    answer = office.admin.action("SaveAjax", record=crm_id, field="assigned_user_id", value=office.users["calls_op2"])
    assert answer["success"], answer
    office.connector.send(dict(record, revision=record["revision"] + 1, extension="101", status="completed"))
    assert office.db.call(crm_id)["owner"] == str(office.users["calls_op2"])


@scenario
def a_lead_that_becomes_a_contact_takes_his_calls_along(office):
    number = office.fresh_number()
    lead = office.admin.save("Leads", lastname="Превратов", phone=number, assigned_user_id="1", company="")
    _, crm_id = saved(office, client_number=number)
    assert office.db.call(crm_id)["call_client"] == str(lead)
    page = office.admin.post({"module": "Leads", "view": "SaveConvertLead", "record": lead, "modules": json.dumps(["Contacts"]), "assigned_user_id": "1",
                              "Contacts[lastname]": "Превратов", "lastname": "Превратов", "transferModule": "Contacts"})
    assert page.status == 200
    contact = office.db.one("SELECT contactid FROM vtiger_contactdetails WHERE lastname = 'Превратов' ORDER BY contactid DESC LIMIT 1")
    assert contact, squeezed(page.text)[:400]
    stored = office.db.call(crm_id)
    assert (stored["call_client"], stored["main_client"]) == (contact, contact), stored


@scenario
def forget_removes_the_clients_calls_and_they_do_not_come_back(office):
    number = office.fresh_number()
    record, crm_id = saved(office, client_number=number, client_number_normalized=number, timeline=[{"at": wire_time(time.time()), "step": "enter"}])
    assert office.connector.ask("forget", number=number)["calls"] == 1
    assert office.db.call(crm_id) is None
    assert office.db.one("SELECT COUNT(*) FROM vtiger_modtracker_basic WHERE crmid = %d" % crm_id) == "0"
    assert office.connector.send(dict(record, revision=record["revision"] + 1))[record["id"]]["result"] == "unchanged"
    assert office.db.call(crm_id) is None
