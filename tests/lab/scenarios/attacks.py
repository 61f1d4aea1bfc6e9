"""Everything at once that a hostile network does to the window and to FastAGI, on the real program, while calls go on.

A trouble as in trouble.py. The same attacks, each measured by itself, are tests/http_door; here nobody may be hurt by the others.
"""

import http.client
import pathlib
import socket
import struct
import time

from ..processes import wait_for
from .trouble import trouble

TOKEN = "a-token-of-more-than-20-characters"
GROWTH_MB = 20


def _resident_mb(connector):
    text = pathlib.Path(f"/proc/{connector.child.pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 1024


def _connect(address, timeout_s=5):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=timeout_s)


def _push(s, data, most):
    """Sends until `most` bytes are out or nobody takes more; returns how many were taken."""
    s.settimeout(2)
    sent = 0
    try:
        while sent < most:
            sent += s.send(data)
    except OSError:
        pass
    return sent


def _told(s):
    try:
        return s.recv(4096)
    except OSError:
        return b""


# -- attacks on the window: each returns the sockets it leaves open --------------------------------------------------------

def lying_lengths(http):
    for length in ("9223372036854775808", "18446744073709551616", "-1", "0x10", "5, 6", "1\r\nContent-Length: 2", "5\r\nTransfer-Encoding: chunked"):
        s = _connect(http)
        s.sendall(f"POST /makecall HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        answer = _told(s)
        assert not answer or answer.split(b" ")[1:2] in ([b"400"], [b"413"], [b"501"], [b"411"]), f"Content-Length {length}: {answer[:60]}"
    return []


def resets(http):
    for n in range(3000):
        s = _connect(http)
        if n % 2:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    return []


def endless_head(http):
    s = _connect(http)
    s.sendall(b"GET / HTTP/1.1\r\n")
    taken = _push(s, b"X-Filler: " + b"a" * 65526 + b"\r\n", 200 << 20)
    assert taken < 8 << 20, f"{taken >> 20} MB of a head were taken"
    return [s]


def unread_pipeline(http):
    s = _connect(http)
    taken = _push(s, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 1000, 300_000 * 31)
    assert taken > 0
    return [s]


def half_bodies(http):
    held = []
    for _ in range(100):
        s = _connect(http)
        s.sendall(b"POST /api/v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        held.append(s)
    return held


def idle_crowd(http):
    return [_connect(http) for _ in range(500)]


def burst(http):
    """500 come at once and then all ask; whoever finds no room is closed, not left hanging."""
    crowd = [_connect(http) for _ in range(500)]
    for s in crowd:
        try:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        except OSError:
            pass
    answered = sum(_told(s).startswith(b"HTTP/1.1 ") for s in crowd)
    for s in crowd:
        s.close()
    assert answered > 0, "none of 500 was answered"
    return []


def broken_tls(http):
    for hello in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x00\x02", b"\0" * 4096):
        s = _connect(http)
        s.sendall(hello)
        s.settimeout(0.2)
        _told(s)
        s.close()
    return []


def deaf_listeners(http):
    held = []
    for _ in range(100):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        host, port = http.rsplit(":", 1)
        s.connect((host, int(port)))
        s.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        held.append(s)
    return held


ATTACKS = (lying_lengths, resets, endless_head, unread_pipeline, half_bodies, broken_tls, deaf_listeners, idle_crowd, burst)


def agi_attacks(agi):
    """The same on FastAGI; sessions that say nothing, too much, or half."""
    held = []
    for words in (b"", b"agi_network: yes\n", b"agi_network: yes\nagi_request: agi://x/responsible", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000 + b"\n\n", b"agi_x: y\n" * 10_000):
        for _ in range(15):
            s = _connect(agi)
            try:
                s.sendall(words)
            except OSError:
                pass
            held.append(s)
    return held


def honest(connector):
    """An honest request; returns how long it took, in milliseconds."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(connector.http, timeout=10)
    connection.request("GET", "/health")
    status = connection.getresponse().status
    connection.close()
    assert status in (200, 503), f"/health says {status}"
    return (time.monotonic() - began) * 1000


@trouble("the window and FastAGI are attacked in every way while calls go on: it lives, stays small, answers, and no call is lost",
         sections={"[http.token]": f'name = "lab"\nsecret = "{TOKEN}"\nrole = "admin"\n'})
def attacked(scene):
    connector = scene.connector
    agi = connector.http.replace(":8383", ":4573")
    goes_on, call, _, did = scene.talk("goes on through all of it")
    scene.arrived(goes_on, "in_progress")
    slowest = max(honest(connector) for _ in range(20))
    before, held, most = _resident_mb(connector), [], 0
    for attack in ATTACKS:
        try:
            held += attack(connector.http)
        except ConnectionError:
            pass  # it may close whom it has no room for
        held += agi_attacks(agi) if attack is half_bodies else []
        assert connector.running(), f"{attack.__name__} ended it: {connector.tail()}"
        slowest = max(slowest, *(honest(connector) for _ in range(5)))
        most = max(most, _resident_mb(connector))
    during, other, _, did_2 = scene.talk("begins and ends in the middle of it")
    other.hangup()
    call.hangup()
    goes_on.must(goes_on.incoming(did, status="completed", extension=goes_on.exts[0], lead=True, ended_by="client"))
    during.must(during.incoming(did_2, status="completed", extension=during.exts[0], lead=True))
    scene.wait_for_all(20)
    for s in held:
        s.close()
    wait_for("an honest request after it", 10, lambda: honest(connector) < 5000)
    # 300 connections that are held have buffers of the kernel's, which do not count here.
    assert most - before < GROWTH_MB, f"memory grew from {before:.0f} to {most:.0f} MB"
    return f"memory {before:.1f} to {most:.1f} MB, slowest honest answer {slowest:.0f} ms"
