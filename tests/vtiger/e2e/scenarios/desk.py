"""An employee's desk: what he clicks, sees and is told, in a real browser. Each function's name is its sentence."""
import json
import os
import re
import time

from connector import Connector, call, wire_time
from database import quoted
from scenarios.common import HOSTILE, cli, denied, fill_in, read_only, saved, scenario, settings_page, tab_of
from standin import MailServer


def at(tab, path):
    """A page with telephony loaded, in front."""
    tab.open(path)
    tab.wait("!!document.querySelector('#calls-seat-link')", "the page " + path)
    tab.ask("Page.bringToFront")
    return tab


def afresh(tab, path):
    """The same without what the browser remembers of earlier pages."""
    at(tab, path).run("sessionStorage.clear()")
    return at(tab, path)


# Click-to-call


def icon_beside(tab, number, where):
    """Clicks the telephone that is seen beside the number; what the screen says to it."""
    tab.run("(document.querySelector('#calls-box .btn-default') || {click: function(){}}).click()")
    found = ("[...document.querySelectorAll('.calls-call')].filter(one => one.parentNode.textContent.replace(/\\D/g, '').indexOf('%s') >= 0"
             " && one.offsetWidth > 0 && one.getBoundingClientRect().width > 0)" % re.sub(r"\D", "", number)[1:])
    tab.wait("%s.length > 0" % found, "a telephone beside %s in %s" % (number, where))
    tab.run(found + "[0].click()")
    tab.wait("/Your phone rings/.test((document.querySelector('#calls-box') || {}).innerText || '')", "ringing you, from " + where)


@scenario
def every_phone_field_and_every_list_calls_with_one_click(office):
    office.reach(True)
    owner = {"assigned_user_id": str(office.users["calls_op1"])}
    numbers = {name: office.fresh_number() for name in ("contact", "mobile", "home", "lead", "account", "other", "call")}
    account = office.admin.save("Accounts", accountname="Полевая " + numbers["account"], phone=numbers["account"], otherphone=numbers["other"], **owner)
    contact = office.admin.save("Contacts", lastname="Полевой", phone=numbers["contact"], mobile=numbers["mobile"], homephone=numbers["home"], account_id=str(account), **owner)
    lead = office.admin.save("Leads", lastname="Полев", phone=numbers["lead"], **owner)
    _, call_id = saved(office, client_number=numbers["call"], extension="101")
    whole = "index.php?module=%s&view=Detail&record=%d&mode=showDetailViewByMode&requestMode=full"
    tab = office.tab("calls_op1")
    wanted = [("index.php?module=Contacts&view=Detail&record=%d" % contact, "contact", contact), ("index.php?module=Leads&view=Detail&record=%d" % lead, "lead", lead),
              ("index.php?module=Accounts&view=Detail&record=%d" % account, "account", account), (whole % ("Contacts", contact), "mobile", contact), (whole % ("Contacts", contact), "home", contact),
              (whole % ("Accounts", account), "other", account), ("index.php?module=Contacts&view=List", "contact", contact), ("index.php?module=Leads&view=List", "lead", lead),
              ("index.php?module=Accounts&view=List", "account", account), ("index.php?module=Calls&view=List&viewname=%d" % office.views()["All"], "call", call_id),
              ("index.php?module=Calls&view=Detail&record=%d" % call_id, "call", call_id)]
    for path, name, record in wanted:
        at(tab, path)
        icon_beside(tab, numbers[name], path)
        placed = office.standin.last_call()["call"]
        assert placed["to"].lstrip("+")[-10:] == numbers[name][-10:] and placed["crm_record"] == str(record), (path, placed)
    tab_of(tab, "Accounts", account, "Contacts")
    icon_beside(tab, numbers["contact"], "the organization's tab of contacts")
    assert office.standin.last_call()["call"]["crm_record"] == str(contact), "the row's record, not the card's"
    # Who may not change the record may call it all the same; a Russian has other labels.
    theirs = office.tab("calls_op2")
    for module, record, name in (("Contacts", contact, "contact"), ("Leads", lead, "lead"), ("Accounts", account, "account")):
        with read_only(office, "calls_op2", module):
            path = "index.php?module=%s&view=Detail&record=%d" % (module, record)
            at(theirs, path).wait("document.querySelectorAll('.calls-call').length > 0", "a telephone for who may not change " + module)
            assert not theirs.run("!!document.querySelector('.fieldBasicData[data-type=phone]')"), "he may change it"
            icon = theirs.run("document.querySelector('.calls-call').parentNode.textContent.replace(/\\D/g, '')")
            assert icon.endswith(numbers[name][-10:]), icon
    with denied(office, "calls_op1", "ClickToCall"):
        afresh(tab, whole % ("Contacts", contact))
        tab.wait("document.body.innerText.indexOf('%s') >= 0" % numbers["mobile"][-7:], "the card")
        assert not tab.run("!!document.querySelector('.calls-call')"), "a telephone for who may not call"
    tab.run("sessionStorage.clear()")


