"""The settings page as an administrator uses it, in a real browser, and what comes of it. Each function's name is its sentence."""
import datetime
import os
import re
import time
import zoneinfo

from connector import Connector, wire_time
from database import quoted
from office import squeezed
from scenarios.common import HOSTILE, cron, fill_in, saved, scenario, settings_page


@scenario
def the_log_is_kept_for_as_many_days_as_set_and_no_longer(office):
    if not os.environ.get("VTIGER_ROOT"):
        return "VTIGER_ROOT is not given"
    mark = "log-" + os.urandom(5).hex()

    def told(age_days):
        """A request of that age; the words it has in the log."""
        words = "%s-%s" % (mark, str(age_days).replace(".", "_"))
        office.heartbeat(version=words)
        office.db.run("UPDATE vtiger_calls_log SET at = at - %d WHERE connector_id = %d AND request LIKE %s" % (age_days * 86400, office.connector_id, quoted("%" + words + "%")))
        return words

    def shown():
        text = settings_page(office, office.connector_id).run("document.querySelector('.calls-log').textContent")
        return {found for found in re.findall(mark + r"-[\d_]+", text)}

    ages = {age: told(age) for age in (0, 0.9, 1.1, 2.9, 3.1, 30)}
    assert shown() == set(ages.values()), shown()
    try:
        for days in (3, 1):
            fill_in(settings_page(office), "#calls-rules", log_days=days)
            assert settings_page(office).run("document.querySelector('#calls-rules [name=log_days]').value") == str(days)
            assert cron()
            assert shown() == {words for age, words in ages.items() if age < days}, (days, shown())
        for written, taken in (("0", "1"), ("9999", "365"), ("nonsense", "1")):
            fill_in(settings_page(office), "#calls-rules", log_days=written)
            assert settings_page(office).run("document.querySelector('#calls-rules [name=log_days]').value") == taken, written
        assert office.db.one("SELECT COUNT(*) FROM vtiger_calls_log WHERE at < UNIX_TIMESTAMP() - 366 * 86400") == "0"
    finally:
        fill_in(settings_page(office), "#calls-rules", log_days=7)


@scenario
def the_log_has_both_directions_with_bodies_and_no_secret_in_them(office):
    mark = "log-" + os.urandom(5).hex()
    secrets = ["hush-%d-%s" % (nth, mark) for nth in range(4)]
    office.heartbeat(version=mark, secret=secrets[0], pbxs=[{"pbx": "msk", "up": True, "ami_password": secrets[1] + '"quoted'}, {"pbx": "spb", "up": True}],
                     nested={"deep": [{"Token": secrets[2]}]}, last_error={"at": wire_time(time.time()), "message": HOSTILE})
    office.reach(True)
    placed = office.as_user("calls_op1").action("ClickToCall", mode="place", number="84957651122", record="")["result"]
    assert placed["state"] == "queued", placed
    tab = settings_page(office, office.connector_id)
    lines = tab.run("[...document.querySelectorAll('.calls-log tr')].map(row => ({direction: (row.cells[1] || {}).textContent, what: (row.cells[2] || {}).textContent,"
                    " bodies: [...row.querySelectorAll('pre')].map(one => one.textContent)}))")
    told = [line for line in lines if line["bodies"] and mark in line["bodies"][0]]
    assert told and told[0]["direction"] == "from connector" and '"vtiger"' in told[0]["bodies"][1], told
    assert told[0]["bodies"][0].count('"***"') == 3, told[0]["bodies"][0]
    asked = [line for line in lines if line["bodies"] and placed["request"] in line["bodies"][0]]
    assert asked and asked[0]["direction"] == "to connector" and "84957651122" in asked[0]["bodies"][0] and placed["request"] in asked[0]["bodies"][1], asked
    page = tab.run("document.documentElement.outerHTML")
    for secret in secrets + [office.connector.secret, "quoted"]:
        assert secret not in page, "a secret is shown"
    stored = office.db.rows("SELECT request FROM vtiger_calls_log WHERE request LIKE %s" % quoted("%hush-%" + mark + "%"))
    assert not stored, "a secret is stored"
    assert not [said for said in office.dialogs if "calls" in said], "a script from an error ran"
    office.heartbeat()


