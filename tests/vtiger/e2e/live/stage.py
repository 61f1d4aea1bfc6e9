"""Real Asterisks, the real connector and a real vTiger, joined: what the live scenarios play on.

The Asterisks and their phones are the laboratory's (tests/lab), the vTiger and its users are those of the other scenarios (office.py).
"""
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[4]))
from office import Office  # noqa: E402
from tests.lab import connector as lab_connector  # noqa: E402
from tests.lab import office as lab_office  # noqa: E402
from tests.lab import processes  # noqa: E402
from tests.lab.asterisk import SECRET  # noqa: E402
from tests.lab.places import LAB  # noqa: E402

FOLDER = LAB / "live"


class Service(lab_connector.Connector):
    """The connector, for as many exchanges and vTigers as are given. `crms`: (key, secret, url, further lines) each. `origins`: pages that may
    listen to its events. `public`: links to recordings are made. `caller_ids`: numbers of ours that clients may see.
    `push`: recordings are brought where vTiger does not fetch them."""

    def __init__(self, name, exchanges, crms, listens=True, origins=(), public=False, caller_ids=(), push=True):
        self.name, self.exchanges, self.crms, self.listens, self.origins = name, exchanges, crms, listens, list(origins)
        self.public, self.caller_ids, self.push = public, list(caller_ids), push
        first = next(iter(exchanges.values()))
        folder = FOLDER / name
        for old in folder.glob("pinconnector.*"):
            old.unlink()
        super().__init__(first, folder=folder)

    def _toml(self, _ami, _sections):
        text = [f'time_zone = "Europe/Moscow"\n[numbers]\nregion = "RU"\n[store]\npath = {json.dumps(str(self.database))}\n'
                f'[click_to_call]\nring_s = 6\nper_extension_per_minute = 60\n[recordings]\nsearch = ["{{year}}/{{month}}/{{day}}"]\npush = {json.dumps(self.push)}\n',
                f'[http]\nlisten = {json.dumps([self.http] if self.listens else [])}\nallow_origins = {json.dumps(self.origins)}\n'
                + (f'public_url = "http://{self.http}"\n' if self.public else ""),
                f'[agi]\nlisten = ["{self.office.lane.connector}:4573"]\ncaller_ids = {json.dumps(self.caller_ids)}\n']
        for name, office in self.exchanges.items():
            host, port = office.asterisk.ami_address
            text.append(f'[[asterisk]]\nname = "{name}"\nhost = "{host}"\nport = {port}\nusername = "pinconnector"\nsecret = "{SECRET}"\n'
                        f'recordings = {json.dumps(str(office.asterisk.recordings))}\n')
        for key, secret, url, more in self.crms:
            kind = "" if "kind =" in more else 'kind = "calls"\n'
            text.append(f'[[crm]]\nname = "{key}"\n{kind}url = "{url}"\nsecret = "{secret}"\n{more}')
        return "\n".join(text)


class Stage:
    """Use as a context. One exchange, one connector, one vTiger at first; scenarios ask for more."""

    def __init__(self):
        self.vtiger = Office()
        self.opened = []
        try:
            # The stand-in of the other scenarios is not heard of here, and would only make a bar.
            self.vtiger.settings("connector", id=self.vtiger.connector_id, name="End to end", key="e2e", url="", enabled="")
            self.pbx = self.exchange("lab")
            self.connector_id, self.secret = self.vtiger.known_connector("live", "Live")
            self.service = None
            self.plain()
        except BaseException:
            self.close()
            raise

    def plain(self):
        """What every scenario begins with: one connector for one exchange and one vTiger, which reach each other."""
        if self.service is None or self.service.name != "main" or not self.service.running():
            for service in [thing for thing in self.opened if isinstance(thing, Service)]:
                self.done_with(service)
            self.service = self.serve("main", {"lab": self.pbx}, [("live", self.secret, self.vtiger.url, "")])
        self.reach(True)

    def exchange(self, name):
        office = lab_office.Office("22", FOLDER / f"pbx-{name}", keep_messages=False)
        self.opened.append(office)
        return office

    def serve(self, name, exchanges, crms, **more):
        service = Service(name, exchanges, crms, **more).start()
        self.opened.insert(0, service)
        return service

    def done_with(self, thing):
        """Ends something before the end of the play."""
        self.opened.remove(thing)
        thing.stop() if isinstance(thing, Service) else thing.close()

    def reach(self, yes, office=None, connector_id=None, service=None, key="live"):
        """Whether vTiger can reach the connector."""
        office, connector_id, service = office or self.vtiger, connector_id or self.connector_id, service or self.service
        url = "http://" + service.http if yes else ""
        office.settings("connector", id=connector_id, name=key.capitalize(), key=key, url=url, enabled=1)
        if yes:
            until("the connector can be reached", 10, lambda: office.settings("test", id=connector_id)["result"].get("reachable"))

    def close(self):
        for thing in self.opened:
            thing.stop() if isinstance(thing, Service) else thing.close()
        self.opened = []
        self.vtiger.settings("connector", id=self.vtiger.connector_id, name="End to end", key="e2e", url="", enabled=1)
        # Silent from now on, it would make a bar in other plays.
        if hasattr(self, "connector_id"):
            self.vtiger.settings("connector", id=self.connector_id, name="Live", key="live", url="", enabled="")
        self.vtiger.close()

    # -- what scenarios ask -------------------------------------------------------------------------------------------

    def call_of(self, number, office=None, main=True, **want):
        """The record of this client's call in vTiger, once it is as wanted; its columns."""
        office = office or self.vtiger
        last = []

        def found():
            sql = "SELECT callsid FROM vtiger_calls c JOIN vtiger_crmentity e ON e.crmid = c.callsid WHERE e.deleted = 0 AND c.client_e164 = '%s' %s ORDER BY callsid DESC LIMIT 1"
            crm_id = office.db.one(sql % (number, "AND c.is_main = '1'" if main else ""))
            call = office.db.call(crm_id) if crm_id else None
            last[:] = [call and {key: call.get(key) for key in want}]
            return call if call and all(str(call.get(key)) == str(value) for key, value in want.items()) else None

        try:
            return processes.wait_for("the call in vTiger", 15, found, every_s=0.1)
        except TimeoutError:
            raise AssertionError("the call of %s is not %s in vTiger but %s" % (number, want, last)) from None

    def page(self, user, path="index.php?module=Calls&view=List", office=None):
        """A user's open page, telephony loaded and in front."""
        tab = (office or self.vtiger).tab(user).open(path)
        tab.run("sessionStorage.clear()")
        tab.open(path)
        tab.wait("!!document.querySelector('#calls-seat-link')", "the page of " + user)
        tab.ask("Page.bringToFront")
        return tab


def until(what, seconds, condition):
    return processes.wait_for(what, seconds, condition, every_s=0.1)


def ringing(tab, seconds=5):
    """When the window of a call is seen."""
    tab.wait("!!document.querySelector('.calls-popup')", "the window of the call", seconds)
    return time.time()