@scenario
def a_click_goes_by_the_connector_of_his_group(office):
    office.reach(False)
    other_id, secret = office.known_connector("e2e-group", "Of a group")
    other = Connector(office.url, "e2e-group", secret)
    other.ask("heartbeat", sent_at=wire_time(time.time()), region="RU", last_digits=7, pbxs=[{"pbx": "msk", "up": True}])
    user = office.users["calls_op1"]
    first, second = sorted(group for name, group in office.groups.items() if name != "Звонки без ответственного")[:2]
    office.db.run("INSERT IGNORE INTO vtiger_users2group (groupid, userid) VALUES (%d, %d), (%d, %d)" % (first, user, second, user))
    try:
        for ours, theirs in ((1, 2), (2, 1)):
            office.settings("group", group=first, priority=ours, connector=office.connector_id, pbx="", context="ctx-ours", caller_id="")
            office.settings("group", group=second, priority=theirs, connector=other_id, pbx="", context="ctx-theirs", caller_id="+78120000001")
            placed = office.as_user("calls_op1").action("ClickToCall", mode="place", number="84957654321", record="")["result"]
            fetched = {}
            for name, connector in (("ours", office.connector), ("theirs", other)):
                commands = connector.ask("commands", wait_s=0)["commands"]
                fetched[name] = [one["call"] for one in commands if one["command"] == "call" and one["call"]["request"] == placed["request"]]
                connector.ask("commands", wait_s=0, done=[{"id": one["id"], "ok": True} for one in commands])
            mine = "ours" if ours < theirs else "theirs"
            assert [name for name in fetched if fetched[name]] == [mine] and fetched[mine][0]["context"] == "ctx-" + mine, fetched
            assert fetched[mine][0].get("caller_id") == (None if mine == "ours" else "+78120000001"), fetched
    finally:
        office.settings("group", group=first, remove=1)
        office.settings("group", group=second, remove=1)
        office.db.run("DELETE FROM vtiger_users2group WHERE userid = %d AND groupid IN (%d, %d)" % (user, first, second))
        office.settings("remove_connector", id=other_id)


@scenario
def the_number_to_show_is_a_field_of_lead_organization_and_contact(office):
    office.reach(True)
    for module, fields in (("Leads", {"lastname": "Показов"}), ("Accounts", {}), ("Contacts", {"lastname": "Показова"})):
        number = office.fresh_number()
        fields = fields or {"accountname": "Показ " + number}
        client = office.admin.save(module, phone=number, assigned_user_id="1", calls_caller_id="+7495" + number[-7:], **fields)
        tab = at(office.tab("admin"), "index.php?module=%s&view=Detail&record=%d&mode=showDetailViewByMode&requestMode=full" % (module, client))
        assert "+7495" + number[-7:] in tab.run("document.body.innerText") and "Show this number when calling" in tab.run("document.body.innerText"), module
        placed = office.as_user("calls_op1").action("ClickToCall", mode="place", number=number, record=client)["result"]
        assert office.standin.calls[placed["request"]]["call"]["caller_id"] == "+7495" + number[-7:], module
        assert office.connector.ask("lookup", number=number)["client"]["caller_id"] == "+7495" + number[-7:], module
        entries, cursor, more = [], "", True
        while more:
            page = office.connector.ask("directory", cursor=cursor, limit=2000)
            entries, cursor, more = entries + page["entries"], page["cursor"], page["more"]
        known = [one["client"] for one in entries if one["number"] == number and one["client"]]
        assert known and known[-1]["caller_id"] == "+7495" + number[-7:], (module, known)


