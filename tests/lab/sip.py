"""Phones and the outside world: a small SIP user agent over UDP, scripted by the stories.

One `Agent` is one UDP socket; it plays all phones of the office, or the provider with everybody behind it. No authentication, no TCP:
the laboratory's Asterisks ask for neither. Dialogs are in sip_call.py, messages in sip_message.py, the sound in rtp.py. Leaves what
should happen to the stories.
"""

import socket
import threading
import time

from .rtp import Media
from .sip_call import Call
from .sip_message import REASONS, Message, Refused, Transaction, branch_of, tag_of, token, user_of


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
        self._pending = {}        # (branch, method) -> Transaction; a CANCEL has the branch of its INVITE
        self._answered = {}       # (branch, method) -> the bytes of our last response
        self._mutex = threading.RLock()
        self._running = True
        self.surprises = []       # INVITEs nobody expected
        self.errors = []          # of this program
        self.media = Media(address[0])
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
        call_id, tag = token(16), token()
        head = [f"From: <sip:{user}@{self.pbx[0]}>;tag={tag}", f"To: <sip:{user}@{self.pbx[0]}>", f"Call-ID: {call_id}", "CSeq: 1 REGISTER",
                f"Contact: <sip:{user}@{self.address[0]}:{self.address[1]}>", f"Expires: {expires_s}"]
        answer = self.request("REGISTER", f"sip:{self.pbx[0]}", head)
        if answer.status != 200:
            raise Refused(f"REGISTER of {user}: {answer.start}")
        self.log(f"{user} registers for {expires_s} s")

    # -- transactions -----------------------------------------------------------------------------------------------

    def request(self, method, uri, head, body=b"", content_type=None, timeout_s=8.0, on_provisional=None):
        """Sends a request and waits for the final response, repeating it as UDP wants it."""
        transaction = Transaction(self, method, uri, head, body, content_type, on_provisional)
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
        lines = [f"SIP/2.0 {status} {REASONS.get(status, 'Response')}"]
        lines += [f"Via: {v}" for v in request.all("via")]
        lines += [f"From: {request.get('from')}", f"To: {to}", f"Call-ID: {request.get('call-id')}", f"CSeq: {request.get('cseq')}"]
        lines += list(extra)
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        lines.append(f"Content-Length: {len(body)}")
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body
        with self._mutex:
            self._answered[(branch_of(request), request.method)] = data
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
                        transaction = self._pending.get((branch_of(message), message.method))
                    if transaction:
                        transaction.received(message)
                else:
                    self._requested(message)
            except Exception as e:  # a phone that crashes would look like a call that was not answered
                self.errors.append(repr(e))
                self.log(f"ERROR {e!r} at {data[:200]!r}")

    def _requested(self, message):
        with self._mutex:
            repeated = self._answered.get((branch_of(message), message.method))
        if repeated:
            self.send(repeated)
            return
        if message.method == "OPTIONS":
            self.respond(message, 200, token())
            return
        with self._mutex:
            call = self._calls.get((message.get("call-id"), tag_of(message.get("to"))))
            if call is None and message.method == "CANCEL":
                call = next((c for k, c in self._calls.items() if k[0] == message.get("call-id") and c.incoming and branch_of(c.invited) == branch_of(message)), None)
        if call:
            call.requested(message)
        elif message.method == "INVITE" and not tag_of(message.get("to")):
            self._invited(message)
        elif message.method != "ACK":
            self.respond(message, 481, token())

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
