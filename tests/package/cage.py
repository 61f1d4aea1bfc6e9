"""The service under a real systemd, in a container: what the unit's sandbox forbids, it can do without.

Only with `packaging/test --long`: systemd has to be allowed to boot here.
"""

import http.client
import pathlib
import signal
import time

from tests.lab import processes
from tests.lab.places import free_port
from tests.lab.processes import wait_for

from .debian import Debian
from .life import CONF, installed_well, purged_well

UNIT = "pinconnector.service"


class Booted(Debian):
    """A Debian whose systemd runs; commands are run in it. It shares this machine's network."""

    packages = ("systemd", "systemd-sysv", "dbus")

    def __init__(self, version, log):
        super().__init__(version)
        self.log = log
        self.leader = None

    def __enter__(self):
        super().__enter__()
        self.container = processes.start(
            ["systemd-nspawn", "--quiet", "--directory", self.folder, "--boot", "--register=no", "--keep-unit", "--console=pipe"], self.log)
        try:
            wait_for("systemd has booted", 60, self._booted, every_s=0.5)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _booted(self):
        # Its first child only prepares the container and is gone soon.
        children = pathlib.Path(f"/proc/{self.container.pid}/task/{self.container.pid}/children").read_text().split()
        self.leader = children[-1] if children else None
        return self.leader and self.run("systemctl", "is-system-running", status=None).strip() in ("running", "degraded")

    def __exit__(self, *_):
        # SIGTERM to systemd-nspawn powers the container off in order.
        processes.stop(self.container, grace_s=30, sig=signal.SIGTERM)
        super().__exit__()

    def _inside(self, user):
        if self.leader is None:
            return super()._inside(user)
        become = ["runuser", "-u", user, "--"] if user else []
        return ["nsenter", "--target", self.leader, "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wdns=/", *become]

    def show(self, name):
        return self.run("systemctl", "show", UNIT, "--value", "--property", name).strip()


def page(port):
    """Status of the status page, asked for as a person at this machine."""
    connection = http.client.HTTPConnection("localhost", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def story(package, folder):
    with Booted("12", folder / "systemd.log") as debian:
        debian.install(package)
        installed_well(debian)
        assert debian.show("ActiveState") == "inactive", "nothing to run yet"
        http_port, agi_port, nobody = free_port(), free_port(), free_port()
        debian.run("pinconnector", "setup", "--yes", "--no-doctor", "--no-crm", "--region", "RU", "--host", "127.0.0.1", "--port", str(nobody))
        conf = debian.path(CONF)
        good = conf.read_text().replace("127.0.0.1:8383", f"127.0.0.1:{http_port}").replace("127.0.0.1:4573", f"127.0.0.1:{agi_port}")
        good = good.replace("local_without_login = false", "local_without_login = true")
        conf.write_text(good)
        debian.run("systemctl", "enable", "--now", UNIT)
        assert debian.show("ActiveState") == "active"
        # It finds the owner of our socket although it sees no process but its own.
        assert page(http_port) == 200

        # A bad file: the reload fails and the service stays; a start fails once and is not tried again.
        conf.write_text(good + "\n[nonsense]\n")
        debian.run("systemctl", "reload", UNIT, status=1)
        assert page(http_port) == 200
        debian.run("systemctl", "restart", UNIT, status=1)
        time.sleep(3)  # longer than RestartSec
        assert (debian.show("ActiveState"), debian.show("ExecMainStatus"), debian.show("NRestarts")) == ("failed", "78", "0")
        conf.write_text(good)
        debian.run("systemctl", "start", UNIT)
        debian.run("systemctl", "reload", UNIT)

        # Killed, and hung: it is started again.
        restarts = 0
        drop_in = debian.path(f"/etc/systemd/system/{UNIT}.d/test.conf")
        drop_in.parent.mkdir()
        drop_in.write_text("[Service]\nWatchdogSec=6\n")
        debian.run("systemctl", "daemon-reload")
        debian.run("systemctl", "restart", UNIT)
        for how, patience_s in (("KILL", 15), ("STOP", 30)):
            debian.run("systemctl", "kill", "--signal", how, UNIT)
            restarts += 1
            wait_for(f"it is started again after SIG{how}", patience_s,
                     lambda: debian.show("NRestarts") == str(restarts) and debian.show("ActiveState") == "active", every_s=0.3)
        drop_in.unlink()
        drop_in.parent.rmdir()
        debian.run("systemctl", "daemon-reload")

        # Installed over itself it is another process, and runs.
        before = debian.show("MainPID")
        debian.run("dpkg", "--install", f"/root/{package.name}")
        assert debian.show("MainPID") not in ("0", before) and page(http_port) == 200
        debian.run("apt-get", "purge", "--yes", "pinconnector")
        purged_well(debian)
    return "started, reloaded, killed, hung, upgraded, purged"