# Pop-up


@scenario
def an_unknown_caller_becomes_a_lead_contact_or_organization_by_the_users_click(office):
    tab = office.tab("calls_op1")
    for module, field in (("Leads", "lastname"), ("Contacts", "lastname"), ("Accounts", "accountname")):
        at(tab, "index.php?module=Calls&view=List")
        number, before = office.fresh_number(), office.db.one("SELECT COUNT(*) FROM vtiger_crmentity WHERE setype = '%s'" % module)
        record, crm_id = saved(office, status="ringing", client_number=number, did="+74951234531", extension="101")
        link = ".calls-popup .calls-create[href*=\"module=%s&\"]" % module
        tab.wait("!!document.querySelector('%s')" % link, "the button for " + module)
        tab.follow(link)
        form = "document.querySelector('#EditView')"
        tab.wait("!!%s && !!document.querySelector('#EditView [name=%s]') && !!window.jQuery" % (form, field), "the form of " + module)
        filled = tab.run("[...document.querySelectorAll('#EditView [name=phone], #EditView [name=description]')].map(one => one.value).join('|')")
        assert number in filled and "+74951234531" in filled, (module, filled)
        assert office.db.one("SELECT COUNT(*) FROM vtiger_crmentity WHERE setype = '%s'" % module) == before, "never by itself"
        office.connector.send(dict(record, revision=record["revision"] + 1, status="missed"))
        tab.run("document.querySelector('#EditView [name=%s]').value = 'Новый %s'" % (field, number))
        tab.follow("#EditView .saveButton")
        made = "SELECT crmid FROM vtiger_crmentity WHERE setype = '%s' AND label LIKE '%%Новый %s%%' AND deleted = 0" % (module, number)
        tab.wait_for(lambda: office.db.one(made), "the new record of " + module)
        tab.wait_for(lambda: office.connector.ask("lookup", number=number).get("client", {}).get("id") == office.db.one(made), "his number is found")
        # The next time he is known.
        again, _ = saved(office, status="ringing", client_number=number, did="+74951234531", extension="101")
        at(tab, "index.php?module=Calls&view=List")
        tab.wait("((document.querySelector('.calls-popup') || {}).innerText || '').indexOf('Новый') >= 0", "his name")
        assert not tab.run("!!document.querySelector('.calls-popup .calls-create')")
        office.connector.send(dict(again, revision=again["revision"] + 1, status="missed"))


