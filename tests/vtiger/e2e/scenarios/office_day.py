"""The day of an office: who sits where, settings, faults, follow-up, dashboard. Each function's name is its sentence; screens are asked first, the database for what no screen shows."""
import datetime
import os
import time
import zoneinfo

from connector import Connector, call, wire_time
from database import quoted
from office import squeezed
from scenarios.common import HOSTILE, cli, denied, saved, scenario
from standin import MailServer


# Extension today


@scenario
def an_extension_for_today_is_taken_and_taken_over(office):
    one, two = office.as_user("calls_op1"), office.as_user("calls_op2")
    answer = one.action("Seat", mode="take", pbx="msk", extension="177")
    assert answer["success"] and "taken_from" not in answer["result"], answer
    _, crm_id = saved(office, extension="177")
    assert office.db.call(crm_id)["crm_user"] == str(office.users["calls_op1"])
    answer = two.action("Seat", mode="take", pbx="msk", extension="177")
    assert "op1" in answer["result"]["taken_from"], answer
    extensions = {user["user"]: [own["extension"] for own in user["extensions"]] for user in office.connector.ask("users")["users"]}
    assert extensions[str(office.users["calls_op2"])][0] == "177" and "177" not in extensions[str(office.users["calls_op1"])], extensions
    assert any(command["command"] == "refresh" and command["what"] == "users" for command in office.connector.ask("commands", wait_s=0)["commands"]), "told at once"
    _, later = saved(office, extension="177")
    assert office.db.call(later)["crm_user"] == str(office.users["calls_op2"])
    two.action("Seat", mode="leave")
    _, nobody = saved(office, extension="177")
    assert office.db.call(nobody)["crm_user"] == "0"


@scenario
def a_seat_ends_at_logout_at_the_set_hour_and_without_a_page(office):
    user = office.users["calls_op1"]

    def sits():
        return any(own["extension"] == "178" for one in office.connector.ask("users")["users"] if one["user"] == str(user) for own in one["extensions"])

    def takes(session):
        answer = session.action("Seat", mode="take", pbx="msk", extension="178")
        assert answer["success"] and sits(), answer
        return answer["result"]["seat"]

    session = office.as_user("calls_op1")
    # The hour is by the administrators' clock.
    seat = takes(session)
    zone = zoneinfo.ZoneInfo(office.db.one("SELECT time_zone FROM vtiger_users WHERE id = 1"))
    assert datetime.datetime.fromtimestamp(seat["until"], zone).strftime("%H:%M") == "03:00" and 0 < seat["until"] - time.time() <= 86400, seat
    office.db.run("UPDATE vtiger_calls_seat SET until = UNIX_TIMESTAMP() - 1 WHERE userid = %d AND extension = '178' AND until > UNIX_TIMESTAMP()" % user)
    assert not sits()
    if cli(office, "minute") is None:
        return "VTIGER_ROOT is not given: logout and idle pages left out"
    takes(session)
    office.db.run("UPDATE vtiger_calls_seat SET seen_at = UNIX_TIMESTAMP() - 13 * 3600 WHERE userid = %d AND extension = '178'" % user)
    cli(office, "minute")
    assert not sits(), "no page of his was open for thirteen hours"
    takes(session)
    cli(office, "minute")
    assert sits(), "he is here"
    session.get("index.php?module=Users&action=Logout")
    cli(office, "minute")
    assert not sits(), "he has gone"
    del office.sessions["calls_op1"]
    office.tabs.pop("calls_op1", None)


@scenario
def who_has_no_extension_is_asked_after_login_if_he_may_take_one(office):
    user = office.guest()
    office.db.run("UPDATE vtiger_calls_seat SET until = UNIX_TIMESTAMP() - 1 WHERE userid = %d AND until > UNIX_TIMESTAMP()" % user)
    tab = office.tab("calls_guest").open("index.php?module=Contacts&view=List")
    tab.wait("!!document.querySelector('#calls-seat-extension')", "the question")
    tab.run("document.querySelector('#calls-seat-extension').value = '179'")
    tab.click("#calls-seat-take")
    tab.wait("/179/.test((document.querySelector('#calls-seat-link') || {}).textContent || '')", "he sits there")
    tab.open("index.php?module=Contacts&view=List")
    tab.wait("/179/.test((document.querySelector('#calls-seat-link') || {}).textContent || '')", "on the next page, too")
    assert not tab.run("!!document.querySelector('#calls-seat-extension')"), "asked again"
    office.as_user("calls_guest").action("Seat", mode="leave")
    with denied(office, "calls_guest", "TakeExtension"):
        answer = office.as_user("calls_guest").action("Seat", mode="take", pbx="msk", extension="179")
        assert not answer["success"], answer
        assert office.as_user("calls_guest").get("index.php?module=Calls&action=Boot").json()["result"]["may_take"] is False


