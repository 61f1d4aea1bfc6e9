"""One dialog of a phone: what stories do with a call, and what the other side does. The socket is sip.py's."""

import itertools
import re
import threading
import time
import urllib.parse

from .sip_message import Refused, Transaction, tag_of, token, uri_of


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
        self.our_tag = token()
        self.rtp = None
        if invited:
            self.call_id = invited.get("call-id")
            self.their_tag = tag_of(invited.get("from"))
            self.target = uri_of(invited.get("contact"))
            self.us, self.them = invited.get("to") + f";tag={self.our_tag}", invited.get("from")
            self._route = invited.all("record-route")
        else:
            self.call_id, self.their_tag, self._route = token(16), "", []

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
        self._transaction = Transaction(self.agent, "INVITE", self.target, head, self._sdp(), "application/sdp", self._progress, self._final)
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
            self._ack(self.target, "z9hG4bK" + token(14))
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
            self._ack(self.target, "z9hG4bK" + token(14))
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