@scenario
def an_unknown_caller_becomes_a_client_by_itself_only_where_an_administrator_set_it(office):
    tables = {"Leads": ("SELECT e.crmid, a.phone, e.description, e.smownerid FROM vtiger_leadaddress a JOIN vtiger_crmentity e ON e.crmid = a.leadaddressid", "a.phone"),
              "Contacts": ("SELECT e.crmid, c.phone, e.description, e.smownerid FROM vtiger_contactdetails c JOIN vtiger_crmentity e ON e.crmid = c.contactid", "c.phone"),
              "Accounts": ("SELECT e.crmid, a.phone, e.description, e.smownerid FROM vtiger_account a JOIN vtiger_crmentity e ON e.crmid = a.accountid", "a.phone")}

    def known(module, number):
        return office.db.rows("%s WHERE e.deleted = 0 AND %s = '%s'" % (*tables[module], number))

    def rings(number, **more):
        return saved(office, status="ringing", client_number=number, client_number_normalized=number, did="+74951234531", extension="101", **more)

    tab = office.tab("calls_op1")
    try:
        for module in ("Leads", "Contacts", "Accounts"):
            fill_in(settings_page(office), "#calls-rules", create_client=module)
            assert settings_page(office).run("document.querySelector('#calls-rules [name=create_client]').value") == module
            number = office.fresh_number()
            record, crm_id = rings(number)
            rows = known(module, number)
            assert len(rows) == 1 and "+74951234531" in rows[0][2] and rows[0][3] == str(office.users["calls_op1"]), (module, rows)
            assert office.db.call(crm_id)["call_client"] == rows[0][0], module
            at(tab, "index.php?module=Calls&view=List")
            tab.wait("!!document.querySelector('.calls-popup .calls-open-card[href$=\"record=%s\"]')" % rows[0][0], "the link to the new card")
            assert not tab.run("!!document.querySelector('.calls-popup .calls-create')")
            office.connector.send(dict(record, revision=record["revision"] + 1, status="missed"), call(conversation=record["conversation"], n=2, lead=False, status="missed", client_number=number, client_number_normalized=number))
            saved(office, status="missed", client_number=number, client_number_normalized=number)
            assert known(module, number) == rows, "one client, once"
            assert office.admin.related_rows(module, int(rows[0][0]), "Calls")[1].status == 200
            page = office.admin.card(int(rows[0][0]), module)
            assert page.status == 200 and number in page.text, module
    finally:
        fill_in(settings_page(office), "#calls-rules", create_client="")
    number = office.fresh_number()
    record, crm_id = rings(number)
    assert office.db.call(crm_id)["call_client"] == "0" and not any(known(module, number) for module in tables), "never by itself"
    office.connector.send(dict(record, revision=record["revision"] + 1, status="missed"))


@scenario
def of_several_rung_users_the_window_of_the_others_closes_when_one_answers(office):
    tabs = {"101": at(office.tab("calls_op1"), "index.php?module=Calls&view=List"), "102": at(office.tab("calls_op2"), "index.php?module=Calls&view=List")}
    number = office.fresh_number()
    first, _ = saved(office, status="ringing", client_number=number, extension="101")
    second, _ = saved(office, conversation=first["conversation"], n=2, lead=False, status="ringing", client_number=number, extension="102")
    for tab in tabs.values():
        tab.ask("Page.bringToFront")
        tab.wait("((document.querySelector('.calls-popup') || {}).innerText || '').indexOf('%s') >= 0" % number, "the window of the call", 8)
    office.connector.send(dict(first, revision=first["revision"] + 1, status="no_answer", lead=False), dict(second, revision=second["revision"] + 1, status="in_progress", lead=True))
    for tab in tabs.values():
        tab.ask("Page.bringToFront")
        tab.wait("!document.querySelector('.calls-popup')", "closed", 8)
    office.connector.send(dict(second, revision=second["revision"] + 2, status="completed", lead=True))


# Extension today


@scenario
def whoever_takes_anothers_extension_in_the_menu_is_told_whose_it_was(office):
    office.as_user("calls_op2").action("Seat", mode="take", pbx="msk", extension="175")
    tab = at(office.tab("calls_op1"), "index.php?module=Calls&view=List")
    try:
        tab.click("#calls-seat-link")
        tab.wait("!!document.querySelector('#calls-seat-extension')", "the question")
        for wrong in ("", "7", "abc"):
            tab.run("document.querySelector('#calls-seat-extension').value = '%s'" % wrong)
            tab.click("#calls-seat-take")
            assert "2 to 10 digits" in tab.text("#calls-seat"), wrong
        tab.run("document.querySelector('#calls-seat-extension').value = '175'; document.querySelector('#calls-seat-pbx').value = 'msk'")
        tab.click("#calls-seat-take")
        tab.wait("/Taken over from.*op2/.test(document.querySelector('#calls-seat').innerText)", "whose it was")
        tab.wait("/175/.test(document.querySelector('#calls-seat-link').textContent)", "he sits there")
        assert office.db.rows("SELECT userid FROM vtiger_calls_seat WHERE extension = '175' AND until > UNIX_TIMESTAMP()") == [[str(office.users["calls_op1"])]]
    finally:
        office.as_user("calls_op1").action("Seat", mode="leave")
        office.as_user("calls_op2").action("Seat", mode="leave")
        tab.run("sessionStorage.clear()")


