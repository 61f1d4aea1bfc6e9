"""The life of an installation, as an administrator leads it: on a clean Debian, with a real Asterisk on the other end.

Debian 12 gets the long story (a call, an upgrade in mid-call, removal, purge, the tarball), Debian 13 the short one.
"""

import json
import re
import shutil
import subprocess
import time

from tests.lab import dialplan
from tests.lab.asterisk import SECRET
from tests.lab.office import Office
from tests.lab.processes import wait_for
from tests.lab.story import PBX

from .debian import Debian
from .systemd import Systemd

CONF = "/etc/pinconnector/pinconnector.toml"
DATABASE = "/var/lib/pinconnector/pinconnector.db"
OLDER = "0.0.9"


def older(package, folder):
    """The package as if of an earlier version: with another shipped configuration."""
    root = folder / "older"
    if root.exists():
        shutil.rmtree(root)
    subprocess.run(["dpkg-deb", "--raw-extract", package, root], check=True)
    control = root / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {OLDER}", control.read_text(), flags=re.M))
    conf = root / CONF.lstrip("/")
    conf.write_text(conf.read_text() + "# a line that the earlier version had\n")
    # Its sums are those of the files as they are now; dpkg does not look at them.
    (root / "DEBIAN/md5sums").unlink()
    out = folder / f"pinconnector_{OLDER}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, out], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(root)
    return out


def set_up(debian, office):
    """`pinconnector setup` without questions, for an Asterisk on another machine and a CRM that has its secret already."""
    for name, secret in (("asterisk", SECRET), ("crm", office.crm.secret)):
        path = debian.path(f"/root/{name}.secret")
        path.write_text(secret + "\n")
        path.chmod(0o600)
    ami, crm, lane = office.asterisk.ami_address, office.crm, office.lane
    said = debian.run("pinconnector", "setup", "--yes", "--no-doctor", "--region", "RU", "--pbx", PBX,
                      "--host", ami[0], "--port", str(ami[1]), "--ami-secret-file", "/root/asterisk.secret",
                      "--crm", crm.key, "--crm-kind", "webhook", "--crm-url", crm.url, "--crm-secret-file", "/root/crm.secret")
    assert "systemctl enable --now pinconnector" in said, said
    # Beside other tests on this machine the usual ports may be taken; the laboratory's office has addresses of its own.
    conf = debian.path(CONF)
    text = conf.read_text()
    for usual, ours in (('listen = "127.0.0.1:8383"', f'listen = "{lane.connector}:8383"'), ('listen = ["127.0.0.1:4573"]', f'listen = ["{lane.connector}:4573"]')):
        assert text.count(usual) == 1, text
        text = text.replace(usual, ours)
    conf.write_text(text)
    for path in (CONF, "/etc/pinconnector/asterisk.secret", f"/etc/pinconnector/{crm.key}.secret"):
        assert debian.owner(path) == "root:pinconnector 640", f"{path}: {debian.owner(path)}"
    debian.run("pinconnector", "check")
    return text


def installed_well(debian):
    """Users, rights, folders as the package promises them."""
    assert debian.owner(CONF) == "root:pinconnector 640", debian.owner(CONF)
    assert debian.owner("/var/lib/pinconnector") == "pinconnector:pinconnector 750", debian.owner("/var/lib/pinconnector")
    passwd = debian.run("getent", "passwd", "pinconnector").strip().split(":")
    assert passwd[5:] == ["/var/lib/pinconnector", "/usr/sbin/nologin"] and int(passwd[2]) < 1000, passwd
    assert debian.exists("/etc/systemd/system/multi-user.target.wants/pinconnector.service"), "the service is not enabled"
    debian.run("cat", CONF, user="pinconnector")
    debian.run("cat", CONF, user="nobody", status=1)


def purged_well(debian):
    for path in ("/etc/pinconnector", "/var/lib/pinconnector", "/usr/bin/pinconnector", "/usr/share/pinconnector", "/usr/share/doc/pinconnector",
                 "/lib/systemd/system/pinconnector.service", "/etc/systemd/system/multi-user.target.wants/pinconnector.service"):
        assert not debian.exists(path), f"{path} is left behind by purge"
    assert "pinconnector" not in debian.run("dpkg-query", "--list"), "dpkg still knows it"
    left = debian.run("find", "/var/lib/systemd", "/etc/systemd", "-name", "*pinconnector*", status=None)
    assert "pinconnector" not in left.replace("No such file", ""), left


