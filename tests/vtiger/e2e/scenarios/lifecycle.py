"""Install, update, disable, enable, uninstall. Each function's name is its sentence; screens are asked first, the database for what no screen shows."""
import os
import re
import shutil
import time

from scenarios.common import cli, healthy, saved, scenario


@scenario
def repair_changes_nothing_people_have_set(office):
    before = office.db.rows("SELECT cvid, viewname FROM vtiger_customview WHERE entitytype = 'Calls' ORDER BY cvid"), office.db.one("SELECT COUNT(*) FROM vtiger_field")
    counts = "SELECT (SELECT COUNT(*) FROM vtiger_eventhandlers WHERE handler_class = 'CallsHandler'), (SELECT COUNT(*) FROM vtiger_links WHERE linkurl LIKE '%Calls%'), (SELECT COUNT(*) FROM vtiger_relatedlists), (SELECT COUNT(*) FROM vtiger_call_status), (SELECT COUNT(*) FROM vtiger_settings_field), (SELECT COUNT(*) FROM vtiger_groups)"
    rows = office.db.rows(counts)
    office.db.run("DELETE FROM vtiger_call_status WHERE call_status = 'busy'")
    office.db.run("DELETE FROM vtiger_eventhandlers WHERE handler_class = 'CallsHandler' LIMIT 1")
    answer = office.settings("repair")
    assert answer["success"], answer
    assert office.db.rows(counts) == rows
    assert (office.db.rows("SELECT cvid, viewname FROM vtiger_customview WHERE entitytype = 'Calls' ORDER BY cvid"), office.db.one("SELECT COUNT(*) FROM vtiger_field")) == before


@scenario
def an_update_keeps_data_filters_and_users_settings(office):
    zipped = os.environ.get("CALLS_ZIP")
    if not zipped or not os.environ.get("VTIGER_ROOT"):
        return "CALLS_ZIP and VTIGER_ROOT are not given"
    record, crm_id = saved(office, status="missed")
    views, counts = office.views(), "SELECT (SELECT COUNT(*) FROM vtiger_calls), (SELECT COUNT(*) FROM vtiger_eventhandlers), (SELECT COUNT(*) FROM vtiger_links), (SELECT COUNT(*) FROM vtiger_relatedlists), (SELECT COUNT(*) FROM vtiger_field), (SELECT COUNT(*) FROM vtiger_cron_task)"
    rows = office.db.rows(counts)
    # What an earlier build did not have yet: a field, a picklist value, an index, a table.
    office.db.run("DELETE FROM vtiger_field WHERE fieldname = 'call_voicemail'; ALTER TABLE vtiger_calls DROP COLUMN call_voicemail; DELETE FROM vtiger_call_reason WHERE call_reason = 'lost';"
                  "ALTER TABLE vtiger_calls DROP INDEX calls_follow_up; DROP TABLE vtiger_calls_deputy; ALTER TABLE vtiger_calls_timeline DROP COLUMN recordings; ALTER TABLE vtiger_calls_ringing DROP COLUMN call_id;"
                  "DELETE FROM vtiger_recording_state WHERE recording_state IN ('recording', 'unavailable')")
    cli(office, "update", zipped)
    assert office.views() == views and office.db.rows(counts) == rows, (rows, office.db.rows(counts))
    assert office.db.one("SELECT COUNT(*) FROM vtiger_call_reason WHERE call_reason = 'lost'") == "1"
    assert office.db.one("SELECT COUNT(*) FROM vtiger_recording_state WHERE recording_state IN ('recording', 'unavailable')") == "2"
    office.connector.send(dict(record, revision=record["revision"] + 1, voicemail="box"))
    assert office.db.call(crm_id)["call_voicemail"] == "box"
    healthy(office)


@scenario
def a_disabled_module_says_so_and_leaves_vtigerhealthy(office):
    if cli(office, "disable") is None:
        return "VTIGER_ROOT is not given"
    try:
        answer = office.connector.post({"op": "users"})
        assert (answer.status, answer.body["error"]) == (503, "unavailable"), answer.raw
        assert office.db.one("SELECT COUNT(*) FROM vtiger_eventhandlers WHERE handler_class = 'CallsHandler'") == "0"
        healthy(office)
    finally:
        cli(office, "enable")
    number = office.fresh_number()
    office.contact(number)
    assert office.connector.ask("lookup", number=number)["found"], "enabled again, all is as before"


