"""Phones and the outside world: a small SIP user agent over UDP, scripted by the stories.

One `Agent` is one UDP socket; it plays all phones of the office, or the provider with everybody behind it. A `Call` is
one dialog. It sends a tone by RTP, so that recordings are not empty, and ignores what it hears. No authentication, no TCP: the
laboratory's Asterisks ask for neither. Leaves what should happen to the stories.
"""

import itertools
import random
import re
import socket
import struct
import threading
import time
import urllib.parse

_T1_S = 0.5
_REASONS = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted", 302: "Moved Temporarily", 404: "Not Found",
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


def _token(n=10):
    return "".join(random.choices("abcdefghijkmnpqrstuvwxyz23456789", k=n))


class Agent:
    """Phones (`users` are their extensions) or the trunk behind one address."""

    def __init__(self, address, pbx, name, log=None):
        self.address, self.pbx, self.name = address, pbx, name
        self._log_file, self._log_mutex = log, threading.Lock()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(address)
        self._calls = {}          # (Call-ID, our tag) -> Call
        self._expectations = []
        self._pending = {}        # (branch, method) -> _Transaction; a CANCEL has the branch of its INVITE
        self._answered = {}       # (branch, method) -> the bytes of our last response
        self._mutex = threading.RLock()
        self._running = True
        self.surprises = []       # INVITEs nobody expected
        self.errors = []          # of this program
        self.media = _Media(address[0])
        self._reader = threading.Thread(target=self._read, name=f"sip-{name}", daemon=True)
        self._reader.start()

    def close(self):
        self._running = False
        self.media.close()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes the reading thread, which else keeps the port
        except OSError:
            pass  # so says Linux of a UDP socket, and wakes it
        self._reader.join(2)
        self.socket.close()

    def log(self, text):
        if self._log_file:
            with self._log_mutex:
                self._log_file.write(f"{time.strftime('%H:%M:%S', time.gmtime())}.{int(time.time() * 1000) % 1000:03d} {self.name}: {text}\n")
                self._log_file.flush()

    # -- what the stories use ---------------------------------------------------------------------------------------

    def call(self, to, caller, display=None, headers=(), raw_from=None):
        """Calls `to` as `caller`. Returns at once; see Call.wait_*. `raw_from` is the From header as bytes, for odd ones."""
        call = Call(self, caller, to)
        sender = raw_from or ((f'"{display}" ' if display else "") + f"<sip:{caller}@{self.address[0]}>").encode()
        call.invite(sender, headers)
        return call

    def expect(self, user, caller=None, **behaviour):
        """What `user` (the extension or number called) does when `caller` (the number in From) calls.

        behaviour: ring=seconds until 180 (None: none), answer=seconds until 200, reject=(status, seconds), redirect=user,
        hangup=seconds after the answer. Without answer, reject and redirect it rings. Returns the Expectation.
        """
        expectation = Expectation(str(user), caller, behaviour)
        with self._mutex:
            self._expectations.insert(0, expectation)
        return expectation

    def forget(self, expectation):
        with self._mutex:
            if expectation in self._expectations:
                self._expectations.remove(expectation)

    def register(self, user, expires_s=60):
        """Registers the user at the PBX; 0 takes the registration back."""
        call_id, tag = _token(16), _token()
        head = [f"From: <sip:{user}@{self.pbx[0]}>;tag={tag}", f"To: <sip:{user}@{self.pbx[0]}>", f"Call-ID: {call_id}", "CSeq: 1 REGISTER",
                f"Contact: <sip:{user}@{self.address[0]}:{self.address[1]}>", f"Expires: {expires_s}"]
        answer = self.request("REGISTER", f"sip:{self.pbx[0]}", head)
        if answer.status != 200:
            raise Refused(f"REGISTER of {user}: {answer.start}")
        self.log(f"{user} registers for {expires_s} s")

    # -- transactions -----------------------------------------------------------------------------------------------

    def request(self, method, uri, head, body=b"", content_type=None, timeout_s=8.0, on_provisional=None):
        """Sends a request and waits for the final response, repeating it as UDP wants it."""
        transaction = _Transaction(self, method, uri, head, body, content_type, on_provisional)
        return transaction.send().wait(timeout_s)

    def send(self, data):
        try:
            self.socket.sendto(data, self.pbx)
        except OSError:
            pass  # the socket is closed, or the PBX is not there: SIP's own repeats deal with it

    def respond(self, request, status, to_tag=None, extra=(), body=b"", content_type=None):
        to = request.get("to")
        if to_tag and not tag_of(to):
            to += f";tag={to_tag}"
        lines = [f"SIP/2.0 {status} {_REASONS.get(status, 'Response')}"]
        lines += [f"Via: {v}" for v in request.all("via")]
        lines += [f"From: {request.get('from')}", f"To: {to}", f"Call-ID: {request.get('call-id')}", f"CSeq: {request.get('cseq')}"]
        lines += list(extra)
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        lines.append(f"Content-Length: {len(body)}")
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body
        with self._mutex:
            self._answered[(_branch(request), request.method)] = data
            if len(self._answered) > 4000:
                for old in list(self._answered)[:2000]:
                    del self._answered[old]
        self.send(data)

    # -- the reading thread -------------------------------------------------------------------------------------------

    def _read(self):
        while self._running:
            try:
                data, _ = self.socket.recvfrom(65535)
            except OSError:
                return
            if len(data) < 20:
                continue  # keep-alives
            try:
                message = Message(data)
                if message.is_response:
                    with self._mutex:
                        transaction = self._pending.get((_branch(message), message.method))
                    if transaction:
                        transaction.received(message)
                else:
                    self._requested(message)
            except Exception as e:  # a phone that crashes would look like a call that was not answered
                self.errors.append(repr(e))
                self.log(f"ERROR {e!r} at {data[:200]!r}")

    def _requested(self, message):
        with self._mutex:
            repeated = self._answered.get((_branch(message), message.method))
        if repeated:
            self.send(repeated)
            return
        if message.method == "OPTIONS":
            self.respond(message, 200, _token())
            return
        with self._mutex:
            call = self._calls.get((message.get("call-id"), tag_of(message.get("to"))))
            if call is None and message.method == "CANCEL":
                call = next((c for k, c in self._calls.items() if k[0] == message.get("call-id") and c.incoming and _branch(c.invited) == _branch(message)), None)
        if call:
            call.requested(message)
        elif message.method == "INVITE" and not tag_of(message.get("to")):
            self._invited(message)
        elif message.method != "ACK":
            self.respond(message, 481, _token())

    def _invited(self, message):
        user, caller = user_of(message.uri), user_of(message.get("from"))
        with self._mutex:
            expectation = next((e for e in self._expectations if e.fits(user, caller)), None)
            call = Call(self, caller, user, message)
            self._calls[(call.call_id, call.our_tag)] = call
        self.respond(message, 100)
        if expectation is None:
            self.surprises.append((user, caller))
            self.log(f"{user} is called by {caller}, which nobody expected: 480")
            call.reject(480)
            return
        self.log(f"{user} is called by {caller}")
        expectation.happens(call)


