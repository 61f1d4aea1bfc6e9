"""Rooms of their own for several connectors: each a network namespace with one line to the office and one to the database, so that either
can be cut while the other stays. Needs root and the kernel's network namespaces; where they lack, making one fails.

The addresses are 10.213.N.0/24, N being the office's lane, so that several runs do not meet.
"""

import subprocess

from .ami_proxy import AmiProxy


def _ip(*words, check=True):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()} (network namespaces are needed, and root)")


class Building:
    """What the rooms share: the address of the database, on our side."""

    def __init__(self, lane):
        self.lane = lane
        self.database = f"10.213.{lane.n}.250"
        self.rooms = []
        _ip("address", "replace", f"{self.database}/32", "dev", "lo")

    def room(self):
        self.rooms.append(Room(self, len(self.rooms)))
        return self.rooms[-1]

    def close(self):
        for room in self.rooms:
            room.close()
        _ip("address", "del", f"{self.database}/32", "dev", "lo", check=False)


class Room:
    """A namespace `name`; inside it the connector has the address `inside`, and reaches the office at `outside`."""

    def __init__(self, building, nth):
        n = building.lane.n
        self.name = f"pin{n}-{nth}"
        self._lines = {"office": f"pin{n}o{nth}", "database": f"pin{n}d{nth}"}
        self._doors = []
        # Of a run that was killed.
        self._remove()
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        for line, (which, interface) in enumerate(self._lines.items()):
            ours, theirs = (f"10.213.{n}.{16 * nth + 4 * line + end}" for end in (1, 2))
            _ip("link", "add", interface, "type", "veth", "peer", "name", which, "netns", self.name)
            _ip("address", "add", f"{ours}/30", "dev", interface)
            _ip("link", "set", interface, "up")
            _ip("-n", self.name, "address", "add", f"{theirs}/30", "dev", which)
            _ip("-n", self.name, "link", "set", which, "up")
            if which == "office":
                self.outside, self.inside = ours, theirs
            else:
                _ip("-n", self.name, "route", "add", f"{building.database}/32", "via", ours)

    def door(self, address, port=0):
        """Whoever connects to what this returns, from inside, reaches `address` of the office."""
        door = AmiProxy((self.outside, port), address)
        self._doors.append(door)
        return door.address

    def prefix(self):
        """Before a command that is to run in here."""
        return ["ip", "netns", "exec", self.name]

    def cut(self, line):
        """Nothing passes any more, and nobody is told."""
        _ip("link", "set", self._lines[line], "down")

    def mend(self, line):
        _ip("link", "set", self._lines[line], "up")

    def close(self):
        for door in self._doors:
            door.close()
        self._remove()

    def _remove(self):
        for interface in self._lines.values():
            _ip("link", "del", interface, check=False)
        _ip("netns", "del", self.name, check=False)