@scenario
def a_mini_list_shows_the_calls_of_a_filter(office):
    _, crm_id = saved(office, status="missed", client_number=office.fresh_number(), follow_up="open")
    link = office.db.one("SELECT linkid FROM vtiger_links WHERE linklabel = 'Mini List' AND linktype = 'DASHBOARDWIDGET' LIMIT 1")
    view = office.views()["Missed"]
    office.db.run("DELETE FROM vtiger_module_dashboard_widgets WHERE title = 'e2e mini list'; INSERT INTO vtiger_module_dashboard_widgets (linkid, userid, filterid, title, data, dashboardtabid) VALUES "
                  "(%s, 1, %d, 'e2e mini list', '{\"module\":\"Calls\",\"fields\":[\"call_started\",\"client_number\",\"call_status\"]}', 1)" % (link, view))
    widget = office.db.one("SELECT id FROM vtiger_module_dashboard_widgets WHERE title = 'e2e mini list'")
    page = office.admin.post({"module": "Home", "view": "ShowWidget", "name": "MiniList", "widgetid": widget, "content": "data"})
    office.db.run("DELETE FROM vtiger_module_dashboard_widgets WHERE id = " + widget)
    assert page.status == 200 and office.db.call(crm_id)["client_number"] in page.text, page.text[:500]


@scenario
def nonsense_is_no_extension(office):
    session = office.as_user("calls_op1")
    for pbx, extension in (("", "x"), ("", "1"), ("", "101; drop"), ("mars", "101")):
        assert not session.action("Seat", mode="take", pbx=pbx, extension=extension)["success"], (pbx, extension)


@scenario
def two_connectors_with_the_same_extensions_share_nothing(office):
    known = office.db.one("SELECT id FROM vtiger_calls_connector WHERE wire_key = 'e2e-other'")
    if not known:
        assert office.settings("connector", name="Other office", key="e2e-other", url="")["success"]
        known = office.db.one("SELECT id FROM vtiger_calls_connector WHERE wire_key = 'e2e-other'")
    other = Connector(office.url, "e2e-other", office.settings("show_secret", id=known)["result"]["secret"])
    other.ask("heartbeat", sent_at=wire_time(time.time()), region="RU", last_digits=7, pbxs=[{"pbx": "ekb", "up": True}])
    office.reach(False)
    user = office.users["calls_op2"]
    office.db.run("UPDATE vtiger_users SET phone_crm_extension = 'ekb/102' WHERE id = %d" % user)
    try:
        number = office.fresh_number()
        record = call(status="missed", client_number=number, pbx="ekb", extension="102")
        mine, theirs = office.connector.send(record)[record["id"]], other.send(record)[record["id"]]
        assert mine["result"] == theirs["result"] == "saved" and mine["crm_id"] != theirs["crm_id"], "an id is one connector's"
        request = office.as_user("calls_op2").action("ClickToCall", mode="place", number="84957654321", record="")["result"]
        assert request["state"] == "waiting", request

        def calls(connector):
            return [one["call"]["request"] for one in connector.ask("commands", wait_s=0)["commands"] if one["command"] == "call"]

        assert request["request"] in calls(other) and request["request"] not in calls(office.connector)
        extensions = {one["user"]: one["extensions"] for one in office.connector.ask("users")["users"]}
        assert extensions[str(user)] == [], "the other exchange's extension"
        assert [own["extension"] for own in {one["user"]: one["extensions"] for one in other.ask("users")["users"]}[str(user)]] == ["102"]
        office.connector.ask("forget", number=number)
        assert office.db.call(theirs["crm_id"]), "forget is for one's own calls"
        other.ask("commands", wait_s=0, done=[{"id": one["id"], "ok": True} for one in other.ask("commands", wait_s=0)["commands"]])
    finally:
        office.db.run("UPDATE vtiger_users SET phone_crm_extension = '102' WHERE id = %d; DELETE FROM vtiger_calls_connector WHERE id = %s" % (user, known))


