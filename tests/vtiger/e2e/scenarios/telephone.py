"""What managers do: listen, call, answer. Each function's name is its sentence; screens are asked first, the database for what no screen shows."""
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request

from connector import wire_time
from scenarios.common import denied, saved, scenario, waiting


# Player


@scenario
def a_recording_is_played_with_range_through_vtigers_permissions(office):
    office.reach(True)
    _, crm_id = saved(office, recordings=[{"id": "sound1", "file": "x.wav"}])
    url = "index.php?module=Calls&action=Recording&record=%d" % crm_id
    whole = office.admin.get(url)
    assert (whole.status, whole.raw) == (200, office.standin.sounds["sound1"]), whole.status
    assert whole.headers["Content-Type"] == "audio/wav" and whole.headers["Accept-Ranges"] == "bytes"
    part = office.admin.get(url, {"Range": "bytes=100-199"})
    assert (part.status, part.raw, part.headers["Content-Range"]) == (206, whole.raw[100:200], "bytes 100-199/%d" % len(whole.raw))
    download = office.admin.get(url + "&download=1")
    assert "attachment" in download.headers["Content-Disposition"]
    assert office.standin.unsigned == 0
    stranger = urllib.request.urlopen(office.url + "/" + url)
    assert b"RIFF" not in stranger.read(), "without a login there is no sound"


@scenario
def every_one_of_several_recordings_can_be_heard(office):
    office.reach(True)
    office.standin.sounds["sound2"] = office.standin.sounds["sound1"][:8000]
    recordings = [{"id": "sound1", "file": "a.wav", "started_at": wire_time(time.time())}, {"id": "r-lost", "file": "b.wav", "state": "deleted"}, {"id": "sound2", "file": "c.wav"}]
    _, crm_id = saved(office, recordings=recordings)
    path = "index.php?module=Calls&action=Recording&record=%d" % crm_id
    assert office.admin.get(path).raw == office.standin.sounds["sound2"], "the last that is there"
    assert office.admin.get(path + "&part=1").raw == office.standin.sounds["sound1"]
    assert office.admin.get(path + "&part=2").status == 410
    assert office.admin.get(path + "&part=3").raw == office.standin.sounds["sound2"]
    assert office.admin.get(path + "&part=9").status == 404
    assert office.admin.card(crm_id).text.count("&amp;part=") + office.admin.card(crm_id).text.count("&part=") >= 3


@scenario
def who_may_not_listen_download_or_call_does_not(office):
    office.reach(True)
    _, crm_id = saved(office, recordings=[{"id": "sound1", "file": "x.wav"}])
    path = "index.php?module=Calls&action=Recording&record=%d" % crm_id
    assert office.as_user("calls_op1").get(path).status == 200
    with denied(office, "calls_op1", "Listen"):
        answer = office.as_user("calls_op1").get(path)
        assert (answer.status, answer.headers.get("X-Calls-Recording")) == (403, "not_allowed"), (answer.status, answer.text[:200])
        assert office.as_user("calls_op1").get(path + "&download=1").status == 200, "downloading is a right of its own"
    with denied(office, "calls_op1", "Download"):
        answer = office.as_user("calls_op1").get(path + "&download=1")
        assert (answer.status, answer.headers.get("X-Calls-Recording")) == (403, "not_allowed"), answer.status
        assert office.as_user("calls_op1").get(path).status == 200
    with denied(office, "calls_op1", "ClickToCall"):
        assert office.as_user("calls_op1").get("index.php?module=Calls&action=Boot").json()["result"]["may_call"] is False
        answer = office.as_user("calls_op1").action("ClickToCall", mode="place", number="84957654321", record="")
        assert answer["result"]["state"] == "refused", answer
    assert office.as_user("calls_op1").get(path).status == 200