def _branch(message):
    found = re.search(r"branch=([^;,\s]+)", message.get("via"))
    return found.group(1) if found else ""


class _Transaction:
    """A request of ours under way."""

    def __init__(self, agent, method, uri, head, body, content_type, on_provisional=None, on_final=None):
        self.agent, self.method, self.on_provisional, self.on_final = agent, method, on_provisional, on_final
        self.branch = "z9hG4bK" + _token(14)
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
        repeat = _T1_S
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


class Expectation:
    """What a phone does when it is called; collects the calls that came."""

    def __init__(self, user, caller, behaviour):
        self.user, self.caller, self.behaviour = user, caller, dict(behaviour)
        self.calls = []
        self._news = threading.Condition()

    def fits(self, user, caller):
        return self.user == user and self.caller in (None, caller)

    def happens(self, call):
        with self._news:
            self.calls.append(call)
            self._news.notify_all()
        plan = self.behaviour
        ring, answer, reject, redirect = (plan.get(k) for k in ("ring", "answer", "reject", "redirect"))
        if ring is not None:
            call.after(ring, call.ring)
        if answer is not None:
            call.after(answer, call.answer)
            if plan.get("hangup") is not None:
                call.after(answer + plan["hangup"], call.hangup)
        if reject is not None:
            call.after(reject[1], lambda: call.reject(reject[0]))
        if redirect is not None:
            call.after(0.05, lambda: call.redirect(redirect))

    def call(self, timeout_s=8.0, n=0):
        """The n-th call that came in."""
        end = time.monotonic() + timeout_s
        with self._news:
            while len(self.calls) <= n:
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"SIP: {self.user} was not called by {self.caller or 'anybody'} within {timeout_s:g} s")
                self._news.wait(left)
            return self.calls[n]


