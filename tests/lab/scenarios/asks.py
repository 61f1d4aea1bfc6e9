"""The dialplan asks the real connector: who looks after a client, which number to show him, and what if nobody answers.

Each check is a function of an office and a connector whose directory is a file; it raises AssertionError with a sentence.
"""

import json
import time

from ..connector import Connector
from ..processes import wait_for
from .snippets import _agi_call

ASKS = []

KNOWN = "+79165559102"
STRANGER = "+79165559103"
MANAGER, GROUP, UNREGISTERED = "283", "282", "106"
OURS = ["+74957654321", "+74951234599"]
NAME = 'ООО "Ромашка" & Ко'
SHOWN = "ООО ”Ромашка” + Ко"


def ask(title):
    def register(function):
        ASKS.append((title, function))
        return function
    return register


def start(office):
    """A connector that knows one client, his manager and two numbers of ours."""
    directory = office.folder / "clients.json"
    card = {"module": "Accounts", "id": "4001", "name": NAME, "user": "5", "caller_id": OURS[0]}
    directory.write_text(json.dumps({
        "entries": [{"number": KNOWN, "client": card}],
        "users": [{"user": "5", "active": True, "extensions": [{"extension": MANAGER}]}],
    }))
    sections = {"agi": f'caller_ids = {json.dumps(OURS)}\ndefault_caller_id = "{OURS[1]}"\n',
                "crm.directory": f'from = "{directory}"\n'}
    service = Connector(office, sections=sections).start()
    wait_for("the directory is read", 10, lambda: "1 numbers in the directory" in service.log.read_text())
    return service


def _came(office, agi_status, who, client, manager=None, within_s=1.0):
    """The client calls; `who` rings in time, and the dialplan was told `agi_status`. Returns the variables."""
    rang, seconds, variables = _agi_call(office, None, client=client, manager=manager)
    assert rang == who, f"{rang} rang in place of {who}: {variables}"
    assert seconds < within_s, f"it took {seconds:.1f} s"
    assert variables.get("PINCONNECTOR_STATUS") == agi_status, variables
    return variables


@ask("a client comes to his manager, and his card into the record")
def asks_responsible(office, service):
    variables = _came(office, "OK", MANAGER, KNOWN, manager=MANAGER)
    assert variables["CLIENT_NAME"] == SHOWN and variables["CLIENT_ID"] == "4001", variables
    assert variables["RESPONSIBLE"] == MANAGER and variables["CLIENT_MODULE"] == "Accounts", variables

    def record():
        return [r for r in office.crm.records() if r.get("client_number") == KNOWN and r.get("client_id")]
    found = wait_for("the record names the client", 10, record)
    assert found[0]["client_id"] == "4001" and found[0]["client_name"] == NAME, found[0]


@ask("a stranger goes the usual way at once")
def asks_stranger(office, service):
    variables = _came(office, "NOTFOUND", GROUP, STRANGER)
    assert variables["RESPONSIBLE"] == "" and variables["CLIENT_ID"] == "", variables


@ask("the phone shows the client's name")
def asks_name(office, service):
    ring = office.phone(284, KNOWN, ring=0.05)
    call = office.client_calls("+7495203284", KNOWN)
    there = ring.call()
    assert "Ромашка" in there.invited.get("from"), there.invited.get("from")
    call.wait_ringing()
    call.hangup()


@ask("an outgoing call shows the number that suits the client, else the default")
def asks_callerid(office, service):
    for client, shown in ((KNOWN, OURS[0]), (STRANGER, OURS[1])):
        number = "8" + client[2:]
        ring = office.outside(number, ring=0.05)
        call = office.phone_calls(284, "9" + number)
        there = ring.call()
        assert there.caller == shown, f"{client} sees {there.caller} in place of {shown}"
        call.wait_ringing()
        call.hangup()


def _manager_has(office, service, *extensions):
    """Another directory, and a connector that has read it; what Asterisk said before is forgotten."""
    directory = office.folder / "clients.json"
    whole = json.loads(directory.read_text())
    whole["users"][0]["extensions"] = [{"extension": e} for e in extensions]
    service.stop()
    directory.write_text(json.dumps(whole))
    read = service.log.read_text().count("1 numbers in the directory")
    service.start()
    wait_for("the directory is read", 10, lambda: service.log.read_text().count("1 numbers in the directory") > read)


@ask("the manager's phone is not registered: Asterisk's list of devices says so at the login, and the dialplan hears ABSENT")
def asks_unregistered(office, service):
    _manager_has(office, service, UNREGISTERED)
    # The list comes a moment after the login.
    end = time.monotonic() + 10
    while True:
        _, _, variables = _agi_call(office, None, client=KNOWN)
        if variables.get("PINCONNECTOR_STATUS") == "ABSENT":
            break
        assert time.monotonic() < end, f"Asterisk's list of devices was not heard: {variables}"
    _manager_has(office, service, MANAGER)
    variables = _came(office, "OK", MANAGER, KNOWN, manager=MANAGER)
    assert variables["RESPONSIBLE"] == MANAGER, variables


@ask("the manager has no extension today: the dialplan hears ABSENT")
def asks_absent(office, service):
    _manager_has(office, service)
    variables = _came(office, "ABSENT", GROUP, KNOWN)
    assert variables["CLIENT_NAME"] == SHOWN, variables


@ask("the service is frozen: the dialplan goes on after 2 seconds, and the service recovers")
def asks_frozen(office, service):
    service.freeze()
    try:
        rang, seconds, _ = _agi_call(office, None, client=KNOWN)
    finally:
        service.thaw()
    assert rang == GROUP and 1.5 < seconds < 3.5, (rang, seconds)
    _came(office, "ABSENT", GROUP, KNOWN, within_s=3.5)


@ask("the CRM is dead: a stranger waits for half the budget, whom the directory knows not at all")
def asks_crm_dead(office, service):
    service.stop()
    crm = office.crm
    section = (f'name = "{crm.key}"\nkind = "calls"\nurl = "{crm.url.rsplit("/", 1)[0]}"\nsecret = "{crm.secret}"\n')
    text = service.config.read_text()
    before, rest = text.split("[[crm]]\n", 1)
    service.config.write_text(before + "[[crm]]\n" + section + rest[rest.index("\n["):])
    # Whom it knows, it knows from its database now.
    service.config.write_text(service.config.read_text().replace("[crm.directory]\nfrom", "[crm.directory]\n#"))
    crm.answers("hang")
    try:
        service.start()
        _came(office, "TIMEOUT", GROUP, STRANGER)
        variables = _came(office, "ABSENT", GROUP, KNOWN)
        assert variables["CLIENT_NAME"] == SHOWN, variables
    finally:
        crm.answers("ok")


@ask("the service is dead: the dialplan goes on at once")
def asks_dead(office, service):
    service.kill()
    rang, seconds, variables = _agi_call(office, None, client=KNOWN)
    assert rang == GROUP and seconds < 1 and variables["AGISTATUS"] == "FAILURE", (rang, seconds, variables)
