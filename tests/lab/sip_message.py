"""SIP messages and transactions over UDP, as far as the laboratory's phones need them. Dialogs are sip_call.py."""

import random
import re
import threading
import time
import urllib.parse

T1_S = 0.5
REASONS = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted", 302: "Moved Temporarily", 404: "Not Found",
            480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 486: "Busy Here", 487: "Request Terminated",
            501: "Not Implemented", 503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline"}


class Refused(Exception):
    """The other side answered with a final status that is no success."""


class Message:
    """A SIP message. Header names are lower case; of headers that come several times, all are kept in order."""

    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        self.start = lines[0]
        self.headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers.append((_LONG.get(name.strip().lower(), name.strip().lower()), value.strip()))
        self.is_response = self.start.startswith("SIP/2.0")
        if self.is_response:
            self.status = int(self.start.split(" ", 2)[1])
            self.method = self.get("cseq").split()[1]
        else:
            self.method, self.uri = self.start.split(" ")[:2]

    def get(self, name, default=""):
        return next((v for n, v in self.headers if n == name), default)

    def all(self, name):
        return [v for n, v in self.headers if n == name]


_LONG = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "c": "content-type", "l": "content-length", "r": "refer-to", "e": "content-encoding"}


def user_of(value):
    """The user part of the first SIP URI in a header or URI, unescaped; empty if there is none."""
    found = re.search(r"sips?:(?:([^@>;]*)@)?", value)
    return urllib.parse.unquote(found.group(1) or "") if found else ""


def tag_of(value):
    found = re.search(r";\s*tag=([^;>\s]+)", value)
    return found.group(1) if found else ""


def uri_of(value):
    found = re.search(r"<([^>]+)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


def token(n=10):
    return "".join(random.choices("abcdefghijkmnpqrstuvwxyz23456789", k=n))


def branch_of(message):
    found = re.search(r"branch=([^;,\s]+)", message.get("via"))
    return found.group(1) if found else ""


class Transaction:
    """A request of ours under way."""

    def __init__(self, agent, method, uri, head, body, content_type, on_provisional=None, on_final=None):
        self.agent, self.method, self.on_provisional, self.on_final = agent, method, on_provisional, on_final
        self.branch = "z9hG4bK" + token(14)
        self.final, self.provisional = None, False
        self.changed = threading.Condition()
        lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {agent.address[0]}:{agent.address[1]};rport;branch={self.branch}", "Max-Forwards: 70"]
        data = "\r\n".join(lines).encode() + b"\r\n" + b"\r\n".join(h if isinstance(h, bytes) else h.encode() for h in head)
        if content_type:
            data += f"\r\nContent-Type: {content_type}".encode()
        self.data = data + f"\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        with agent._mutex:
            agent._pending[(self.branch, method)] = self

    def send(self):
        """Apart from the constructor: the answer may come before it would have returned."""
        self.agent.send(self.data)
        return self

    def received(self, message):
        with self.changed:
            if message.status < 200:
                self.provisional = True
            first = message.status >= 200 and self.final is None
            if first:
                self.final = message
            self.changed.notify_all()
        if message.status < 200 and self.on_provisional:
            self.on_provisional(message)
        elif message.status >= 200 and self.on_final:
            self.on_final(message, first)

    def wait(self, timeout_s):
        end = time.monotonic() + timeout_s
        repeat = T1_S
        with self.changed:
            while self.final is None:
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"SIP: no answer to {self.method} within {timeout_s:g} s")
                if not self.changed.wait(min(left, repeat)) and not self.provisional:
                    self.agent.send(self.data)
                    repeat = min(repeat * 2, 4)
        self.forget()
        return self.final

    def forget(self):
        with self.agent._mutex:
            self.agent._pending.pop((self.branch, self.method), None)