class Call:
    """One dialog, ours (`invited` is None) or theirs. `state`: calling, ringing, up, ended; `status` = the final SIP status."""

    def __init__(self, agent, caller, to, invited=None):
        self.agent, self.caller, self.to = agent, caller, to
        self.incoming = invited is not None
        self.invited = invited
        self.state, self.status = "calling", None
        self.early = False                # 183 with sound was heard
        self.times = {}                   # state -> time.time()
        self.ended_by_us = None
        self.notified = []                # bodies of NOTIFYs after a REFER
        self._cseq = itertools.count(1)
        self._invite_cseq = None
        self._changed = threading.Condition()
        self._timers = []
        self.our_tag = _token()
        self.rtp = None
        if invited:
            self.call_id = invited.get("call-id")
            self.their_tag = tag_of(invited.get("from"))
            self.target = uri_of(invited.get("contact"))
            self.us, self.them = invited.get("to") + f";tag={self.our_tag}", invited.get("from")
            self._route = invited.all("record-route")
        else:
            self.call_id, self.their_tag, self._route = _token(16), "", []

    # -- what the stories do with it ----------------------------------------------------------------------------------

    def invite(self, sender, headers):
        self.us = sender + f";tag={self.our_tag}".encode()
        self.them = f"<sip:{urllib.parse.quote(self.to, safe='+*#')}@{self.agent.pbx[0]}>".replace("#", "%23")
        self.target = uri_of(self.them)
        with self.agent._mutex:
            self.agent._calls[(self.call_id, self.our_tag)] = self
        self._invite_cseq = next(self._cseq)
        self.rtp = self.agent.media.open()
        head = self._head("INVITE", self._invite_cseq) + list(headers)
        self.agent.log(f"{self.caller} calls {self.to}")
        self._transaction = _Transaction(self.agent, "INVITE", self.target, head, self._sdp(), "application/sdp", self._progress, self._final)
        self._transaction.send()
        threading.Thread(target=self._repeat_invite, name="sip-invite", daemon=True).start()

    def ring(self):
        if self._move("ringing", ("calling",)):
            self.agent.respond(self.invited, 180, self.our_tag, [self._contact()])

    def answer(self):
        with self._changed:
            if self.state not in ("calling", "ringing"):
                return
            self._set("up")
        self.rtp = self.agent.media.open()
        self._remote_sdp(self.invited.body)
        self.agent.log(f"{self.to} answers {self.caller}")
        self.agent.respond(self.invited, 200, self.our_tag, [self._contact()], self._sdp(), "application/sdp")

    def reject(self, status):
        if self._move("ended", ("calling", "ringing"), status):
            self.ended_by_us = True
            self.agent.log(f"{self.to} refuses {self.caller}: {status}")
            self.agent.respond(self.invited, status, self.our_tag)

    def redirect(self, user):
        if self._move("ended", ("calling", "ringing"), 302):
            self.ended_by_us = True
            self.agent.log(f"{self.to} forwards {self.caller} to {user}")
            self.agent.respond(self.invited, 302, self.our_tag, [f"Contact: <sip:{user}@{self.agent.pbx[0]}>"])

    def hangup(self):
        """BYE, or CANCEL while our own call is not answered yet."""
        with self._changed:
            state = self.state
            if state == "ended":
                return
            self.ended_by_us = True
            self._cancel_timers()
        if state == "up":
            self.agent.log(f"{self._me()} hangs up")
            self._end(200)
            try:
                self._in_dialog("BYE")
            except TimeoutError:
                self.agent.log("nobody answers the BYE")  # the PBX was restarted, or the story is over
        elif not self.incoming:
            self.agent.log(f"{self.caller} gives up calling {self.to}")
            # The same branch, as RFC 3261 wants it for CANCEL.
            via = f"Via: SIP/2.0/UDP {self.agent.address[0]}:{self.agent.address[1]};rport;branch={self._transaction.branch}"
            lines = [f"CANCEL {uri_of(self.them)} SIP/2.0".encode(), via.encode(), b"Max-Forwards: 70"]
            lines += [h if isinstance(h, bytes) else h.encode() for h in self._head("CANCEL", self._invite_cseq)[:4]]
            self.agent.send(b"\r\n".join(lines) + b"\r\nContent-Length: 0\r\n\r\n")
            self.wait_ended(5)
        else:
            self.reject(480)

    def hold(self):
        self.agent.log(f"{self._me()} puts the other side on hold")
        self._reinvite("sendonly")

    def unhold(self):
        self.agent.log(f"{self._me()} takes the other side back")
        self._reinvite("sendrecv")

    def refer(self, user):
        """Blind transfer of the other side to `user`."""
        self.agent.log(f"{self._me()} transfers to {user} (REFER)")
        self._refer(f"<sip:{urllib.parse.quote(user, safe='+*')}@{self.agent.pbx[0]}>")

    def refer_replaces(self, other):
        """Attended transfer: the other side of this call gets the place we have in `other`."""
        self.agent.log(f"{self._me()} transfers to {other.to} (REFER with Replaces)")
        replaces = urllib.parse.quote(f"{other.call_id};to-tag={other.their_tag};from-tag={other.our_tag}", safe="")
        self._refer(f"<sip:{other.to}@{self.agent.pbx[0]}?Replaces={replaces}>")

    def dtmf(self, keys, gap_s=0.15):
        """Presses keys, by RFC 4733."""
        self.agent.log(f"{self._me()} presses {keys}")
        for key in keys:
            self.rtp.press(key)
            time.sleep(gap_s)

    def wait_ringing(self, timeout_s=6.0):
        self._wait("ringing", timeout_s, lambda: self.state in ("ringing", "up"))

    def wait_early(self, timeout_s=6.0):
        self._wait("early media", timeout_s, lambda: self.early or self.state == "up")

    def wait_up(self, timeout_s=12.0):
        self._wait("answered", timeout_s, lambda: self.state == "up")

    def wait_ended(self, timeout_s=20.0):
        with self._changed:
            if not self._changed.wait_for(lambda: self.state == "ended", timeout_s):
                raise TimeoutError(f"SIP: the call of {self.caller} to {self.to} has not ended within {timeout_s:g} s (it is {self.state})")
        return self.status

    def after(self, seconds, act):
        def acts():
            try:
                act()
            except TimeoutError as e:  # the PBX crashed: whoever waits for the call's end is told there
                self.agent.log(str(e))

        timer = threading.Timer(seconds, acts)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    # -- SIP ------------------------------------------------------------------------------------------------------------

    def requested(self, message):
        """The reading thread: a request inside this dialog."""
        if message.method == "CANCEL":
            self.agent.respond(message, 200, self.our_tag)
            if self._move("ended", ("calling", "ringing"), 487):
                self.agent.log(f"{self.to} stops ringing")
                self.agent.respond(self.invited, 487, self.our_tag)
        elif message.method == "BYE":
            self.agent.respond(message, 200)
            if self.state != "ended":
                self.agent.log(f"{self._me()} is hung up on")
                self._end(200)
        elif message.method == "INVITE":
            # Asterisk re-INVITEs after transfers and pickups; the sound goes on as it was.
            self._remote_sdp(message.body)
            self.agent.respond(message, 200, None, [self._contact()], self._sdp(), "application/sdp")
        elif message.method == "NOTIFY":
            self.agent.respond(message, 200)
            with self._changed:
                self.notified.append(message.body.decode("utf-8", "replace"))
                self._changed.notify_all()
        elif message.method != "ACK":
            self.agent.respond(message, 200, None, [self._contact()])

    def _progress(self, message):
        if tag_of(message.get("to")):
            self.their_tag = tag_of(message.get("to"))
        if message.status == 180:
            if self._move("ringing", ("calling",)):
                self.agent.log(f"{self.caller} hears ringing")
        elif message.status == 183:
            with self._changed:
                self.early = True
                self._changed.notify_all()
            self._remote_sdp(message.body)

    def _final(self, message, first):
        self.their_tag = tag_of(message.get("to"))
        self.them = message.get("to")
        if message.status < 300:
            self.target = uri_of(message.get("contact"))
            self._route = list(reversed(message.all("record-route")))
            self._ack(self.target, "z9hG4bK" + _token(14))
            if first:
                self._remote_sdp(message.body)
                gave_up = self.ended_by_us
                self._move("up", ("calling", "ringing"))
                self.agent.log(f"{self.caller} is answered by {self.to}")
                if gave_up:  # the answer and our CANCEL crossed
                    threading.Thread(target=self.hangup, daemon=True).start()
        else:
            self._ack(uri_of(f"<sip:{urllib.parse.quote(self.to, safe='+*')}@{self.agent.pbx[0]}>"), self._transaction.branch)
            if first:
                self.agent.log(f"{self.caller} is refused by {self.to}: {message.start[8:]}")
                self._move("ended", ("calling", "ringing"), message.status)
                self._over()

    def _ack(self, uri, branch):
        lines = [f"ACK {uri} SIP/2.0".encode(), f"Via: SIP/2.0/UDP {self.agent.address[0]}:{self.agent.address[1]};rport;branch={branch}".encode(), b"Max-Forwards: 70"]
        lines += [h if isinstance(h, bytes) else h.encode("utf-8", "surrogateescape") for h in self._head("ACK", self._invite_cseq)]
        self.agent.send(b"\r\n".join(lines) + b"\r\nContent-Length: 0\r\n\r\n")

    def _repeat_invite(self):
        try:
            self._transaction.wait(60)
        except TimeoutError:
            self._move("ended", ("calling", "ringing"), 408)
            self._over()

    def _reinvite(self, direction):
        answer = self._in_dialog("INVITE", body=self._sdp(direction), content_type="application/sdp")
        if answer.status != 200:
            raise Refused(f"re-INVITE: {answer.start}")

    def _refer(self, refer_to):
        answer = self._in_dialog("REFER", [f"Refer-To: {refer_to}", f"Referred-By: <sip:{self._me()}@{self.agent.address[0]}>"])
        if answer.status != 202:
            raise Refused(f"REFER: {answer.start}")

    def wait_notify(self, text, timeout_s=8.0):
        """A NOTIFY about our REFER that holds `text`, as `200 OK`."""
        with self._changed:
            if not self._changed.wait_for(lambda: any(text in n for n in self.notified), timeout_s):
                raise TimeoutError(f"SIP: no NOTIFY with {text!r} within {timeout_s:g} s")

    def _in_dialog(self, method, headers=(), body=b"", content_type=None):
        cseq = next(self._cseq)
        if method == "INVITE":
            self._invite_cseq = cseq
        answer = self.agent.request(method, self.target, self._head(method, cseq) + list(headers), body, content_type)
        if method == "INVITE":
            self._ack(self.target, "z9hG4bK" + _token(14))
        return answer

    def _head(self, method, cseq):
        us = self.us if isinstance(self.us, bytes) else self.us.encode("utf-8", "surrogateescape")
        them = self.them.encode("utf-8", "surrogateescape")
        head = [b"From: " + us, b"To: " + them, f"Call-ID: {self.call_id}", f"CSeq: {cseq} {method}", self._contact()]
        return head + [f"Route: {r}" for r in self._route]

    def _contact(self):
        return f"Contact: <sip:{self._me()}@{self.agent.address[0]}:{self.agent.address[1]}>"

    def _me(self):
        return self.to if self.incoming else self.caller

    def _sdp(self, direction="sendrecv"):
        port = self.rtp.port if self.rtp else 9
        host = self.agent.address[0]
        return (f"v=0\r\no=- {id(self) % 100000} {int(time.time() * 1000) % 10**9} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
                f"m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
                f"a=ptime:20\r\na={direction}\r\n").encode()

    def _remote_sdp(self, body):
        text = body.decode("latin-1")
        host, port = re.search(r"^c=IN IP4 (\S+)", text, re.M), re.search(r"^m=audio (\d+)", text, re.M)
        if host and port and self.rtp:
            self.rtp.to((host.group(1), int(port.group(1))))

    # -- states ---------------------------------------------------------------------------------------------------------

    def _set(self, state, status=None):
        self.state = state
        self.times.setdefault(state, time.time())
        if status:
            self.status = status
        self._changed.notify_all()

    def _move(self, state, since, status=None):
        with self._changed:
            if self.state not in since:
                return False
            self._set(state, status)
        if state == "ended":
            self._over()
        return True

    def _end(self, status):
        with self._changed:
            self._set("ended", status)
        self._over()

    def _over(self):
        self._cancel_timers()
        if self.rtp:
            self.rtp.close()

    def _cancel_timers(self):
        for timer in self._timers:
            if timer is not threading.current_thread():
                timer.cancel()

    def _wait(self, what, timeout_s, condition):
        with self._changed:
            if not self._changed.wait_for(lambda: condition() or self.state == "ended", timeout_s):
                raise TimeoutError(f"SIP: the call of {self.caller} to {self.to} is not {what} within {timeout_s:g} s")
            if not condition():
                raise Refused(f"the call of {self.caller} to {self.to} ended with {self.status} before it was {what}")


