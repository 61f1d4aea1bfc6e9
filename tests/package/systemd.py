"""Plays systemd for the one service in a folder with a Debian: what the unit file says is done, and what the package's scripts ask
of `systemctl` is answered.

Not played: the sandbox (contents.py has systemd judge that).
"""

import os
import re
import signal
import socket
import threading
import time

from tests.lab import processes

UNIT = "pinconnector.service"
# The unit's own watchdog would speak after half a minute; the test does not wait so long.
WATCHDOG_S = 2.0

# Each call is a line into one pipe, its answer a line out of another: exit status, and what to print.
SYSTEMCTL = """#!/bin/sh
echo "$*" >/run/played/asked
read -r status text </run/played/answer
[ -z "$text" ] || echo "$text"
exit "$status"
"""


class Systemd:
    """Use as a context, around everything that is installed there."""

    def __init__(self, debian, log):
        self.debian, self.log = debian, log
        self.child = None
        self.asked = []          # every `systemctl` of the package's scripts
        self.heard = []          # every message of the service, as (seconds, text)
        self.started = 0
        self.before_start = None  # called once, between the end of the old process and the start of the next one
        self.fault = None

    def __enter__(self):
        d = self.debian
        d.path("/run/systemd/system").mkdir(parents=True)
        d.path("/run/played").mkdir()
        for name in ("asked", "answer"):
            os.mkfifo(d.path(f"/run/played/{name}"))
        stub = d.path("/usr/bin/systemctl")
        stub.write_text(SYSTEMCTL)
        stub.chmod(0o755)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.settimeout(0.5)
        path = d.path("/run/systemd/notify")
        self._notify.bind(str(path))
        path.chmod(0o777)
        self._changed = threading.Condition()
        self._over = False
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._listen, self._answer)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self._over = True
        with open(self.debian.path("/run/played/asked"), "w") as pipe:
            pipe.write("\n")
        for thread in self._threads:
            thread.join(5)
        self._notify.close()

    @staticmethod
    def _unit_files():
        return [f"{folder}/{UNIT}" for folder in ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system")]

    # -- the unit -----------------------------------------------------------------------------------------------------

    def unit(self):
        """The service's settings by name; a setting that stands several times has all its words."""
        text = next((self.debian.path(f).read_text() for f in self._unit_files() if self.debian.exists(f)), None)
        if text is None:
            raise AssertionError("there is no unit file")
        settings = {}
        for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", text, re.M):
            settings[name] = f"{settings[name]} {value}" if name in settings else value
        return settings

    def start(self, timeout_s=20):
        """Type=notify: over when the service says that it is ready."""
        unit = self.unit()
        assert unit["Type"] == "notify", unit["Type"]
        if self.running():
            return
        if self.before_start:
            act, self.before_start = self.before_start, None
            act()
        state = f"/var/lib/{unit['StateDirectory']}"
        self.debian.run("install", "-d", "-o", unit["User"], "-g", unit["Group"], "-m", unit["StateDirectoryMode"], state)
        environment = dict(word.split("=", 1) for word in unit["Environment"].split())
        environment.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", LANG="C.UTF-8", TZ="UTC", NOTIFY_SOCKET="/run/systemd/notify",
                           WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))
        before = len(self.heard)
        command = ["chroot", f"--userspec={unit['User']}:{unit['Group']}", "--groups=", self.debian.folder, *unit["ExecStart"].split()]
        self.child = processes.start(command, self.log, env=environment)
        self.started += 1
        with self._changed:
            ready = self._changed.wait_for(lambda: self._says("READY=1", before) or not self.running(), timeout_s)
        if not ready or not self.running():
            raise AssertionError(f"the service did not become ready: {self.tail()}")

    def stop(self):
        """SIGTERM, then SIGKILL after TimeoutStopSec. Returns the exit status."""
        if self.child is None:
            return None
        child, self.child = self.child, None
        status = processes.stop(child, grace_s=float(self.unit_or_default("TimeoutStopSec", "40")))
        if status != 0:
            self.fault = f"the service ended with {status}"
        return status

    def unit_or_default(self, name, default):
        try:
            return self.unit().get(name, default)
        except AssertionError:
            return default  # the package is gone already

    def reload(self):
        before = len(self.heard)
        self.child.send_signal(signal.SIGHUP)
        self.wait("RELOADING=1", before)
        self.wait("READY=1", before)

    def running(self):
        return self.child is not None and self.child.poll() is None

    def tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else "(no log)"

    # -- what it says ---------------------------------------------------------------------------------------------------

    def _says(self, word, since=0):
        return any(word in text.split("\n") for _, text in self.heard[since:])

    def wait(self, word, since=0, timeout_s=10):
        with self._changed:
            if not self._changed.wait_for(lambda: self._says(word, since), timeout_s):
                raise AssertionError(f"the service did not say {word} within {timeout_s} s")

    def _listen(self):
        while not self._over:
            try:
                text = self._notify.recv(4096).decode()
            except (socket.timeout, OSError):
                text = None
            with self._changed:
                if text:
                    self.heard.append((time.monotonic(), text))
                self._changed.notify_all()

    # -- what the package's scripts ask -----------------------------------------------------------------------------------

    def _answer(self):
        while not self._over:
            with open(self.debian.path("/run/played/asked")) as pipe:
                line = pipe.readline().strip()
            if self._over:
                return
            try:
                status, text = self._does(line)
            except Exception as e:  # a script of the package must not hang for it; the test looks at `fault`
                self.fault, status, text = f"systemctl {line}: {e}", 1, ""
            with open(self.debian.path("/run/played/answer"), "w") as pipe:
                pipe.write(f"{status} {text}\n")

    def _does(self, line):
        self.asked.append(line)
        words = [w for w in line.split() if not w.startswith("-")]
        verb = words[0] if words else ""
        if verb in ("start", "restart", "try-restart", "stop"):
            assert words[1:] == [UNIT], line
            was_running = self.running()
            if verb != "start":
                self.stop()
            if verb in ("start", "restart") or verb == "try-restart" and was_running:
                self.start()
            return 0, ""
        if verb == "is-active":
            return (0, "active") if self.running() else (3, "inactive")
        if verb == "is-enabled":
            return (0, "enabled") if self.debian.exists(f"/etc/systemd/system/multi-user.target.wants/{UNIT}") else (1, "disabled")
        if verb in ("enable", "preset", "disable"):
            link = self.debian.path(f"/etc/systemd/system/multi-user.target.wants/{UNIT}")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            if verb != "disable":
                link.symlink_to(next(f for f in self._unit_files() if self.debian.exists(f)))
            elif "--now" in line:
                self.stop()
            return 0, ""
        if verb in ("daemon-reload", "show", "list-units"):
            return 0, ""
        raise AssertionError("this is not played")
