"""One office: a running Asterisk, its phones, the outside world, a CRM, and sessions recorded from both AMI accounts.

The connector is added by connector.py. Stories use an Office and nothing below it.
"""

import itertools
import threading

from . import cdr, processes
from .ami import Ami, Capture
from .asterisk import ALL_RIGHTS, SECRET, Asterisk
from .places import Lane
from .receiver import Receiver
from .sip import Agent

_numbers = itertools.count(1)
_numbers_mutex = threading.Lock()


def new_client():
    """The number of a client nobody else in this run uses."""
    with _numbers_mutex:
        return f"+7916{next(_numbers):07d}"


class Office:
    """Use as a context: everything is stopped at its end. Captures and logs are in `folder`."""

    def __init__(self, version, folder, extra_dialplan="", keep_messages=True, timestampevents=False):
        self.version, self.folder, self.keep_messages = version, folder, keep_messages
        folder.mkdir(parents=True, exist_ok=True)
        self.lane = Lane()
        self._part = itertools.count(1)
        self._listeners = []
        try:
            self.log = open(folder / "phones.log", "w")
            self.asterisk = Asterisk(version, self.lane, folder, extra_dialplan, timestampevents)
            pbx = (self.lane.pbx, 5060)
            self.phones = Agent((self.lane.phones, 5060), pbx, "phone", self.log)
            self.trunk = Agent((self.lane.trunk, 5060), pbx, "trunk", self.log)
            self.crm = Receiver((self.lane.crm, 0))
            self.asterisk.start()
            self.record()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def record(self):
        """Records what the shipped account and an account with all rights hear; again after a restart of Asterisk."""
        part = next(self._part)
        name = "" if part == 1 else f"_part{part}"
        self.shipped = Ami(self.asterisk.ami_address, "pinconnector", SECRET, Capture(self.folder / f"shipped{name}.ami"), keep=self.keep_messages)
        self.all = Ami(self.asterisk.ami_address, *ALL_RIGHTS, Capture(self.folder / f"all{name}.ami"), keep=self.keep_messages)
        self._listeners += [self.shipped, self.all]

    def close(self):
        for listener in self._listeners:
            listener.close()
        for name in ("phones", "trunk", "crm"):
            if hasattr(self, name):
                getattr(self, name).close()
        if hasattr(self, "asterisk"):
            self.asterisk.stop()
            messages = self.asterisk.messages()
            if messages.exists():
                (self.folder / "asterisk-messages.log").write_bytes(messages.read_bytes())
            csv = self.asterisk.master_csv()
            if csv.exists():
                (self.folder / "Master.csv").write_bytes(csv.read_bytes())
            self.asterisk.remove()
        if hasattr(self, "log"):
            self.log.close()
        self.lane.release()

    # -- shorthands of the stories -----------------------------------------------------------------------------------

    def client_calls(self, did, client=None, **kwargs):
        """An outside call comes in."""
        return self.trunk.call(did, client or new_client(), **kwargs)

    def phone(self, extension, caller=None, **behaviour):
        """What this phone does when `caller` calls it; see Agent.expect."""
        return self.phones.expect(extension, caller, **behaviour)

    def outside(self, number, caller=None, **behaviour):
        """What this outside number does when we call it."""
        return self.trunk.expect(number, caller, **behaviour)

    def phone_calls(self, extension, to, **kwargs):
        return self.phones.call(to, str(extension), **kwargs)

    def cdrs(self):
        return cdr.read(self.asterisk.master_csv())

    def wait_idle(self, linkedid=None, timeout_s=10):
        """Until Asterisk has no channels left (of this conversation)."""
        def idle():
            asking = Ami(self.asterisk.ami_address, *ALL_RIGHTS)
            try:
                _, channels = asking.list("CoreShowChannels")
            finally:
                asking.close()
            return not [c for c in channels if linkedid in (None, c.get("Linkedid"))]
        processes.wait_for("Asterisk has no channels left", timeout_s, idle, every_s=0.1)