@scenario
def a_connector_is_made_tested_and_removed_on_the_page(office):
    known = office.db.one("SELECT id FROM vtiger_calls_connector WHERE wire_key = 'e2e-page'")
    if known:
        office.settings("remove_connector", id=known)
    tab = settings_page(office)
    fill_in(tab, "#calls-new-connector", name="Made on the page", key="e2e-page", url="")
    made = int(office.db.one("SELECT id FROM vtiger_calls_connector WHERE wire_key = 'e2e-page'"))
    here = ".calls-connector[data-id='%d']" % made

    def press(what):
        tab.run("jQuery('.notifications, [data-notify=container]').remove()")
        tab.click("%s [data-do=%s]" % (here, what))

    def secret():
        return tab.wait("(document.querySelector(\"%s .calls-secret\").textContent || '').trim()" % here, "the secret")[0]

    try:
        assert not tab.text(here + " .calls-secret"), "shown only when asked for"
        press("show_secret")
        first = secret()
        assert re.match(r"^[0-9a-f]{40}$", first), first
        press("new_secret")
        tab.wait("document.querySelector(\"%s .calls-secret\").textContent !== '%s'" % (here, first), "another secret")
        assert re.match(r"^[0-9a-f]{40}$", secret()) and secret() != first
        # Nothing heard of it, nothing answers: both are said.
        fill_in(tab, here + " .calls-form", url="http://127.0.0.1:1")
        press("test")
        tab.wait("/cannot be reached from here/.test(document.body.innerText)", "what the test found")
        # The stand-in answers with its own secret; ours is another.
        fill_in(tab, here + " .calls-form", url=office.standin.url)
        press("test")
        tab.wait("/refused our signature/.test(document.body.innerText)", "what the test found")
        fill_in(tab, here + " .calls-form", enabled=False)
        assert office.db.one("SELECT enabled FROM vtiger_calls_connector WHERE id = %d" % made) == "0"
    finally:
        tab.run("window.callsBefore = true")
        press("remove_connector")
        tab.wait("!window.callsBefore && !!document.querySelector('.calls-settings') && !document.querySelector(\"%s\")" % here, "it is gone")
    assert office.db.one("SELECT COUNT(*) FROM vtiger_calls_connector WHERE id = %d" % made) == "0"


@scenario
def the_page_shows_how_each_connector_is(office):
    moment = time.time()
    office.heartbeat(version="9.8.7", started_at=wire_time(moment - 86400), sent_at=wire_time(moment - 42), outbox={"waiting": 12, "parked": 3}, last_error={"at": wire_time(moment - 60), "message": "disk full"},
                     pbxs=[{"pbx": "msk", "up": True, "asterisk": "20.11.0"}, {"pbx": "spb", "up": False, "since": wire_time(moment - 3600), "error": "refused"}])
    zone = zoneinfo.ZoneInfo(office.db.one("SELECT time_zone FROM vtiger_users WHERE id = 1"))
    # Seconds may be rounded: the minute of the moment or of the next second.
    started = {datetime.datetime.fromtimestamp(moment - 86400 + more, zone).strftime("%H:%M") for more in (0, 1)}
    try:
        text = squeezed(settings_page(office).text(".calls-connector[data-id='%d'] .calls-state" % office.connector_id))
        for words in ("9.8.7", "12 / 3", "disk full", "20.11.0", "refused"):
            assert words in text, (words, text)
        assert any(one in text or datetime.datetime.strptime(one, "%H:%M").strftime("%I:%M") in text for one in started), (started, text)
        skew = float(re.search(r"Clock difference, s\s+(-?[\d.]+)", text).group(1))
        assert 41 <= skew <= 60, text
    finally:
        office.heartbeat()


