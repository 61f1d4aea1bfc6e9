#!/usr/bin/env python3
"""Memory of the running service with many calls open: tests/bench/open_calls.py [BINARY]

Plays an Asterisk on loopback that opens calls and never ends them, and prints the resident and anonymous memory of
`pinconnector run` (SQLite, one exchange, one https CRM that is down, status page and FastAGI closed) with 0, 100, 1,000
and 10,000 calls open. Calls begin at 200 a second. Nothing is judged; the figures are for README. OPEN_CALLS="0 1000" chooses other steps.
"""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CALLS_A_SECOND = 200
STEPS = tuple(int(n) for n in os.environ.get("OPEN_CALLS", "0 100 1000 10000").split())


def event(name, **fields):
    lines = [f"Event: {name}", "Privilege: call,all"] + [f"{key}: {value}" for key, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def leg(prefix, name, uid, linked, state, number, exten):
    fields = {"Channel": name, "ChannelState": state, "CallerIDNum": number, "CallerIDName": "<unknown>",
              "Context": "from-trunk", "Exten": exten, "Uniqueid": uid, "Linkedid": linked}
    return {prefix + key: value for key, value in fields.items()}


def call(number):
    """An incoming call that 1xx has answered."""
    trunk_id, phone_id = f"1795329208.{2 * number}", f"1795329208.{2 * number + 1}"
    trunk = f"PJSIP/trunk-msk-{2 * number:08x}"
    phone = f"PJSIP/{100 + number % 900}-{2 * number + 1:08x}"
    client = f"+7916{number:07d}"
    caller = leg("", trunk, trunk_id, trunk_id, 4, client, "+74951234567")
    dest = leg("", phone, phone_id, trunk_id, 0, phone[6:9], "s")
    yield event("Newchannel", **caller)
    yield event("Newchannel", **dest)
    yield event("DialBegin", **caller, **leg("Dest", phone, phone_id, trunk_id, 0, phone[6:9], "s"), DialString=phone[6:9])
    yield event("Newstate", **{**dest, "ChannelState": 5})
    yield event("Newstate", **{**dest, "ChannelState": 6})
    for party in (caller, dest):
        yield event("BridgeEnter", BridgeUniqueid=f"bridge-{number}", BridgeTechnology="simple_bridge", **party)


class Exchange(threading.Thread):
    """Lets the connector in, answers what it asks, and opens as many calls as it is told."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.link = None
        self.ready = threading.Event()

    def run(self):
        self.link, _ = self.listener.accept()
        self.link.sendall(b"Asterisk Call Manager/11.0.0\r\n")
        rest = b""
        while chunk := self.link.recv(65536):
            *actions, rest = (rest + chunk).split(b"\r\n\r\n")
            for action in actions:
                self.answer(dict(line.split(b": ", 1) for line in action.split(b"\r\n") if b": " in line))

    def answer(self, action):
        name, action_id = action.get(b"Action", b""), action.get(b"ActionID", b"")
        head = b"ActionID: " + action_id + b"\r\n"
        if name == b"Challenge":
            self.link.sendall(b"Response: Success\r\n" + head + b"Challenge: 1\r\n\r\n")
        elif name == b"Login":
            self.link.sendall(b"Response: Success\r\n" + head + b"Message: Authentication accepted\r\n\r\n")
            self.ready.set()
        elif name == b"Ping":
            self.link.sendall(b"Response: Success\r\n" + head + b"Ping: Pong\r\n\r\n")
        else:
            self.link.sendall(b"Response: Error\r\n" + head + b"Message: Permission denied\r\n\r\n")


def memory(pid):
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return tuple(int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon"))


def settled(pid):
    """Memory once the process has nothing more to do: its processor time stands still."""
    def ticks():
        return sum(int(n) for n in pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
    last, deadline = -1, time.monotonic() + 120
    while ticks() != last and time.monotonic() < deadline:
        last = ticks()
        time.sleep(2)
    return memory(pid)


def main():
    binary = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/pinconnector")
    exchange = Exchange()
    exchange.start()
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "pinconnector.toml"
        config.write_text(f"""
[numbers]
region = "RU"
[[asterisk]]
name = "msk"
host = "127.0.0.1"
port = {exchange.port}
username = "pinconnector"
secret = "benchmark-secret"
audit_s = 0
[store]
path = "{folder}/db"
[[crm]]
name = "crm"
kind = "webhook"
url = "https://127.0.0.1:9/"
secret = "benchmark-secret"
[http]
listen = []
[agi]
listen = []
""")
        config.chmod(0o600)
        began = time.monotonic()
        service = subprocess.Popen([binary, "--config", config, "run"], stderr=open(os.path.join(folder, "log"), "w"))
        try:
            if not exchange.ready.wait(20):
                sys.exit("the service did not log in: " + pathlib.Path(folder, "log").read_text())
            print(f"start to login: {(time.monotonic() - began) * 1000:.0f} ms")
            print(f"{'open calls':>10}  {'resident':>9}  {'anonymous':>9}")
            number = 0
            for step in STEPS:
                while number < step:
                    exchange.link.sendall(b"".join(call(number)))
                    number += 1
                    time.sleep(1 / CALLS_A_SECOND)
                resident, anonymous = settled(service.pid)
                print(f"{step:>10}  {resident:>6.1f} MB  {anonymous:>6.1f} MB", flush=True)
        finally:
            service.terminate()
            service.wait(30)


if __name__ == "__main__":
    main()