@scenario
def an_extension_ends_with_a_click_on_log_out(office):
    guest = office.guest()
    tab = afresh(office.tab("calls_guest"), "index.php?module=Contacts&view=List")
    office.as_user("calls_guest").action("Seat", mode="take", pbx="msk", extension="174")
    afresh(tab, "index.php?module=Contacts&view=List")
    sits = "SELECT COUNT(*) FROM vtiger_calls_seat WHERE userid = %d AND until > UNIX_TIMESTAMP()" % guest
    assert office.db.one(sits) == "1"
    tab.follow("#menubar_item_right_LBL_SIGN_OUT, a[href*='action=Logout']")
    tab.wait("!!document.querySelector('[name=username]')", "the login page")
    # At once by the page, else within a minute by the cron.
    tab.wait_for(lambda: office.db.one(sits) == "0" or (cli(office, "minute") and False), "the end of it")
    del office.sessions["calls_guest"]
    office.tabs.pop("calls_guest", None)


# When it does not work


@scenario
def the_bar_is_for_whom_it_concerns_and_says_since_when(office):
    since = time.time() - 600
    # Connectors that other plays have left behind are silent.
    office.db.run("UPDATE vtiger_calls_connector SET enabled = 0 WHERE id <> %d" % office.connector_id)
    office.heartbeat(pbxs=[{"pbx": "msk", "up": True}, {"pbx": "spb", "up": False, "since": wire_time(since)}])
    bar = "((document.querySelector('#calls-bar') || {}).innerText || '')"
    one, two = office.tab("calls_op1"), office.tab("calls_op2")
    office.as_user("calls_op1").action("Seat", mode="take", pbx="spb", extension="101")
    office.as_user("calls_op2").action("Seat", mode="take", pbx="msk", extension="102")
    try:
        afresh(one, "index.php?module=Contacts&view=List").wait(bar + ".indexOf('no link to the exchange «spb» since ') >= 0", "the bar of who sits there")
        told = one.run(bar)
        shown = one.run("new Date(%d).toLocaleString()" % (int(since) * 1000))
        assert shown in told, (shown, told)
        afresh(two, "index.php?module=Contacts&view=List")
        time.sleep(1.5)
        assert not two.run(bar), "a bar for who sits at the exchange that works: " + two.run(bar)
        # The whole connector: everybody, two minutes after the last heartbeat.
        office.heartbeat()
        for age, is_down in ((100, False), (130, True)):
            office.db.run("UPDATE vtiger_calls_connector SET heard_at = UNIX_TIMESTAMP() - %d WHERE id = %d" % (age, office.connector_id))
            afresh(two, "index.php?module=Contacts&view=List")
            if is_down:
                two.wait(bar + ".indexOf('End to end') >= 0", "the bar of a silent connector")
                two.run("PinCalls.call('84957654321', '')")
                two.wait("/коннектор/i.test((document.querySelector('#calls-box') || {}).innerText || '')", "a click says so at once")
            else:
                time.sleep(1.5)
                assert not two.run(bar), "a bar before two minutes"
        # Gone with the next heartbeat, without another page.
        office.heartbeat()
        two.wait("!document.querySelector('#calls-bar')", "the end of the bar", 45)
    finally:
        for name in ("calls_op1", "calls_op2"):
            office.as_user(name).action("Seat", mode="leave")
        office.heartbeat()