@scenario
def what_is_gone_or_out_of_reach_is_said_plainly(office):
    office.reach(True)
    _, gone = saved(office, recordings=[{"id": "r-gone", "file": "x.wav", "state": "deleted"}])
    _, lost = saved(office, recordings=[{"id": "r-lost", "file": "x.wav"}])
    for crm_id in (gone, lost):
        answer = office.admin.get("index.php?module=Calls&action=Recording&record=%d" % crm_id)
        assert (answer.status, answer.headers["X-Calls-Recording"]) == (410, "deleted"), answer.status
    office.reach(False)
    _, far = saved(office, recordings=[{"id": "sound1", "file": "x.wav"}])
    answer = office.admin.get("index.php?module=Calls&action=Recording&record=%d" % far)
    assert (answer.status, answer.headers["X-Calls-Recording"]) == (503, "unreachable"), answer.status


@scenario
def how_a_recording_stands_is_said_without_a_click(office):
    office.reach(True)
    words = {"recording": ("Still being recorded", "Ещё записывается", False), "deleted": ("Deleted on the exchange", "Удалена на станции", False),
             "unavailable": ("The exchange cannot be reached", "Станция недоступна", True), "ready": ("", "", True)}
    made = {state: saved(office, recordings=[{"id": "sound1", "file": "x.wav", "state": state}])[1] for state in words}
    for user, nth in (("calls_op1", 0), ("calls_op2", 1)):
        page = office.as_user(user).list_rows(office.views()["All"])[1].text
        for state, crm_id in made.items():
            card = office.as_user(user).card(crm_id).text
            row = re.search(r"data-id='%d'.*?</tr>" % crm_id, page, re.S).group(0)
            for text in (card, row):
                shown = re.search(r"data-calls-state=\"%s\">([^<]*)<" % state, text)
                assert (shown.group(1) if shown else "") == words[state][nth], (user, state, shown)
                assert ("calls-play" in text) == words[state][2], (user, state)
    answer = office.admin.get("index.php?module=Calls&action=Recording&record=%d" % made["recording"])
    assert (answer.status, answer.headers["X-Calls-Recording"]) == (409, "recording"), answer.status
    tab = office.tab("admin")
    tab.open("index.php?module=Calls&view=Detail&record=%d" % made["unavailable"])
    assert tab.run("!!document.querySelector('.calls-play')"), "it may be back by now"


@scenario
def the_player_plays_in_list_card_and_tab(office):
    office.reach(True)
    number = office.fresh_number()
    contact = office.contact(number)
    _, crm_id = saved(office, client_number=number, recordings=[{"id": "sound1", "file": "x.wav"}])
    tab = office.tab("admin")
    for path in ("index.php?module=Calls&view=List&viewname=%d" % office.views()["All"], "index.php?module=Calls&view=Detail&record=%d" % crm_id,
                 "index.php?module=Contacts&relatedModule=Calls&view=Detail&record=%d&mode=showRelatedList&tab_label=Calls" % contact):
        tab.open(path)
        selector = "[data-calls-recording$=\"record=%d\"] .calls-play" % crm_id
        tab.wait("!!document.querySelector('%s')" % selector, "the play button on " + path)
        tab.click(selector)
        tab.wait("(function(){var a=document.querySelector('audio.calls-audio');return a && (a.readyState >= 2 || a.currentTime > 0)})()", "sound on " + path)
    tab.open("index.php?module=Calls&view=Detail&record=%d" % crm_id)
    tab.wait("!!document.querySelector('.calls-download')", "the download link")


# Click-to-call


@scenario
def a_click_on_a_number_calls_from_the_users_own_extension(office):
    office.reach(True)
    number = office.fresh_number()
    contact = office.contact(number)
    answer = office.as_user("calls_op2").action("ClickToCall", mode="place", number=number, record=contact, **{"from": "666", "pbx": "evil", "context": "evil", "caller_id": "1"})
    assert answer["result"]["state"] == "queued", answer
    sent = office.standin.calls[answer["result"]["request"]]["call"]
    assert (sent["from"], sent["to"], sent["user"], sent["crm_record"]) == ("102", number, str(office.users["calls_op2"]), str(contact)), sent
    assert "context" not in sent and sent.get("pbx", "") != "evil", "the browser has no say in it"


