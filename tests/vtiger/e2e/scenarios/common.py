"""What scenarios have in common: the list they enter themselves in, and steps that many of them take."""
import contextlib
import json
import os
import pwd
import subprocess

from connector import call

SCENARIOS = []
HOSTILE = "\"><script>alert('calls')</script><img src=x onerror=alert('calls')>"
LIFECYCLE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lifecycle.php")


def scenario(function):
    SCENARIOS.append(function)
    return function


def saved(office, **fields):
    """Sends one record; its crm id."""
    record = call(**fields)
    result = office.connector.send(record)[record["id"]]
    assert result["result"] == "saved", result
    return record, int(result["crm_id"])


@contextlib.contextmanager
def denied(office, user_name, tool):
    """Without this tool in the user's profiles."""
    where = "activityid = (SELECT actionid FROM vtiger_actionmapping WHERE actionname = 'Calls%s')" % tool
    with _without(office, user_name, "vtiger_profile2utility", "permission", "Calls", where):
        yield


@contextlib.contextmanager
def read_only(office, user_name, module):
    """Without the right to change records of this module in the user's profiles."""
    with _without(office, user_name, "vtiger_profile2standardpermissions", "permissions", module, "operation IN (0, 1)"):
        yield


@contextlib.contextmanager
def _without(office, user_name, table, column, module, where):
    user_id = office.user_id(user_name)
    profiles = [row[0] for row in office.db.rows("SELECT p.profileid FROM vtiger_role2profile p JOIN vtiger_user2role u ON u.roleid = p.roleid WHERE u.userid = %d" % user_id)]
    where = "profileid IN (%s) AND tabid = (SELECT tabid FROM vtiger_tab WHERE name = '%s') AND %s" % (",".join(profiles), module, where)

    def set_permission(value):
        office.db.run("UPDATE %s SET %s = %d WHERE %s" % (table, column, value, where))
        # vTiger writes a user's rights into his file when he is saved.
        answer = office.admin.action("SaveAjax", module="Users", record=user_id, field="department", value="e2e %d" % value)
        assert answer["success"], answer

    set_permission(1)
    try:
        yield
    finally:
        set_permission(0)


def tab_of(tab, module, record, label):
    """Opens a record's card and clicks the tab of this name, as a manager does."""
    tab.open("index.php?module=%s&view=Detail&record=%d" % (module, record))
    link = ".related-tabs li[data-label-key=\"%s\"] a" % label
    tab.wait("!!document.querySelector('%s') && !!window.jQuery && !!document.querySelector('#calls-seat-link')" % link, "the tab %s of %s" % (label, module))
    tab.click(link)
    tab.wait("!!document.querySelector('.relatedContainer') && !!document.querySelector('.related-tabs li.active[data-label-key=\"%s\"]')" % label, "the rows of the tab %s of %s" % (label, module))


def settings_page(office, log_of=None):
    """An administrator's open settings page."""
    tab = office.tab("admin").open("index.php?module=Calls&parent=Settings&view=Index" + ("&log=%d" % log_of if log_of else ""))
    tab.wait("!!document.querySelector('.calls-settings') && !!window.jQuery && !!document.querySelector('#calls-rules')", "the settings page")
    return tab


def fill_in(tab, form, **values):
    """Fills in a form of the page and presses its green button; a form of the settings page loads the page anew when it was taken."""
    tab.run("window.callsBefore = true")
    for name, value in values.items():
        change = "checked = %s" % str(value).lower() if isinstance(value, bool) else "value = " + json.dumps(str(value))
        tab.run("(function(f){f.%s})(document.querySelector(%s))" % (change, json.dumps("%s [name=%s]" % (form, name))))
    tab.click(form + " [type=submit]")
    tab.wait("!window.callsBefore && document.readyState === 'complete' && !!document.querySelector('.calls-settings')", "the form %s is taken" % form)


def waiting(office):
    return [command["id"] for command in office.connector.ask("commands", wait_s=0)["commands"]]


def cli(office, *arguments):
    """vTiger's own installer, by its files; None where they are not given."""
    root = os.environ.get("VTIGER_ROOT")
    if not root:
        return None
    done = _as_owner(root, ["php", LIFECYCLE, root] + list(arguments))
    assert done.returncode == 0 and done.stdout.rstrip().endswith("done"), (done.stdout[-800:], done.stderr[-800:])
    return done.stdout


def cron():
    """vTiger's own cron, for the module's task alone; whether its files are given at all."""
    root = os.environ.get("VTIGER_ROOT")
    if not root:
        return False
    done = _as_owner(root, ["php", "-r", '$_REQUEST["service"] = "Calls"; require "vtigercron.php";'])
    assert done.returncode == 0 and ",Calls," in done.stdout and "[ENDS]" in done.stdout and "[ERROR]" not in done.stdout, (done.stdout[-800:], done.stderr[-800:])
    return True


def _as_owner(root, command):
    """A command as the user whose files they are, in vTiger's folder."""
    owner = pwd.getpwuid(os.stat(os.path.join(root, "config.inc.php")).st_uid).pw_name
    if os.geteuid() == 0 and owner != "root":
        command = ["runuser", "-u", owner, "--"] + command
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=root)


def healthy(office):
    """Records of every host module can be saved and vTiger's pages open."""
    number = office.fresh_number()
    contact = office.contact(number)
    office.admin.save("Leads", lastname="Здоров", phone=number, assigned_user_id="1")
    office.admin.save("Accounts", accountname="Здоров " + number, phone=number, assigned_user_id="1")
    for path in ("index.php?module=Home&view=DashBoard", "index.php?module=Contacts&view=Detail&record=%d" % contact, "index.php?module=ModuleManager&parent=Settings&view=List",
                 "index.php?module=Contacts&view=List", "index.php?module=Vtiger&parent=Settings&view=Index"):
        page = office.admin.get(path)
        assert page.status == 200 and "_USERMETA" in page.text, path
    for handler in office.db.rows("SELECT DISTINCT handler_path FROM vtiger_eventhandlers WHERE is_active = 1"):
        assert os.path.exists(os.path.join(os.environ["VTIGER_ROOT"], handler[0])), handler
