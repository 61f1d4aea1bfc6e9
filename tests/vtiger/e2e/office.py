"""The office all scenarios play in: made once in the vTiger that is given, found again when it is there already."""
import os
import re
import time

from browser import Browser
from connector import Connector
from database import Database, quoted
from standin import StandIn
from web import Session

PASSWORD = "Zvonki-2026"


class Office:
    def __init__(self, prefix="VTIGER"):
        self.url = os.environ[prefix + "_URL"].rstrip("/")
        self.db = Database(os.environ[prefix + "_DB"])
        self.admin = Session(self.url, os.environ.get("VTIGER_ADMIN", "admin"), os.environ["VTIGER_PASSWORD"])
        self._browser = None
        self.sessions = {}
        self.tabs = {}
        self.users = {name: self._user(name, extension) for name, extension in (("calls_op1", "101"), ("calls_op2", "102"), ("calls_gone", "109"))}
        self.groups = {name: int(group) for group, name in self.db.rows("SELECT groupid, groupname FROM vtiger_groups")}
        self.connector_id, secret = self.known_connector("e2e", "End to end")
        self.settings("connector", id=self.connector_id, name="End to end", key="e2e", url="", enabled=1)
        self.connector = Connector(self.url, "e2e", secret)
        self.standin = StandIn("e2e", secret)
        self.number = int(time.time()) % 1000000 * 10
        self.heartbeat()

    def _user(self, name, extension):
        known = self.db.one("SELECT id FROM vtiger_users WHERE user_name = " + quoted(name))
        if known:
            return int(known)
        role = self.db.one("SELECT roleid FROM vtiger_role ORDER BY depth DESC, roleid LIMIT 1")
        page = self.admin.post({
            "module": "Users", "parent": "Settings", "action": "Save", "user_name": name, "user_password": PASSWORD, "confirm_password": PASSWORD,
            "first_name": "Оператор", "last_name": name.split("_")[1], "email1": name + "@example.ru", "roleid": role, "status": "Active",
            "phone_crm_extension": extension, "language": "ru_ru" if name == "calls_op2" else "en_us", "time_zone": "Europe/Moscow",
            "date_format": "dd-mm-yyyy", "hour_format": "24", "start_hour": "09:00", "is_admin": "off", "currency_id": "1",
            "currency_decimal_separator": ".", "currency_grouping_separator": ",", "phone_mobile": "+7903111" + extension.zfill(4),
        })
        made = self.db.one("SELECT id FROM vtiger_users WHERE user_name = " + quoted(name))
        assert made, page.text[:500]
        self.db.run("INSERT IGNORE INTO vtiger_crmsetup (userid, setup_status) VALUES (%s, 1)" % made)
        return int(made)

    def user_id(self, name):
        return int(self.db.one("SELECT id FROM vtiger_users WHERE user_name = " + quoted(name)))

    def guest(self):
        """A user without an extension on his card."""
        return self._user("calls_guest", "")

    def known_connector(self, key, name):
        """A connector in the settings, made where it is not there; its id and secret."""
        answer = self.settings("connector", name=name, key=key, url="")
        if answer.get("success"):
            return int(answer["result"]["id"]), answer["result"]["secret"]
        connector = int(self.db.one("SELECT id FROM vtiger_calls_connector WHERE wire_key = " + quoted(key)))
        return connector, self.settings("show_secret", id=connector)["result"]["secret"]

    def settings(self, what, **fields):
        return self.admin.action("Save", parent="Settings", what=what, **fields)

    def reach(self, yes):
        """Whether vTiger can reach the connector."""
        self.settings("connector", id=self.connector_id, name="End to end", key="e2e", url=self.standin.url if yes else "", enabled=1)
        if yes:
            answer = self.settings("test", id=self.connector_id)
            assert answer["result"]["reachable"], answer

    def heartbeat(self, **more):
        pbxs = more.pop("pbxs", [{"pbx": "msk", "up": True, "asterisk": "20.11.0", "since": "2026-11-22T00:00:00.000Z"}, {"pbx": "spb", "up": True}])
        from connector import wire_time
        facts = dict({"sent_at": wire_time(time.time()), "version": "0.0.0", "region": "RU", "area_code": "", "last_digits": 7, "pbxs": pbxs}, **more)
        return self.connector.ask("heartbeat", **facts)

    def as_user(self, name):
        if name == "admin":
            return self.admin
        if name not in self.sessions:
            self.sessions[name] = Session(self.url, name, PASSWORD)
        return self.sessions[name]

    def tab(self, name):
        if self._browser is None:
            self._browser = Browser()
        if name not in self.tabs:
            self.tabs[name] = self._browser.user(self.as_user(name))
        return self.tabs[name]

    def tab_over(self, name, base_url):
        """The same user in a tab that has the vTiger by another address, as over https with a certificate of one's own."""
        session = self.as_user(name)
        return self._browser.user(session, base_url.rstrip("/") + "/")

    @property
    def dialogs(self):
        return self._browser.dialogs if self._browser else []

    def fresh_number(self):
        """A mobile number nobody has."""
        self.number += 1
        return "+7916%07d" % (self.number % 10000000)

    def contact(self, number, owner="admin", **fields):
        fields.setdefault("lastname", "Клиентов %s" % number[-4:])
        owner_id = self.users.get(owner, 1)
        return self.admin.save("Contacts", firstname="Иван", mobile=number, assigned_user_id=str(owner_id), **fields)

    def views(self):
        return {name: int(view) for view, name in self.db.rows("SELECT cvid, viewname FROM vtiger_customview WHERE entitytype = 'Calls'")}

    def default_group(self):
        return int(self.db.one("SELECT groupid FROM vtiger_groups WHERE groupname = 'Звонки без ответственного'"))

    def close(self):
        self.standin.close()
        if self._browser:
            self._browser.close()


def squeezed(text):
    return re.sub(r"\s+", " ", text)