@scenario
def groups_give_pbx_context_and_caller_id_by_priority(office):
    office.reach(True)
    user = office.users["calls_op1"]
    first, second = sorted(group for name, group in office.groups.items() if name != "Звонки без ответственного")[:2]
    office.db.run("INSERT IGNORE INTO vtiger_users2group (groupid, userid) VALUES (%d, %d), (%d, %d)" % (first, user, second, user))
    office.settings("group", group=first, priority=5, connector=0, pbx="spb", context="ctx-low", caller_id="+78120000000")
    office.settings("group", group=second, priority=1, connector=office.connector_id, pbx="msk", context="ctx-high", caller_id="+74950000000")
    try:
        answer = office.as_user("calls_op1").action("ClickToCall", mode="place", number="84957654321", record="")
        sent = office.standin.calls[answer["result"]["request"]]["call"]
        assert (sent["pbx"], sent["context"], sent["caller_id"]) == ("msk", "ctx-high", "+74950000000"), sent
        groups = office.connector.ask("users")["groups"]
        assert groups[0]["context"] == "ctx-high" and groups[0]["priority"] == 1, groups
    finally:
        office.settings("group", group=first, remove=1)
        office.settings("group", group=second, remove=1)
        office.db.run("DELETE FROM vtiger_users2group WHERE userid = %d AND groupid IN (%d, %d)" % (user, first, second))


@scenario
def the_clients_own_number_to_show_is_used(office):
    office.reach(True)
    number = office.fresh_number()
    contact = office.contact(number, calls_caller_id="+74951112299")
    answer = office.as_user("calls_op1").action("ClickToCall", mode="place", number=number, record=contact)
    assert office.standin.calls[answer["result"]["request"]]["call"]["caller_id"] == "+74951112299"
    assert office.connector.ask("lookup", number=number)["client"]["caller_id"] == "+74951112299"
    # Administrators say which numbers may be shown at all.
    rules = dict(client_modules="Contacts", popup=1)
    assert not office.settings("rules", caller_ids="nonsense", **rules)["success"]
    try:
        assert office.settings("rules", caller_ids="+7 (495) 000-00-01\n+74950000002", **rules)["success"]
        assert "+74950000001" in office.admin.get("index.php?module=Calls&parent=Settings&view=Index").text
        assert "caller_id" not in office.connector.ask("lookup", number=number)["client"]
        group = sorted(office.groups.values())[0]
        assert not office.settings("group", group=group, priority=1, connector=0, caller_id="+74959999999")["success"]
    finally:
        office.settings("rules", caller_ids="", **rules)


@scenario
def the_screen_shows_how_the_call_goes_and_cancels_it(office):
    office.reach(True)
    number = office.fresh_number()
    contact = office.contact(number)
    tab = office.tab("calls_op1").open("index.php?module=Contacts&view=Detail&record=%d&mode=showDetailViewByMode&requestMode=full" % contact)
    tab.wait("!!document.querySelector('.calls-call')", "the phone beside the number")
    tab.click(".calls-call")
    tab.wait("document.querySelector('#calls-box') && /Your phone rings/.test(document.querySelector('#calls-box').innerText)", "ringing you")
    known = office.standin.last_call()
    assert known["call"]["to"].lstrip("+").endswith(number[2:]) and known["call"]["crm_record"] == str(contact), known
    known["state"] = "customer_ringing"
    tab.wait("/Ringing the client/.test(document.querySelector('#calls-box').innerText)", "ringing the client")
    if os.environ.get("SCREENSHOTS"):
        tab.screenshot(os.path.join(os.environ["SCREENSHOTS"], "click-to-call.png"))
    tab.click(".calls-cancel")
    tab.wait("/cancelled/.test(document.querySelector('#calls-box').innerText)", "cancelled")
    assert known["cancelled"]


