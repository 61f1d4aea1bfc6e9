"""What the cards of clients do with calls of real phones: players, the number to show, and windows on several screens. Each function's name is its sentence."""
import time

from live.stage import ringing, until
from scenarios.common import tab_of

CARDS = []
OURS = ("+74951112201", "+74951112202")


def card(function):
    CARDS.append(function)
    return function


def _talk(stage, number):
    """A recorded conversation of two seconds with this client; its record once the sound is there."""
    phone = stage.pbx.phone(101, number, ring=0.05, answer=0.2)
    call = stage.pbx.client_calls("+7495201101", number)
    call.wait_up()
    time.sleep(2)
    call.hangup()
    stage.pbx.phones.forget(phone)
    return int(stage.call_of(number, call_status="completed", recording_state="ready")["callsid"])


def _client(stage, module, number, **fields):
    name = {"Leads": {"lastname": "Лидов" + number[-4:]}, "Accounts": {"accountname": "ООО «Слух» " + number[-4:]}, "Contacts": {"lastname": "Слушаев" + number[-4:]}}[module]
    return stage.vtiger.admin.save(module, phone=number, assigned_user_id=str(stage.vtiger.users["calls_op1"]), **name, **fields)


@card
def a_recording_of_asterisk_plays_in_the_cards_of_lead_and_organization(stage):
    stage.done_with(stage.service)
    stage.service = stage.serve("unbrought", {"lab": stage.pbx}, [("live", stage.secret, stage.vtiger.url, "")], push=False)
    stage.reach(True)
    tab = stage.page("calls_op1")
    # What was heard once the browser keeps for an hour.
    tab.ask("Network.setCacheDisabled", cacheDisabled=True)
    said = "((document.querySelector(\"[data-calls-recording$='record=%d'] .calls-no-sound\") || {}).innerText || '')"
    made = {}
    began = time.time()
    for module in ("Leads", "Accounts", "Contacts"):
        number = stage.vtiger.fresh_number()
        client = _client(stage, module, number)
        made[module] = client, _talk(stage, number)
        for label in ("Calls", "Calls (all phones)"):
            play(tab, module, *made[module], label)
            tab.wait("(function(){var a=document.querySelector('audio.calls-audio');return a && a.currentTime > 0.5})()", "it plays in %s of %s" % (label, module))
    # Somebody deletes the files, then the connector is gone.
    for file in stage.pbx.asterisk.recordings.rglob("*.wav"):
        if file.stat().st_mtime > began - 5:
            file.unlink()
    for words in ("Deleted on the exchange", "The exchange cannot be reached"):
        for module, (client, crm_id) in made.items():
            play(tab, module, client, crm_id, "Calls")
            tab.wait("%s.indexOf('%s') >= 0" % (said % crm_id, words), "%s in %s" % (words, module))
        if stage.service in stage.opened:
            stage.done_with(stage.service)
    tab.ask("Network.setCacheDisabled", cacheDisabled=False)


def play(tab, module, client, crm_id, label):
    tab_of(tab, module, client, label)
    button = "[data-calls-recording$='record=%d'] .calls-play" % crm_id
    tab.wait("!!document.querySelector(\"%s\")" % button, "the play button in %s of %s" % (label, module))
    tab.click(button)


@card
def when_one_of_several_rung_phones_answers_the_other_screens_close(stage):
    number = stage.vtiger.fresh_number()
    first, second = stage.page("calls_op1"), stage.page("calls_op2")
    phones = [stage.pbx.phone(101, number, ring=0.05), stage.pbx.phone(102, number, ring=0.05, answer=5), stage.pbx.phone(103, number, ring=0.05)]
    call = stage.pbx.client_calls("+74951234550", number)
    for tab in (first, second):
        tab.ask("Page.bringToFront")
        ringing(tab)
    call.wait_up(10)
    answered = time.time()
    for tab in (first, second):
        tab.ask("Page.bringToFront")
        tab.wait("!document.querySelector('.calls-popup')", "closed", 5)
    took = time.time() - answered
    call.hangup()
    stage.call_of(number, call_status="completed", call_extension="102", crm_user=stage.vtiger.users["calls_op2"])
    assert stage.vtiger.db.one("SELECT COUNT(*) FROM vtiger_calls WHERE client_e164 = '%s' AND call_status = 'no_answer'" % number) == "2"
    for phone in phones:
        stage.pbx.phones.forget(phone)
    return "both closed %.2f s after the answer" % took


@card
def the_number_on_the_card_is_what_the_client_sees(stage):
    stage.done_with(stage.service)
    stage.service = stage.serve("shown", {"lab": stage.pbx}, [("live", stage.secret, stage.vtiger.url, "")], caller_ids=(*OURS, "+74951112203"))
    for module, ours in (("Leads", OURS[0]), ("Accounts", OURS[1]), ("Contacts", OURS[0])):
        number = stage.vtiger.fresh_number()
        _client(stage, module, number, calls_caller_id=ours)
        there = stage.pbx.outside("8" + number[2:], None, ring=0.05, reject=(486, 0.2))

        def shown():
            before = len(there.calls)
            call = stage.pbx.phone_calls(101, "98" + number[2:])
            seen = there.call(n=before).caller
            call.wait_ended(8)
            return seen == ours
        # The connector hears of a new card in a moment.
        until("%s is shown to the %s" % (ours, module), 30, shown)
        stage.pbx.trunk.forget(there)