# Settings


@scenario
def only_administrators_see_and_change_the_settings(office):
    user = office.as_user("calls_op1")
    page = user.get("index.php?module=Calls&parent=Settings&view=Index")
    assert "calls-settings" not in page.text
    before = office.db.one("SELECT secret FROM vtiger_calls_connector WHERE id = %d" % office.connector_id)
    for what in ("show_secret", "new_secret", "remove_connector"):
        answer = user.post({"module": "Calls", "parent": "Settings", "action": "Save", "what": what, "id": office.connector_id})
        assert before not in answer.text and '"success":true' not in answer.text, answer.text[:200]
    assert office.db.one("SELECT secret FROM vtiger_calls_connector WHERE id = %d" % office.connector_id) == before


@scenario
def the_settings_page_shows_the_state_and_the_log_without_secrets(office):
    office.heartbeat(version="9.9.9", outbox={"waiting": 12, "parked": 1}, last_error={"at": wire_time(time.time()), "message": HOSTILE},
                     pbxs=[{"pbx": "msk", "up": True, "asterisk": "20.11.0"}, {"pbx": "spb", "up": False, "since": wire_time(time.time() - 3600), "error": "connection refused"}])
    page = office.admin.get("index.php?module=Calls&parent=Settings&view=Index&log=%d" % office.connector_id)
    for words in ("9.9.9", "20.11.0", "connection refused", "12 / 1", "heartbeat"):
        assert words in page.text, words
    assert office.connector.secret not in page.text and HOSTILE not in page.text
    office.heartbeat()


@scenario
def the_test_button_tells_both_directions(office):
    office.heartbeat()
    office.settings("connector", id=office.connector_id, name="End to end", key="e2e", url=office.standin.url, enabled=1)
    answer = office.settings("test", id=office.connector_id)["result"]
    assert answer["reachable"] and answer["heard"] and "both directions" in answer["message"], answer
    office.standin.secret, right = "other", office.standin.secret
    answer = office.settings("test", id=office.connector_id)["result"]
    office.standin.secret = right
    assert not answer["reachable"] and "refused our signature" in answer["message"], answer
    office.reach(False)


@scenario
def a_switched_off_connector_is_told_so(office):
    office.settings("connector", id=office.connector_id, name="End to end", key="e2e", url="")
    answer = office.connector.post({"op": "users"})
    office.settings("connector", id=office.connector_id, name="End to end", key="e2e", url="", enabled=1)
    assert (answer.status, answer.body["error"]) == (403, "disabled"), answer.raw


# When it does not work


@scenario
def a_bar_says_when_telephony_is_down_and_click_to_call_says_so_at_once(office):
    office.heartbeat(pbxs=[{"pbx": "msk", "up": False, "since": wire_time(time.time() - 600)}, {"pbx": "spb", "up": True}])
    try:
        tab = office.tab("calls_op2").open("index.php?module=Calls&view=List")
        tab.run("sessionStorage.clear()")
        tab.open("index.php?module=Calls&view=List")
        tab.ask("Page.bringToFront")
        tab.wait("/Телефония не работает/.test((document.querySelector('#calls-bar') || {}).innerText || '')", "the bar", 10)
        answer = office.as_user("calls_op2").action("Seat", mode="take", pbx="msk", extension="102")
        answer = office.as_user("calls_op2").action("ClickToCall", mode="place", number="84957654321", record="")
        assert answer["result"]["reason"] == "pbx_down", answer
    finally:
        office.as_user("calls_op2").action("Seat", mode="leave")
        office.heartbeat()
    office.db.run("UPDATE vtiger_calls_connector SET heard_at = heard_at - 400 WHERE id = %d" % office.connector_id)
    answer = office.as_user("calls_op2").action("ClickToCall", mode="place", number="84957654321", record="")
    office.heartbeat()
    assert answer["result"]["reason"] == "connector_silent", answer