@scenario
def a_refused_call_says_why(office):
    office.reach(True)
    office.standin.refuse_with = 422
    try:
        tab = office.tab("calls_op1").open("index.php?module=Calls&view=List")
        tab.wait("!!window.PinCalls && !!document.querySelector('#calls-seat-link')", "the page")
        tab.run("PinCalls.call('89001234567', '')")
        tab.wait("/forbidden/.test((document.querySelector('#calls-box') || {}).innerText || '')", "why")
    finally:
        office.standin.refuse_with = None


@scenario
def where_the_connector_cannot_be_reached_the_call_waits_to_be_fetched(office):
    office.reach(False)
    while office.connector.ask("commands", wait_s=0, done=[{"id": str(i), "ok": True} for i in waiting(office)])["commands"]:
        pass
    answer = office.as_user("calls_op1").action("ClickToCall", mode="place", number="84957654321", record="")
    request = answer["result"]["request"]
    assert answer["result"]["state"] == "waiting", answer
    command = office.connector.ask("commands", wait_s=5)["commands"][0]
    assert (command["command"], command["call"]["request"], command["call"]["from"]) == ("call", request, "101"), command
    office.connector.ask("commands", wait_s=0, done=[{"id": command["id"], "ok": True}], requests=[{"request": request, "state": "customer_ringing"}])
    state = office.as_user("calls_op1").action("ClickToCall", mode="state", request=request)["result"]
    assert state["state"] == "customer_ringing", state
    other = office.as_user("calls_op2").action("ClickToCall", mode="state", request=request)["result"]
    assert other["state"] == "refused", "nobody else's call"


@scenario
def a_long_poll_answers_as_soon_as_somebody_clicks(office):
    office.reach(False)
    office.connector.ask("commands", wait_s=0, done=[{"id": one, "ok": True} for one in waiting(office)])
    took = []

    def poll():
        commands = office.connector.ask("commands", wait_s=20)["commands"]
        took.append((time.time(), commands))

    thread = threading.Thread(target=poll)
    thread.start()
    session = office.as_user("calls_op1")
    clicked = time.time()
    session.action("ClickToCall", mode="place", number="84957654321", record="")
    thread.join(25)
    assert took and took[0][1] and took[0][0] - clicked < 1.5, took
    return "%.0f ms after the click" % ((took[0][0] - clicked) * 1000)


# Pop-up


@scenario
def the_rung_user_sees_the_call_within_a_second_and_a_half_and_nobody_else(office):
    number = office.fresh_number()
    contact = office.contact(number, lastname="Звонарёв" + number[-3:])
    tab, other = office.tab("calls_op1"), office.tab("calls_op2")
    tab.open("index.php?module=Contacts&view=List")
    other.open("index.php?module=Contacts&view=List")
    for one in (tab, other):
        one.wait("!!document.querySelector('#calls-seat-link')", "the page")
    began = time.time()
    record, crm_id = saved(office, status="ringing", client_number=number, did="+74951234531", extension="101")
    tab.ask("Page.bringToFront")
    tab.wait("!!document.querySelector('.calls-popup')", "the window of the call", 5)
    took = time.time() - began
    text = tab.text(".calls-popup")
    assert "Звонарёв" in text and number in text and "+74951234531" in text, text
    assert tab.run("document.querySelector('.calls-open-card').getAttribute('href')").endswith("record=%d" % contact)
    if os.environ.get("SCREENSHOTS"):
        tab.screenshot(os.path.join(os.environ["SCREENSHOTS"], "popup.png"))
    other.ask("Page.bringToFront")
    time.sleep(1.5)
    assert not other.run("!!document.querySelector('.calls-popup')"), "another's phone"
    office.connector.send(dict(record, revision=record["revision"] + 1, status="no_answer"))
    tab.ask("Page.bringToFront")
    tab.wait("!document.querySelector('.calls-popup')", "closed when somebody answered", 5)
    assert took < 1.5, "%.2f s" % took
    return "%.2f s" % took