@scenario
def administrators_are_told_of_a_broken_exchange_too(office):
    if not os.environ.get("VTIGER_ROOT"):
        return "VTIGER_ROOT is not given"
    mail = MailServer()
    office.db.run("CREATE TABLE IF NOT EXISTS vtiger_systems_e2e AS SELECT * FROM vtiger_systems; DELETE FROM vtiger_systems WHERE server_type = 'email'; INSERT INTO vtiger_systems (id, server, server_port, "
                  "server_username, server_password, server_type, smtp_auth, from_email_field) VALUES (9001, '127.0.0.1:%d', 0, '', '', 'email', '0', 'crm@example.ru')" % mail.port)

    def letters(seconds_down):
        link = {"pbx": "spb", "up": False, "since": wire_time(time.time() - seconds_down)} if seconds_down else {"pbx": "spb", "up": True}
        office.heartbeat(pbxs=[{"pbx": "msk", "up": True}, link])
        cli(office, "minute")
        return [subject for subject in mail.subjects() if "End to end / spb" in subject]

    try:
        assert letters(0) == [] and letters(540) == []
        told = letters(660)
        assert len(told) == 1 and "Telephony is down" in told[0], told
        assert len(letters(900)) == 1, "once"
        told = letters(0)
        assert len(told) == 2 and "Telephony is back" in told[1], told
        assert len(letters(0)) == 2, "once"
    finally:
        mail.close()
        office.db.run("DELETE FROM vtiger_systems WHERE id = 9001; INSERT IGNORE INTO vtiger_systems SELECT * FROM vtiger_systems_e2e; DROP TABLE vtiger_systems_e2e")
        office.heartbeat()


@scenario
def a_call_found_later_is_marked_on_its_card(office):
    for user, words in (("calls_op1", "Told later"), ("calls_op2", "Сообщён позже")):
        for live in (True, False):
            _, crm_id = saved(office, status="missed", live=live, extension="101")
            text = re.sub(r"<[^>]+>|\s+", " ", office.as_user(user).card(crm_id).text)
            found = re.search(r"%s\s+(Yes|No|Да|Нет)" % words, text)
            assert found and found.group(1) in (("No", "Нет") if live else ("Yes", "Да")), (user, live, found)


# Follow-up and dashboard


@scenario
def a_missed_call_is_closed_by_the_button_of_its_card_and_of_the_dashboard(office):
    tab = office.tab("calls_op1")
    _, crm_id = saved(office, status="missed", follow_up="open", client_number=office.fresh_number(), extension="101")
    at(tab, "index.php?module=Calls&view=Detail&record=%d" % crm_id)
    button = "[...document.querySelectorAll('.detailview-header button, .detailViewButtoncontainer button, button')].filter(one => one.innerText.trim() === 'Called back / close')"
    tab.wait("%s.length === 1" % button, "the button")
    tab.run(button + "[0].click()")
    tab.wait_for(lambda: office.db.call(crm_id)["call_follow_up"] == "closed", "closed")
    tab.wait("document.readyState === 'complete' && %s.length === 0" % button, "no button any more")
    for status, follow_up in (("completed", None), ("missed", "called_back")):
        _, other = saved(office, status=status, follow_up=follow_up, extension="101")
        at(tab, "index.php?module=Calls&view=Detail&record=%d" % other)
        assert tab.run("%s.length" % button) == 0, status
    number = office.fresh_number()
    _, crm_id = saved(office, status="missed", follow_up="open", client_number=number, client_name="O'Hara & " + "W" * 60, extension="101")
    with widgets(office, "calls_op1", "NotCalledBack"):
        at(tab, "index.php?module=Home&view=DashBoard")
        row = "document.querySelector('[data-calls-follow-up=\"%d\"]')" % crm_id
        tab.wait("!!%s" % row, "the row in the widget")
        edges = "[%s, %s.closest('.dashboardWidgetContent')].map(one => one.getBoundingClientRect().right)" % (row, row)
        button_ends, box_ends = tab.run(edges)
        assert button_ends <= box_ends, "the button is outside of the box"
        assert "O'Hara & W" in tab.run(row + ".closest('tr').innerText")
        tab.run(row + ".click()")
        tab.wait_for(lambda: office.db.call(crm_id)["call_follow_up"] == "closed", "closed")
        tab.wait("!%s" % row, "the row is gone")