def calls(debian, *words):
    return [json.loads(line) for line in debian.run("pinconnector", "calls", "--json", *words).splitlines()]


class Talk:
    """A client calls an extension and is answered."""

    def __init__(self, office, extension, did):
        self.extension = extension
        ring = office.phone(extension, answer=0.2)
        self._client = office.client_calls(did)
        self._client.wait_up()
        ring.call()
        self._began = time.monotonic()

    def hangup(self):
        self._client.hangup()
        self.seconds = time.monotonic() - self._began


def record(office, extension, status, timeout_s=15):
    """The record of this extension at the CRM, once it has this status."""
    def there(crm):
        return any(r["extension"] == extension and r["status"] == status for r in crm.newest.values() if "extension" in r)
    office.crm.wait(f"a record of {extension} that is {status}", there, timeout_s)
    found = office.crm.records(lambda r: r.get("extension") == extension)
    assert len(found) == 1, f"{len(found)} records of {extension}: {found}"
    return found[0]


def long_story(package, tarball, folder):
    """From the first installation to the purge, with the phone ringing meanwhile."""
    before = older(package, folder)
    steps = []
    with Office("22", folder / "office") as office, Debian("12") as debian, Systemd(debian, folder / "service.log") as systemd:
        # -- a first installation ---------------------------------------------------------------------------------------
        said = debian.install(before)
        assert "Next: pinconnector setup" in said, said
        installed_well(debian)
        assert not systemd.running(), "nothing to run yet: no configuration"
        assert systemd.asked.count("daemon-reload") + systemd.asked.count("--system daemon-reload") >= 1, systemd.asked
        debian.run("pinconnector", "check", status=78)
        configuration = set_up(debian, office)
        debian.run("systemctl", "start", "pinconnector.service")
        systemd.wait("WATCHDOG=1")
        steps.append("installed, set up, ready, watched")

        # -- what the doctor says of it ----------------------------------------------------------------------------------
        findings = [json.loads(line) for line in debian.run("pinconnector", "doctor", "--json").splitlines() if line.startswith("{")]
        about = {finding["about"] for finding in findings}
        bad = [finding for finding in findings if finding["level"] not in ("ok", "warning", "unknown")]
        assert len(findings) > 10 and len(about) >= 3 and not bad, f"about {about}: {bad}"
        steps.append(f"{len(findings)} checks of the doctor")

        # -- a call -------------------------------------------------------------------------------------------------------
        first = Talk(office, *_spare(0))
        record(office, first.extension, "in_progress")
        first.hangup()
        assert record(office, first.extension, "completed")["talk_seconds"] > 0
        steps.append("a call arrived")

        # -- an upgrade in mid-call ---------------------------------------------------------------------------------------
        goes_on = Talk(office, *_spare(1))
        ends_meanwhile = Talk(office, *_spare(2))
        open_before = record(office, goes_on.extension, "in_progress")
        record(office, ends_meanwhile.extension, "in_progress")
        begins_meanwhile = []

        def nobody_listens():
            """The old one is gone, the new one not there yet."""
            ends_meanwhile.hangup()
            begins_meanwhile.append(Talk(office, *_spare(3)))

        systemd.before_start = nobody_listens
        upgrading = time.monotonic()
        debian.install(package, "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
        took = time.monotonic() - upgrading
        assert systemd.fault is None, systemd.fault
        assert begins_meanwhile and systemd.started == 2 and systemd.running(), f"it was not restarted: {systemd.asked}"
        assert debian.path(CONF).read_text() == configuration, "the administrator's configuration was changed"
        assert debian.owner(CONF) == "root:pinconnector 640"
        assert debian.exists(CONF + ".dpkg-dist"), "the new shipped configuration lies beside"
        record(office, begins_meanwhile[0].extension, "in_progress")
        assert record(office, ends_meanwhile.extension, "completed")["id"]
        time.sleep(1.0)  # they go on talking
        goes_on.hangup()
        begins_meanwhile[0].hangup()
        after = record(office, goes_on.extension, "completed")
        assert after["id"] == open_before["id"] and after["started_at"] == open_before["started_at"], (open_before, after)
        assert abs(after["talk_seconds"] - goes_on.seconds) < 2, f"{after['talk_seconds']} s, but they talked {goes_on.seconds:.1f} s"
        assert record(office, begins_meanwhile[0].extension, "completed")["talk_seconds"] > 0
        assert not office.crm.faults, office.crm.faults
        steps.append(f"upgraded in mid-call ({took:.1f} s)")

        # -- a reload, and what the history says -----------------------------------------------------------------------------
        systemd.reload()
        wait_for("four calls in the history", 5, lambda: len(calls(debian)) == 4)
        ids = {r["id"] for r in calls(debian)}
        assert ids == set(office.crm.newest), (ids, set(office.crm.newest))
        assert debian.owner(DATABASE).startswith("pinconnector:pinconnector 640"), debian.owner(DATABASE)

        # -- remove, install again ------------------------------------------------------------------------------------------
        debian.run("apt-get", "remove", "--yes", "pinconnector")
        assert not systemd.running() and systemd.fault is None, f"removal stops it in good order: {systemd.fault}"
        assert not debian.exists("/usr/bin/pinconnector") and debian.exists(CONF) and debian.exists(DATABASE)
        debian.install(package)
        installed_well(debian)
        assert systemd.running(), "installed again with its configuration it runs"
        assert {r["id"] for r in calls(debian)} == ids, "the history is still there"
        steps.append("removed and back")

        # -- purge ------------------------------------------------------------------------------------------------------------
        debian.run("apt-get", "purge", "--yes", "pinconnector")
        assert not systemd.running() and systemd.fault is None, systemd.fault
        purged_well(debian)
        steps.append("purged")

        # -- the tarball --------------------------------------------------------------------------------------------------------
        _tarball(debian, systemd, office, tarball)
        steps.append("tarball")
    return ", ".join(steps)


def _spare(nth):
    """An extension of the laboratory's office, and the number from outside that leads to it alone."""
    extension = str(dialplan.blocks()[nth][0])
    return extension, f"+7495200{extension}"


def _tarball(debian, systemd, office, tarball):
    """For systems without Debian packages; tried on this Debian, where nothing of the package is left."""
    subprocess.run(["tar", "--extract", "--gzip", "--file", tarball, "--directory", debian.path("/opt")], check=True)
    name = tarball.name.removesuffix(".tar.gz")
    said = debian.run(f"/opt/{name}/install")
    assert "Next: pinconnector setup" in said, said
    configuration = set_up(debian, office)
    started = systemd.started
    debian.run("systemctl", "start", "pinconnector.service")
    assert systemd.running() and systemd.unit()["ExecStart"] == "/usr/local/bin/pinconnector run"
    said = debian.run(f"/opt/{name}/install")
    assert "is installed" in said and systemd.started == started + 2, (said, systemd.started, started)
    assert debian.path(CONF).read_text() == configuration
    debian.run(f"/opt/{name}/install", "--remove")
    assert not systemd.running() and systemd.fault is None, systemd.fault
    assert not debian.exists("/usr/local/bin/pinconnector") and debian.exists(CONF)


def short_story(package, folder):
    """On the next Debian: the same package installs, runs, is upgraded without questions, removed, back, purged."""
    before = older(package, folder)
    with Debian("13") as debian, Systemd(debian, folder / "service-13.log") as systemd:
        debian.install(before)
        installed_well(debian)
        debian.install(package)
        assert "earlier version" not in debian.path(CONF).read_text(), "an unchanged configuration is replaced by the new one"
        installed_well(debian)
        demo = [json.loads(line) for line in debian.run("pinconnector", "demo", "--fast", "--json", timeout_s=120).splitlines() if line.startswith("{")]
        assert len({r["id"] for r in demo}) == 10, f"the demo gave {len(demo)} records"
        debian.run("apt-get", "remove", "--yes", "pinconnector")
        assert debian.exists(CONF) and not debian.exists("/usr/bin/pinconnector")
        debian.install(package)
        installed_well(debian)
        debian.run("apt-get", "purge", "--yes", "pinconnector")
        purged_well(debian)
        assert systemd.fault is None, systemd.fault
    return "installed, upgraded, demo, removed, back, purged"
