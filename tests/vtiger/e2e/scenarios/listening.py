"""The player, wherever a manager meets a call, in a real browser. Each function's name is its sentence."""
import os
import tempfile

from connector import Connector, call, wire_time
from scenarios.common import denied, saved, scenario, tab_of
from standin import StandIn, wav

PLAYED = "(function(){var a=document.querySelector('audio.calls-audio');return a && !a.error && a.currentTime > %s})()"

# Whoever points at its middle and to the right of it points at it, without scrolling sideways.
SEEN = ("(function(one){var box=one.getBoundingClientRect();return [0.5, 0.8].every(part => {var there=document.elementFromPoint(box.left + box.width * part, box.top + box.height / 2);"
        "return one === there || one.contains(there)})})(document.querySelector(\"%s\"))")


def client_of(office, module, number, owner="calls_op1"):
    """A client of that module with the number, and what his card is called."""
    owner_id = str(office.users[owner])
    fields = {"Contacts": {"lastname": "Слушаев " + number[-4:], "mobile": number}, "Leads": {"lastname": "Лидов " + number[-4:], "phone": number},
              "Accounts": {"accountname": "ООО «Слух» " + number[-4:], "phone": number}}[module]
    return office.admin.save(module, assigned_user_id=owner_id, **fields)


def places(office, tab, module, client, crm_id):
    """Opens, one after the other, every place where the player of this call is; its name each time."""
    tab.open("index.php?module=Calls&view=List&viewname=%d" % office.views()["All"])
    yield "the list"
    tab.open("index.php?module=Calls&view=Detail&record=%d" % crm_id)
    yield "the call's card"
    for label in ("Calls", "Calls (all phones)"):
        tab_of(tab, module, client, label)
        yield "%s, tab %s" % (module, label)


def holder(crm_id, inner=""):
    return "[data-calls-recording$='record=%d'] %s" % (crm_id, inner)


@scenario
def the_player_plays_in_the_cards_of_lead_organization_and_contact(office):
    office.reach(True)
    tab = office.tab("calls_op1")
    tab.ask("Page.bringToFront")
    # What was heard once the browser has for an hour; each place is to fetch it.
    tab.ask("Network.setCacheDisabled", cacheDisabled=True)
    for module in ("Leads", "Accounts", "Contacts"):
        number = office.fresh_number()
        client = client_of(office, module, number)
        # Ten minutes: no browser fetches that whole before it begins to play.
        name = "long-" + module
        office.standin.sounds[name] = wav(600)
        _, crm_id = saved(office, client_number=number, extension="101", recordings=[{"id": name, "file": "x.wav"}])
        for where in places(office, tab, module, client, crm_id):
            tab.wait("!!document.querySelector(\"%s\")" % holder(crm_id, ".calls-play"), "the play button in " + where)
            if where == "the call's card":
                tab.run("document.querySelector(\"%s\").scrollIntoView({block: 'center'})" % holder(crm_id))
            assert tab.run(SEEN % holder(crm_id, ".calls-play")), "the button is out of sight in " + where
            office.standin.heard.clear()
            tab.click(holder(crm_id, ".calls-play"))
            tab.wait(PLAYED % "0.2", "sound in " + where)
            assert tab.run(SEEN % "audio.calls-audio"), "the player is out of sight in " + where
            tab.run("document.querySelector('audio.calls-audio').currentTime = 590")
            tab.wait(PLAYED % "590.2", "sound after the jump in " + where)
            asked = [span for sound, span in office.standin.heard if sound == name]
            assert any(span.startswith("bytes=") and not span.startswith("bytes=0-") for span in asked), (where, asked)
            tab.run("document.querySelector('audio.calls-audio').pause()")
        del office.standin.sounds[name]
    tab.ask("Network.setCacheDisabled", cacheDisabled=False)
    assert office.standin.unsigned == 0


@scenario
def a_call_of_an_organizations_contact_stands_with_the_contact(office):
    number = office.fresh_number()
    organization = client_of(office, "Accounts", office.fresh_number())
    contact = office.contact(number, account_id=str(organization))
    _, crm_id = saved(office, client_number=number, extension="101")
    assert office.admin.related_rows("Contacts", contact, "Calls")[0] == [crm_id]
    assert office.admin.related_rows("Accounts", organization, "Calls")[0] == [], "a tab shows the calls of its own record"