class widgets:
    """On the user's first dashboard, and nothing else there."""

    def __init__(self, office, user, *names, mini_list=None):
        self.office, self.names, self.mini_list = office, names, mini_list
        self.user = 1 if user == "admin" else office.users[user]

    def __enter__(self):
        db = self.office.db
        dashboard = db.one("SELECT id FROM vtiger_dashboard_tabs WHERE userid = %d ORDER BY isdefault DESC, id LIMIT 1" % self.user)
        if dashboard is None:
            self.office.as_user("admin" if self.user == 1 else "calls_op1").get("index.php?module=Home&view=DashBoard")
            dashboard = db.one("SELECT id FROM vtiger_dashboard_tabs WHERE userid = %d ORDER BY isdefault DESC, id LIMIT 1" % self.user)
        self.links = []
        for nth, name in enumerate(self.names):
            link = db.one("SELECT linkid FROM vtiger_links WHERE linktype = 'DASHBOARDWIDGET' AND linkurl LIKE '%%name=%s'" % name)
            db.run("DELETE FROM vtiger_module_dashboard_widgets WHERE userid = %d AND linkid = %s" % (self.user, link))
            db.run("INSERT INTO vtiger_module_dashboard_widgets (linkid, userid, title, data, dashboardtabid, position) VALUES (%s, %d, %s, '', %s, '{\"row\":%d,\"col\":1}')"
                   % (link, self.user, "''", dashboard, nth + 1))
            self.links.append(link)
        if self.mini_list:
            link = db.one("SELECT linkid FROM vtiger_links WHERE linklabel = 'Mini List' AND linktype = 'DASHBOARDWIDGET' LIMIT 1")
            data = json.dumps({"module": "Calls", "fields": ["client_number", "client_name"]})
            db.run("INSERT INTO vtiger_module_dashboard_widgets (linkid, userid, filterid, title, data, dashboardtabid) VALUES (%s, %d, %d, 'e2e desk', %s, %s)"
                   % (link, self.user, self.office.views()[self.mini_list], quoted(data), dashboard))

    def __exit__(self, *_):
        self.office.db.run("DELETE FROM vtiger_module_dashboard_widgets WHERE userid = %d AND (linkid IN (%s) OR title = 'e2e desk')" % (self.user, ",".join(self.links)))


@scenario
def the_dashboard_draws_its_charts_and_lists(office):
    number = office.fresh_number()
    saved(office, status="missed", follow_up="open", client_number=number, client_name=HOSTILE, extension="101")
    tab = office.tab("calls_op1")
    with widgets(office, "calls_op1", "CallsByHour", "CallsByStatus", "CallsPerEmployee", "NotCalledBack", mini_list="Missed"):
        at(tab, "index.php?module=Home&view=DashBoard")
        for name in ("CallsByHour", "CallsByStatus", "CallsPerEmployee"):
            # vTiger's bar chart draws a canvas.
            tab.wait("(function(){var w=document.querySelector('[data-name=\"%s\"], [data-url*=\"name=%s\"]');return w && [...w.querySelectorAll('canvas, svg')].some(one => one.offsetWidth > 50 || one.clientWidth > 50)})()" % (name, name),
                     "the chart " + name, 30)
        tab.wait("document.body.innerText.split('%s').length === 3" % number, "the missed call in the widget and in the mini list")
        assert tab.run("document.body.innerText.split(%s).length" % json.dumps(HOSTILE)) >= 2, "the name as it was said"
        if os.environ.get("SCREENSHOTS"):
            tab.screenshot(os.path.join(os.environ["SCREENSHOTS"], "dashboard.png"))
    assert not [said for said in office.dialogs if "calls" in said], "a script from a caller's name ran"


@scenario
def a_hostile_name_is_text_in_the_cards_of_lead_and_organization_too(office):
    tab = office.tab("calls_op1")
    for module, fields in (("Leads", {"lastname": "Опасный"}), ("Accounts", {})):
        number = office.fresh_number()
        fields = fields or {"accountname": "Опасная " + number}
        client = office.admin.save(module, phone=number, assigned_user_id=str(office.users["calls_op1"]), **fields)
        _, crm_id = saved(office, client_number=number, client_name=HOSTILE, trunk=HOSTILE[:90], queue=HOSTILE[:90], menu=HOSTILE, extension="101", recordings=[{"id": "x", "file": HOSTILE}])
        for label in ("Calls", "Calls (all phones)"):
            tab_of(tab, module, client, label)
            tab.wait("!!document.querySelector('.listViewEntries[data-id=\"%d\"]')" % crm_id, "the call in %s" % label)
    assert not [said for said in office.dialogs if "calls" in said], "a script from a caller's name ran"
