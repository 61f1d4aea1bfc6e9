"""What scenarios have in common: the list they enter themselves in, and steps that many of them take."""
import contextlib
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
    user_id = office.user_id(user_name)
    profiles = [row[0] for row in office.db.rows("SELECT p.profileid FROM vtiger_role2profile p JOIN vtiger_user2role u ON u.roleid = p.roleid WHERE u.userid = %d" % user_id)]
    where = "profileid IN (%s) AND tabid = (SELECT tabid FROM vtiger_tab WHERE name = 'Calls') AND activityid = (SELECT actionid FROM vtiger_actionmapping WHERE actionname = 'Calls%s')" % (
        ",".join(profiles), tool)

    def set_permission(value):
        office.db.run("UPDATE vtiger_profile2utility SET permission = %d WHERE %s" % (value, where))
        # vTiger writes a user's rights into his file when he is saved.
        answer = office.admin.action("SaveAjax", module="Users", record=user_id, field="department", value="e2e %d" % value)
        assert answer["success"], answer

    set_permission(1)
    try:
        yield
    finally:
        set_permission(0)


def waiting(office):
    return [command["id"] for command in office.connector.ask("commands", wait_s=0)["commands"]]


def cli(office, *arguments):
    """vTiger's own installer, by its files; None where they are not given."""
    root = os.environ.get("VTIGER_ROOT")
    if not root:
        return None
    owner = pwd.getpwuid(os.stat(os.path.join(root, "config.inc.php")).st_uid).pw_name
    command = ["php", LIFECYCLE, root] + list(arguments)
    if os.geteuid() == 0 and owner != "root":
        command = ["runuser", "-u", owner, "--"] + command
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.rstrip().endswith("done"), (done.stdout[-800:], done.stderr[-800:])
    return done.stdout


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