@scenario
def who_may_not_listen_sees_no_player_and_who_may_not_download_no_link(office):
    office.reach(True)
    for module in ("Leads", "Accounts"):
        number = office.fresh_number()
        client = client_of(office, module, number)
        _, crm_id = saved(office, client_number=number, extension="101", recordings=[{"id": "sound1", "file": "x.wav", "started_at": wire_time(0)}, {"id": "sound1", "file": "y.wav"}])
        tab = office.tab("calls_op1")
        path = "index.php?module=Calls&action=Recording&record=%d" % crm_id
        with denied(office, "calls_op1", "Listen"):
            for where in places(office, tab, module, client, crm_id):
                tab.wait("document.body.innerText.indexOf('%s') >= 0" % number[-7:], "the call in " + where)
                assert not tab.run("!!document.querySelector('.calls-play')"), "a player in " + where
                assert tab.run("document.querySelectorAll('.calls-download').length") == (3 if where == "the call's card" else 0), where
            refused = tab.run("fetch('%s', {headers: {Range: 'bytes=0-'}}).then(a => a.status + ' ' + a.headers.get('X-Calls-Recording'))" % path)
            assert refused == "403 not_allowed", refused
        with denied(office, "calls_op1", "Download"):
            tab.open("index.php?module=Calls&view=Detail&record=%d" % crm_id)
            tab.wait("!!document.querySelector('.calls-play')", "the player")
            assert not tab.run("!!document.querySelector('.calls-download')"), "a link to download"
            assert tab.run("fetch('%s&download=1').then(a => a.status)" % path) == 403
        tab.open("index.php?module=Calls&view=Detail&record=%d" % crm_id)
        tab.wait("document.querySelectorAll('.calls-play').length === 3 && document.querySelectorAll('.calls-download').length === 3", "all of it again")


@scenario
def a_click_in_the_calls_card_downloads_the_file(office):
    office.reach(True)
    number = office.fresh_number()
    _, crm_id = saved(office, client_number=number, recordings=[{"id": "sound1", "file": "x.wav"}])
    tab = office.tab("calls_op1")
    with tempfile.TemporaryDirectory(prefix="calls-download-") as folder:
        tab.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=folder)
        tab.open("index.php?module=Calls&view=Detail&record=%d" % crm_id)
        tab.wait("!!document.querySelector('.calls-download')", "the link")
        tab.click(holder(crm_id, ".calls-download"))

        def files():
            return [name for name in os.listdir(folder) if not name.endswith(".crdownload")]

        tab.wait_for(files, "the file")
        name = files()[0]
        with open(os.path.join(folder, name), "rb") as written:
            assert written.read() == office.standin.sounds["sound1"], name
        assert name.startswith("call-") and number in name and name.endswith(".wav"), name


@scenario
def what_is_gone_or_out_of_reach_is_said_in_every_place_of_the_player(office):
    tab = office.tab("calls_op1")
    words = {"deleted": "Deleted on the exchange", "unavailable": "The exchange cannot be reached"}
    for module in ("Leads", "Accounts", "Contacts"):
        number = office.fresh_number()
        client = client_of(office, module, number)
        made = {state: saved(office, client_number=number, extension="101", recordings=[{"id": "r-" + state, "file": "x.wav", "state": state}])[1] for state in (*words, "ready")}
        # Without a click, as the connector told it.
        for where in places(office, tab, module, client, made["deleted"]):
            for state, said in words.items():
                if where == "the call's card":
                    tab.open("index.php?module=Calls&view=Detail&record=%d" % made[state])
                tab.wait("[...document.querySelectorAll('[data-calls-state=%s]')].some(one => one.innerText.trim() === '%s' && one.offsetWidth > 0)" % (state, said), "%s in %s" % (said, where))
            assert not tab.run("!!document.querySelector(\"%s\")" % holder(made["deleted"])), "a player of what is gone in " + where
        # With a click: the connector thought it was there, and it is not; and nobody answers at all.
        for reachable, said in ((True, words["deleted"]), (False, words["unavailable"])):
            office.reach(reachable)
            for where in places(office, tab, module, client, made["ready"]):
                tab.wait("!!document.querySelector(\"%s\")" % holder(made["ready"], ".calls-play"), "the play button in " + where)
                tab.click(holder(made["ready"], ".calls-play"))
                tab.wait("((document.querySelector(\"%s\") || {}).innerText || '').indexOf('%s') >= 0" % (holder(made["ready"], ".calls-no-sound"), said), "%s in %s" % (said, where))


@scenario
def two_connectors_with_the_same_name_of_a_recording_are_heard_apart(office):
    office.reach(True)
    other_id, secret = office.known_connector("e2e-sounds", "Other sounds")
    theirs = StandIn("e2e-sounds", secret)
    theirs.sounds["sound1"] = wav(5)
    try:
        office.settings("connector", id=other_id, name="Other sounds", key="e2e-sounds", url=theirs.url, enabled=1)
        office.settings("test", id=other_id)
        record = call(pbx="ekb", recordings=[{"id": "sound1", "file": "x.wav"}])
        ours = office.connector.send(record)[record["id"]]["crm_id"]
        other = Connector(office.url, "e2e-sounds", secret).send(record)[record["id"]]["crm_id"]
        path = "index.php?module=Calls&action=Recording&record=%s"
        assert office.admin.get(path % ours).raw == office.standin.sounds["sound1"]
        assert office.admin.get(path % other).raw == theirs.sounds["sound1"]
    finally:
        office.settings("remove_connector", id=other_id)
        theirs.close()
    answer = office.admin.get(path % other)
    assert answer.status == 503, "a connector that was removed is asked no more"