@scenario
def an_unknown_caller_can_be_made_a_client_with_his_number_filled_in(office):
    number = office.fresh_number()
    tab = office.tab("calls_op1").open("index.php?module=Calls&view=List")
    tab.wait("!!document.querySelector('#calls-seat-link')", "the page")
    tab.ask("Page.bringToFront")
    record, _ = saved(office, status="ringing", client_number=number, did="+74951234531", extension="101")
    tab.wait("document.querySelectorAll('.calls-popup .calls-create').length === 3", "three buttons", 5)
    href = tab.run("document.querySelector('.calls-popup .calls-create').getAttribute('href')")
    office.connector.send(dict(record, revision=record["revision"] + 1, status="missed"))
    page = office.as_user("calls_op1").get(href)
    assert re.search(r'name="phone"[^>]*value="%s"' % re.escape(number), page.text) or 'value="%s"' % number in page.text, href
    assert "+74951234531" in page.text


@scenario
def a_call_told_of_later_is_marked_and_makes_no_window(office):
    _, crm_id = saved(office, status="ringing", client_number=office.fresh_number(), extension="101", live=False)
    assert office.db.one("SELECT COUNT(*) FROM vtiger_calls_ringing WHERE crmid = %d" % crm_id) == "0"
    assert office.db.call(crm_id)["told_late"] == "1"
    _, live = saved(office, status="missed", live=True)
    assert office.db.call(live)["told_late"] == "0"


@scenario
def the_poll_needs_a_token_and_takes_no_session(office):
    boot = office.as_user("calls_op1").get("index.php?module=Calls&action=Boot").json()["result"]
    url = office.url + "/modules/Calls/live.php"

    def ask(token):
        return urllib.request.urlopen(urllib.request.Request(url, headers={"X-Calls-Token": token}))

    answer = ask(boot["token"])
    assert json.load(answer)["ringing"] == [] and not answer.headers.get("Set-Cookie")
    try:
        ask(boot["token"][:-2] + ("00" if boot["token"][-2:] != "00" else "11"))
        raise AssertionError("a forged token was taken")
    except urllib.error.HTTPError as error:
        assert error.code == 401


@scenario
def with_fifty_open_tabs_the_crm_stays_usable(office):
    token = office.as_user("calls_op1").get("index.php?module=Calls&action=Boot").json()["result"]["token"]
    poll_of_a_tab = urllib.request.Request(office.url + "/modules/Calls/live.php", headers={"X-Calls-Token": token})

    def a_page():
        began = time.time()
        office.admin.list_rows(office.views()["All"])
        return time.time() - began

    alone = sorted(a_page() for _ in range(7))[3] * 1000
    stop = time.time() + 8
    polls = []

    def tab_of_somebody(delay):
        time.sleep(delay)
        while time.time() < stop:
            began = time.time()
            urllib.request.urlopen(poll_of_a_tab).read()
            polls.append(time.time() - began)
            time.sleep(max(0, 1 - (time.time() - began)))

    threads = [threading.Thread(target=tab_of_somebody, args=(i / 50,)) for i in range(50)]
    [thread.start() for thread in threads]
    time.sleep(1)
    pages = []
    while time.time() < stop - 1:
        pages.append(a_page())
    [thread.join() for thread in threads]
    middle = sorted(pages)[len(pages) // 2] * 1000
    poll = sorted(polls)[int(len(polls) * 0.95)] * 1000
    assert middle < 2 * alone + 100 and poll < 500, (alone, middle, poll)
    return "list %.0f ms, %.0f ms without them; 95%% of %d polls within %.0f ms" % (middle, alone, len(polls), poll)
