"""The real `pinconnector` under test: where the binary is, its configuration, start, kill, and what its commands say."""

import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import time

from . import processes
from .asterisk import SECRET
from .places import ROOT


def binary():
    """`$PINCONNECTOR`, else the newest of what cargo has built here; None if there is none."""
    if given := os.environ.get("PINCONNECTOR"):
        path = pathlib.Path(given).resolve()
        if not path.exists():
            raise SystemExit(f"PINCONNECTOR={given}: there is no such file")
        return path
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [p for p in (target / "release" / "pinconnector", target / "debug" / "pinconnector") if p.exists()]
    return max(built, key=lambda p: p.stat().st_mtime, default=None)


def _shipped():
    path = pathlib.Path(os.environ.get("PINCONNECTOR_CONF", ROOT / "conf" / "pinconnector.toml"))
    return path.read_text() if path.exists() else ""


class Connector:
    """One connector for an office. Its files (configuration, database, log) are in `folder`."""

    def __init__(self, office, folder=None, ami=None, sections=None, log="info", database=None):
        self.office = office
        self.folder = folder or office.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program = binary()
        self.child = None
        self.prefix, self.environment = [], {}  # of the command that starts it
        self._log_read = self._login_count = 0
        self.log = self.folder / "pinconnector.log"
        self.database = database or self.folder / "pinconnector.db"
        self.config = self.folder / "pinconnector.toml"
        self.level = log
        self.http = f"{office.lane.connector}:8383"
        self.config.write_text(self._toml(ami or office.asterisk.ami_address, sections or {}))
        self.config.chmod(0o600)

    def _toml(self, ami, sections):
        """`sections` adds lines to a section: {"calls": 'records = "per-call"\\n'}; new sections are appended."""
        lane = self.office.lane
        base = {
            "numbers": 'region = "RU"\n',
            "store": f"path = {json.dumps(str(self.database))}\n",
            "http": f'listen = "{self.http}"\n',
            "agi": f'listen = ["{lane.connector}:4573"]\n',
            "[asterisk]": f'name = "lab"\nhost = "{ami[0]}"\nport = {ami[1]}\nusername = "pinconnector"\nsecret = "{SECRET}"\n',
            "[crm]": f'name = "{self.office.crm.key}"\nkind = "webhook"\nurl = "{self.office.crm.url}"\nsecret = "{self.office.crm.secret}"\ntimeout_s = 3\nconnect_timeout_s = 2\n',
        }
        # What the program has so far is what its shipped configuration names.
        for section in ("http", "agi"):
            if not re.search(rf"^#?\[{section}\]", _shipped(), re.M):
                del base[section]
        if re.search(r"^#?recordings = ", _shipped(), re.M):
            base["[asterisk]"] += f"recordings = {json.dumps(str(self.office.asterisk.recordings))}\n"
        for name, lines in sections.items():
            base[name] = base.get(name, "") + lines
        return "".join(f"[{name}]\n{text}\n" for name, text in base.items())

    def start(self, timeout_s=15):
        """Returns when it has logged in to Asterisk."""
        before, said = self._logins(), self._says_logged_in()
        env = dict(os.environ, RUST_LOG=os.environ.get("RUST_LOG", self.level), RUST_BACKTRACE="1", TZ="UTC", **self.environment)
        self.child = processes.start([*self.prefix, self.program, "--config", self.config, "run"], self.log, env=env)

        def logged_in():
            if self.child.poll() is not None:
                raise RuntimeError(f"pinconnector ended with {self.child.returncode}: {self.tail()}")
            # Both ends must know: Asterisk's log is a moment ahead of the connector.
            return self._logins() > before and self._says_logged_in() > said

        processes.wait_for(f"pinconnector logs in to Asterisk (see {self.log})", timeout_s, logged_in)
        return self

    def _logins(self):
        """How often the connector's account has logged in, by Asterisk's own log; only what is new is read."""
        try:
            with open(self.office.asterisk.messages(), "rb") as log:
                log.seek(self._log_read)
                text = log.read()
        except FileNotFoundError:
            return self._login_count
        whole = text[: text.rfind(b"\n") + 1]
        self._log_read += len(whole)
        self._login_count += whole.count(b"Manager 'pinconnector' logged on")
        return self._login_count

    def _says_logged_in(self):
        try:
            return self.log.read_text(errors="replace").count("logged in to Asterisk")
        except FileNotFoundError:
            return 0

    def wait_login(self, before, timeout_s=35):
        """After a break of the line: until there were more than `before` logins (see logins())."""
        processes.wait_for("pinconnector logs in again", timeout_s, lambda: self._logins() > before)

    logins = _logins

    def kill(self):
        """SIGKILL."""
        processes.stop(self.child, sig=signal.SIGKILL)

    def stop(self, grace_s=10):
        """SIGTERM; returns the exit status."""
        return processes.stop(self.child, grace_s=grace_s) if self.child else None

    def freeze(self):
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.child.send_signal(signal.SIGCONT)

    def running(self):
        return self.child is not None and self.child.poll() is None

    def command(self, *args, timeout_s=20):
        """Runs `pinconnector ARGS` with this configuration; returns the finished process (stdout, stderr as text)."""
        return subprocess.run([str(self.program), "--config", str(self.config), *args], capture_output=True, text=True, timeout=timeout_s)

    def ask(self, method, target, body=None, headers=None):
        """A request as our CRM makes it, signed. Returns (status, headers, body)."""
        data = json.dumps(body).encode() if body is not None else b""
        now, nonce = str(int(time.time())), os.urandom(16).hex()
        text = "\n".join([method, target, now, nonce, hashlib.sha256(data).hexdigest()])
        signature = hmac.new(self.office.crm.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        signed = {"X-PIN-Key": self.office.crm.key, "X-PIN-Time": now, "X-PIN-Nonce": nonce, "X-PIN-Signature": signature}
        connection = http.client.HTTPConnection(self.http, timeout=10)
        try:
            connection.request(method, target, data or None, {"Content-Type": "application/json", **signed, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def tail(self, lines=15):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"