@scenario
def uninstalling_leaves_vtiger_healthy_and_keeps_or_removes_the_data_as_asked(office):
    zipped = os.environ.get("CALLS_ZIP")
    if not zipped or not os.environ.get("VTIGER_ROOT"):
        return "CALLS_ZIP and VTIGER_ROOT are not given"
    record, crm_id = saved(office, status="missed")
    left = ("SELECT (SELECT COUNT(*) FROM vtiger_eventhandlers WHERE handler_class = 'CallsHandler') + (SELECT COUNT(*) FROM vtiger_cron_task WHERE name = 'Calls') + (SELECT COUNT(*) FROM vtiger_links WHERE linkurl LIKE '%module=Calls%' OR linklabel = 'CallsHeader')"
            " + (SELECT COUNT(*) FROM vtiger_relatedlists WHERE label LIKE 'Calls%') + (SELECT COUNT(*) FROM vtiger_settings_field WHERE name = 'LBL_CALLS_SETTINGS') + (SELECT COUNT(*) FROM vtiger_fieldmodulerel WHERE module = 'Calls' OR relmodule = 'Calls')"
            " + (SELECT COUNT(*) FROM vtiger_actionmapping WHERE actionname LIKE 'Calls%') + (SELECT COUNT(*) FROM vtiger_customview WHERE entitytype = 'Calls') + (SELECT COUNT(*) FROM vtiger_field WHERE fieldname = 'calls_caller_id')")
    cli(office, "uninstall")
    assert office.db.one(left) == "0"
    healthy(office)
    assert office.db.call(crm_id), "data is kept"
    cli(office, "install", zipped)
    assert office.connector.send(record)[record["id"]]["result"] == "unchanged", "installed again, it goes on where it was"
    assert "calls-story" in office.admin.card(crm_id).text
    office.settings("rules", client_modules="Contacts", popup=1, remove_data_on_uninstall=1)
    cli(office, "uninstall")
    assert office.db.rows("SHOW TABLES LIKE 'vtiger_calls%'") == [] and office.db.rows("SHOW TABLES LIKE 'vtiger_call\\_status%'") == []
    assert office.db.one("SELECT COUNT(*) FROM vtiger_crmentity WHERE setype = 'Calls'") == "0"
    healthy(office)
    number = office.fresh_number()
    before = office.contact(number)
    cli(office, "install", zipped)
    office.connector_id, office.connector.secret = office.known_connector("e2e", "End to end")
    office.standin.secret = office.connector.secret
    saved(office, status="missed")
    healthy(office)
    # Clients that were there before the module are known a few minutes later.
    office.heartbeat()
    until = time.time() + 240
    while not office.connector.ask("lookup", number=number)["found"]:
        assert time.time() < until, "a client of before the module is not found"
        cli(office, "minute")
    assert office.connector.ask("lookup", number=number)["client"]["id"] == str(before)


@scenario
def module_manager_imports_and_updates_it_by_its_own_pages(office):
    zipped = os.environ.get("CALLS_ZIP")
    if not zipped or not os.environ.get("VTIGER_ROOT"):
        return "CALLS_ZIP and VTIGER_ROOT are not given"
    _, crm_id = saved(office, status="missed")
    with open(zipped, "rb") as read:
        sound = read.read()

    def uploaded():
        """The second page of the wizard: what vTiger read in the zip."""
        page = office.admin.upload({"module": "ModuleManager", "parent": "Settings", "view": "ModuleImport", "mode": "importUserModuleStep2"}, "moduleZip", "Calls.zip", sound)
        found = dict(re.findall(r'name="(module_import_\w+)"[^>]*value="([^"]*)"', page.text))
        assert found.get("module_import_name") == "Calls", page.text[-2000:]
        return found
    answer = office.admin.action("Basic", module="ModuleManager", parent="Settings", mode="updateUserModuleStep3", **uploaded())
    assert answer["result"]["success"], answer
    assert office.db.call(crm_id) and "calls-story" in office.admin.card(crm_id).text
    cli(office, "uninstall")
    # Module Manager imports over no folder of a module it does not know.
    shutil.rmtree(os.path.join(os.environ["VTIGER_ROOT"], "modules", "Calls"))
    answer = office.admin.action("Basic", module="ModuleManager", parent="Settings", mode="importUserModuleStep3", **uploaded())
    assert answer["result"]["success"], answer
    office.connector_id, office.connector.secret = office.known_connector("e2e", "End to end")
    office.standin.secret = office.connector.secret
    assert "calls-story" in office.admin.card(crm_id).text, "the calls of before"
    for status, there in (("false", 503), ("true", 200)):
        office.admin.post({"module": "ModuleManager", "parent": "Settings", "action": "Basic", "mode": "updateModuleStatus", "forModule": "Calls", "updateStatus": status})
        assert office.connector.post({"op": "users"}).status == there, status
    healthy(office)
