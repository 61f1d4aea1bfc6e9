"""A small AMI client that keeps what it hears, and a recorder that writes a session down as `pinconnector replay` reads it.

It shares no code with the connector on purpose: it is what the connector is compared with.
"""

import hashlib
import itertools
import socket
import threading
import time

_LIMIT = 50_000  # messages kept in memory


class Ami:
    """A logged-in manager session. Messages are dicts; the first of duplicate keys counts. Without `keep` they are only captured."""

    def __init__(self, address, user, secret, capture=None, md5=True, timeout_s=5.0, keep=True):
        self.messages = []
        self.closed = False
        self._news = threading.Condition()
        self._ids = itertools.count(1)
        self._buffer = b""
        self._capture = capture
        self._keep_messages = True  # until the login is over
        self.socket = socket.create_connection(address, timeout=timeout_s)
        self.socket.settimeout(None)
        self._reader = threading.Thread(target=self._read, name=f"ami-{user}", daemon=True)
        self._reader.start()
        try:
            if md5:
                challenge = self.action("Challenge", AuthType="MD5").get("Challenge", "")
                key = hashlib.md5((challenge + secret).encode()).hexdigest()
                answer = self.action("Login", AuthType="MD5", Username=user, Key=key)
            else:
                answer = self.action("Login", Username=user, Secret=secret)
        except TimeoutError as e:
            self.close()
            raise OSError(f"no AMI login: {e}") from e
        if answer.get("Response") != "Success":
            self.close()
            raise PermissionError(answer.get("Message", "login failed"))
        self._keep_messages = keep

    def action(self, name, timeout_s=5.0, variables=(), **fields):
        """Sends an action and returns its Response."""
        action_id = f"lab-{next(self._ids)}"
        text = f"Action: {name}\r\nActionID: {action_id}\r\n"
        text += "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        text += "".join(f"Variable: {v}\r\n" for v in variables)
        self.socket.sendall((text + "\r\n").encode())
        return self.wait(lambda m: m.get("ActionID") == action_id and "Response" in m, timeout_s)

    def list(self, name, timeout_s=5.0, **fields):
        """Sends a list action; returns (Response, the list's events)."""
        answer = self.action(name, timeout_s, **fields)
        if answer.get("Response") != "Success":
            return answer, []
        mine = lambda m: m.get("ActionID") == answer["ActionID"] and "Event" in m
        self.wait(lambda m: mine(m) and m.get("EventList") == "Complete", timeout_s)
        return answer, [m for m in self.messages if mine(m) and m.get("EventList") != "Complete"]

    def command(self, line):
        answer = self.action("Command", Command=line)
        return "\n".join(answer.get("Output", []))

    def wait(self, condition, timeout_s=5.0, since=0):
        """The first message from number `since` on that fulfils the condition."""
        end = time.monotonic() + timeout_s
        at = since
        with self._news:
            while True:
                while at < len(self.messages):
                    if condition(self.messages[at]):
                        return self.messages[at]
                    at += 1
                left = end - time.monotonic()
                if left <= 0 or self.closed:
                    raise TimeoutError("AMI: the line ended" if self.closed else f"AMI: nothing fitting within {timeout_s:g} s")
                self._news.wait(left)

    def events(self, *names, **fields):
        """Events of these names whose fields have these values."""
        with self._news:
            return [m for m in self.messages
                    if (not names or m.get("Event") in names) and "Event" in m and all(m.get(k) == v for k, v in fields.items())]

    def close(self):
        self.closed = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        if threading.current_thread() is not self._reader:
            self._reader.join(2)

    # -- the reading thread -----------------------------------------------------------------------------------------

    def _read(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            if self._capture:
                self._capture.received(data)
            self._buffer += data
            if self._buffer.startswith(b"Asterisk Call Manager") and b"\r\n" in self._buffer:
                self._buffer = self._buffer.split(b"\r\n", 1)[1]
            *whole, self._buffer = self._buffer.split(b"\r\n\r\n")
            with self._news:
                for part in whole:
                    self._keep(part)
                self._news.notify_all()
        if self._capture:
            self._capture.close()
        with self._news:
            self.closed = True
            self._news.notify_all()

    def _keep(self, part):
        message = {}
        for line in part.decode("utf-8", "replace").split("\r\n"):
            key, colon, value = line.partition(":")
            if not colon:
                continue
            value = value[1:] if value.startswith(" ") else value
            if key == "Output":
                message.setdefault(key, []).append(value)
            else:
                message.setdefault(key, value)
        if message and self._keep_messages:
            message["at"] = time.time()
            self.messages.append(message)
            if len(self.messages) > _LIMIT:
                raise MemoryError("the laboratory's AMI client keeps at most 50,000 messages")


class Capture:
    """Writes what a session receives to `path` (.ami), and when each message was complete to the `.timing` beside it."""

    def __init__(self, path, began=None):
        """`began`: the moment the clock of the `.timing` starts, by time.monotonic(); of several parts it is the first one's."""
        self.path = path
        self.began = time.monotonic() if began is None else began
        self._out = open(path, "wb")
        self._timing = open(path.with_suffix(".timing"), "w")
        self._start = 0  # byte offset of the message that is coming in
        self._partial = b""
        self._end = b"\r\n"  # of the banner; of messages it is an empty line

    def received(self, data):
        ms = (time.monotonic() - self.began) * 1000
        self._out.write(data)
        self._partial += data
        while (found := self._partial.find(self._end)) >= 0:
            length = found + len(self._end)
            self._timing.write(f"{ms:.1f}\t{self._start}\n")
            self._start += length
            self._partial = self._partial[length:]
            self._end = b"\r\n\r\n"
        self._out.flush()
        self._timing.flush()

    def close(self):
        self._out.close()
        self._timing.close()