@scenario
def exchanges_of_the_same_name_at_two_connectors_are_pointed_out(office):
    other_id, secret = office.known_connector("e2e-name", "Same name")
    beat = {"sent_at": wire_time(time.time()), "region": "RU", "last_digits": 7}
    warned = "((document.querySelector('.calls-same-pbx') || {}).innerText || '')"
    try:
        Connector(office.url, "e2e-name", secret).ask("heartbeat", pbxs=[{"pbx": "msk", "up": True}], **beat)
        assert "«msk»" in settings_page(office).run(warned) and "«spb»" not in settings_page(office).run(warned)
        Connector(office.url, "e2e-name", secret).ask("heartbeat", pbxs=[{"pbx": "ekb", "up": True}], **beat)
        assert not settings_page(office).run(warned)
    finally:
        office.settings("remove_connector", id=other_id)


@scenario
def groups_owners_and_numbers_to_show_are_set_on_the_page(office):
    tab = settings_page(office)
    group = sorted(office.groups.values())[0]
    owner = office.users["calls_op2"]
    try:
        fill_in(tab, "#calls-rules", caller_ids="+7 (495) 111-00-01")
        assert "+74951110001" in tab.run("document.querySelector('#calls-rules [name=caller_ids]').value")
        fill_in(tab, "#calls-new-group", group=group, priority="2", pbx="msk", context="from-page", caller_id="+74951110001")
        row = office.db.rows("SELECT priority, pbx, context, caller_id FROM vtiger_calls_group WHERE groupid = %d" % group)
        assert row == [["2", "msk", "from-page", "+74951110001"]], row
        for kind, value, fields in (("queue", "page-queue", {"queue": "page-queue"}), ("did", "+74951110002", {"did": "+74951110002"}), ("pbx", "page-pbx", {"pbx": "page-pbx"})):
            fill_in(tab, "#calls-new-owner", kind=kind, value=value, owner=owner)
            _, crm_id = saved(office, status="missed", client_number=office.fresh_number(), **fields)
            assert office.db.call(crm_id)["owner"] == str(owner), kind
    finally:
        office.settings("group", group=group, remove=1)
        for kind, value in (("queue", "page-queue"), ("did", "+74951110002"), ("pbx", "page-pbx")):
            office.settings("owner", kind=kind, value=value, remove=1)
        fill_in(settings_page(office), "#calls-rules", caller_ids="")


@scenario
def the_hour_and_the_idle_hours_of_an_extension_are_those_of_the_page(office):
    user = office.users["calls_op1"]
    zone = zoneinfo.ZoneInfo(office.db.one("SELECT time_zone FROM vtiger_users WHERE id = 1"))

    def sits():
        return office.db.one("SELECT COUNT(*) FROM vtiger_calls_seat WHERE userid = %d AND extension = '176' AND until > UNIX_TIMESTAMP()" % user) == "1"

    session = office.as_user("calls_op1")
    try:
        for hour in (5, 22):
            fill_in(settings_page(office), "#calls-rules", seat_end_hour=hour, seat_idle_hours=2)
            seat = session.action("Seat", mode="take", pbx="msk", extension="176")["result"]["seat"]
            assert datetime.datetime.fromtimestamp(seat["until"], zone).strftime("%H:%M") == "%02d:00" % hour and 0 < seat["until"] - time.time() <= 86400, seat
        for idle, stays in ((1.9, True), (2.1, False)):
            office.db.run("UPDATE vtiger_calls_seat SET seen_at = UNIX_TIMESTAMP() - %d WHERE userid = %d AND extension = '176' AND until > UNIX_TIMESTAMP()" % (idle * 3600, user))
            if not cron():
                return "VTIGER_ROOT is not given: idle hours left out"
            assert sits() == stays, idle
    finally:
        session.action("Seat", mode="leave")
        fill_in(settings_page(office), "#calls-rules", seat_end_hour=3, seat_idle_hours=12)