@scenario
def administrators_get_one_letter_after_ten_minutes_and_one_when_it_is_back(office):
    if not os.environ.get("VTIGER_ROOT"):
        return "VTIGER_ROOT is not given"
    mail = MailServer()
    before = office.db.rows("SELECT id, server, server_port, smtp_auth FROM vtiger_systems WHERE server_type = 'email'")
    office.db.run("DELETE FROM vtiger_systems WHERE server_type = 'email'; INSERT INTO vtiger_systems (id, server, server_port, server_username, server_password, server_type, smtp_auth, from_email_field) "
                  "VALUES (9001, '127.0.0.1:%d', 0, '', '', 'email', '0', 'crm@example.ru')" % mail.port)

    def letters():
        cli(office, "minute")
        return [subject for subject in mail.subjects() if "End to end" in subject]

    try:
        office.heartbeat()
        assert letters() == []
        silence = "UPDATE vtiger_calls_connector SET heard_at = UNIX_TIMESTAMP() - %d WHERE id = " + str(office.connector_id)
        office.db.run(silence % 500)
        assert letters() == [], "not before ten minutes"
        office.db.run(silence % 700)
        assert len(letters()) == 1 and "Telephony is down" in letters()[0], mail.subjects()
        office.heartbeat()
        assert len(letters()) == 2 and "Telephony is back" in letters()[1], mail.subjects()
    finally:
        mail.close()
        office.db.run("DELETE FROM vtiger_systems WHERE id = 9001")
        for row in before:
            office.db.run("INSERT INTO vtiger_systems (id, server, server_port, smtp_auth, server_type) VALUES (%s, %s, %s, %s, 'email')" % (row[0], quoted(row[1]), row[2], quoted(row[3])))
        office.heartbeat()


# Follow-up and dashboard


@scenario
def a_follow_up_is_closed_by_hand_and_the_connector_told(office):
    record, crm_id = saved(office, status="missed", follow_up="open", client_number=office.fresh_number())
    answer = office.as_user("calls_op1").action("FollowUp", record=crm_id)
    assert answer["success"], answer
    assert office.db.call(crm_id)["call_follow_up"] == "closed"
    commands = [command for command in office.connector.ask("commands", wait_s=0)["commands"] if command["command"] == "close_follow_up" and command["call"] == record["id"]]
    assert commands and commands[0]["user"] == str(office.users["calls_op1"]), commands
    assert not office.as_user("calls_op1").action("FollowUp", record=crm_id)["success"], "closed once"
    office.connector.ask("commands", wait_s=0, done=[{"id": commands[0]["id"], "ok": True}])


@scenario
def the_dashboard_counts_and_lists(office):
    number = office.fresh_number()
    saved(office, status="missed", follow_up="open", client_number=number, client_name=HOSTILE)
    for name, words in (("CallsByHour", "23"), ("CallsByStatus", "Missed"), ("CallsPerEmployee", "op1"), ("NotCalledBack", number)):
        link = office.db.one("SELECT linkid FROM vtiger_links WHERE linkurl LIKE '%%name=%s'" % name)
        page = office.admin.post({"module": "Calls", "view": "ShowWidget", "name": name, "linkid": link})
        assert page.status == 200 and words in page.text, (name, squeezed(page.text)[-300:])
        assert "<script>alert('calls')" not in page.text


@scenario
def a_hostile_name_is_text_on_every_screen(office):
    number = office.fresh_number()
    contact = office.contact(number)
    record, crm_id = saved(office, status="ringing", client_number=HOSTILE[:60], client_name=HOSTILE, extension="101", queue=HOSTILE[:90], menu=HOSTILE, did=HOSTILE[:60],
                           timeline=[{"at": wire_time(time.time()), "step": HOSTILE, "where": HOSTILE, "who": HOSTILE}], recordings=[{"id": "x", "file": HOSTILE}])
    _, in_tab = saved(office, client_number=number, client_name=HOSTILE, trunk=HOSTILE[:90], queue=HOSTILE[:90])
    tab = office.tab("calls_op1")
    tab.ask("Page.bringToFront")
    for path in ("index.php?module=Calls&view=List&viewname=%d" % office.views()["All"], "index.php?module=Calls&view=Detail&record=%d" % crm_id,
                 "index.php?module=Contacts&relatedModule=Calls&view=Detail&record=%d&mode=showRelatedList&tab_label=Calls" % contact,
                 "index.php?module=Calls&view=Detail&record=%d&mode=showRecentActivities&page=1&tab_label=LBL_UPDATES" % crm_id):
        tab.open(path)
        tab.wait("!!document.querySelector('#calls-seat-link')", path)
        tab.wait("!!document.querySelector('.calls-popup')", "the window of the call", 6)
    office.connector.send(dict(record, revision=record["revision"] + 1, status="missed"))
    assert not [said for said in office.dialogs if "calls" in said], "a script from a caller's name ran"