class _Media:
    """Sends the tone of all calls of an agent, fifty packets a second each, from one thread."""

    def __init__(self, host):
        self.host = host
        self._streams = []
        self._mutex = threading.Lock()
        self._running = True
        threading.Thread(target=self._run, name="rtp", daemon=True).start()

    def open(self):
        stream = _Stream(self)
        with self._mutex:
            self._streams.append(stream)
        return stream

    def close(self):
        self._running = False

    def _run(self):
        next_tick = time.monotonic()
        while self._running:
            with self._mutex:
                streams = list(self._streams)
            for stream in streams:
                stream.tick()
            next_tick += 0.02
            left = next_tick - time.monotonic()
            if left > 0:
                time.sleep(left)
            else:
                next_tick = time.monotonic()


class _Stream:
    # A-law of a soft square wave: not silence, and cheap.
    TONE = bytes([0xB5] * 10 + [0x35] * 10) * 8
    KEYS = {**{str(d): d for d in range(10)}, "*": 10, "#": 11}

    def __init__(self, media):
        self.media = media
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((media.host, 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]
        self._to = None
        self._ssrc, self._seq, self._stamp = random.getrandbits(32), random.getrandbits(15), random.getrandbits(30)
        self._keys = []
        self._mutex = threading.Lock()

    def to(self, address):
        self._to = address

    def press(self, key):
        """Blocks for the tenth of a second a key is down."""
        done = threading.Event()
        with self._mutex:
            if self.socket.fileno() < 0:
                return
            self._keys.append([self.KEYS[key], 0, done])
        done.wait(3)

    def tick(self):
        with self._mutex:
            if self._to is None or self.socket.fileno() < 0:
                return
            if self._keys:
                self._key_tick(self._keys[0])
            else:
                self._send(8, self._stamp, self.TONE)
                self._stamp += 160

    def _key_tick(self, key):
        event, ticks, done = key
        end = ticks >= 5
        packet = struct.pack("!BBH", event, (0x80 if end else 0) | 10, min(ticks + 1, 6) * 160)
        self._send(101, self._stamp, packet, marker=ticks == 0)
        key[1] += 1
        if key[1] == 8:  # the end is said three times
            self._keys.pop(0)
            self._stamp += 8 * 160
            done.set()

    def _send(self, payload, stamp, data, marker=False):
        self._seq = (self._seq + 1) & 0xFFFF
        head = struct.pack("!BBHII", 0x80, payload | (0x80 if marker else 0), self._seq, stamp & 0xFFFFFFFF, self._ssrc)
        try:
            self.socket.sendto(head + data, self._to)
        except OSError:
            pass  # nobody listens there any more

    def close(self):
        with self.media._mutex:
            if self in self.media._streams:
                self.media._streams.remove(self)
        with self._mutex:
            self.socket.close()
            for _, _, done in self._keys:  # hung up on while a key is down
                done.set()
            self._keys.clear()
