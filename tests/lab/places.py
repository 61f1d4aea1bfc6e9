"""Where things lie, and which loopback addresses are free.

Leaves to others what is put there. Everything the laboratory writes is under `target/lab`.
"""

import fcntl
import os
import pathlib
import socket
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONF = ROOT / "conf" / "asterisk"
LAB = pathlib.Path(os.environ.get("PINCONNECTOR_LAB", ROOT / "target" / "lab"))


class Lock:
    """One process at a time makes a cached thing (a chroot, a mongod)."""

    def __init__(self, name):
        LAB.mkdir(parents=True, exist_ok=True)
        self.path = LAB / f".{name}.lock"

    def __enter__(self):
        self.file = open(self.path, "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


class Lane:
    """A loopback network 127.0.N.0 that nobody else on this machine uses just now.

    Several runs can go on at once: a lane is taken by binding a port of it, and is free again when the process ends,
    however it ends.
    """

    _mutex = threading.Lock()

    def __init__(self):
        with Lane._mutex:
            for n in range(20, 250):
                claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                try:
                    claim.bind((f"127.0.{n}.254", 5999))
                    # Somebody's Asterisk that outlived its run would answer in place of ours.
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                        probe.bind((f"127.0.{n}.1", 5060))
                except OSError:
                    claim.close()
                    continue
                self.n, self._claim = n, claim
                break
            else:
                raise RuntimeError("no free loopback lane: are old Asterisks still running?")
        self.pbx = f"127.0.{n}.1"
        self.phones = f"127.0.{n}.2"
        self.trunk = f"127.0.{n}.3"
        self.crm = f"127.0.{n}.4"
        self.connector = f"127.0.{n}.5"

    def release(self):
        self._claim.close()


def free_port(host="127.0.0.1"):
    """A TCP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind((host, 0))
        return s.getsockname()[1]
