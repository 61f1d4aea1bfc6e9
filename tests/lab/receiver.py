"""A CRM that speaks HTTP: the receiver of kind `webhook`. It keeps every request, and of each record the newest revision.

How it answers can be changed at any moment, to play a CRM that is ill. Leaves judging the records to the stories.
"""

import hashlib
import hmac
import http.server
import json
import socket
import threading
import time

SECRET = "lab-Secret-of-the-CRM-0123456789"
KEY = "lab"


class Request:
    """One request as it came: `at`, method, path, headers, body, what we answered."""

    def __init__(self, method, path, headers, body):
        self.at = time.time()
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.answer = None
        self.signed = None  # True, False, or None where there is no signature
        self.records = []


class Receiver:
    """Listens on `address`; `address[1]` 0 takes any port."""

    def __init__(self, address, secret=SECRET, key=KEY):
        self.secret, self.key = secret, key
        self.requests = []
        self.newest = {}        # record id -> record
        self.history = {}       # record id -> revisions in the order in which they were accepted
        self.accepted = 0       # records answered with success, repeats included
        self.faults = []        # what no well-behaved sender does
        self.clock_ahead_s = 0  # of ours
        self._mode = ("ok",)
        self._nonces = set()
        self._changed = threading.Condition()
        self._hung = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self):
                receiver._received(self)

            do_GET = do_PUT = do_POST

            def log_message(self, *_):
                pass

            def date_time_string(self, timestamp=None):
                return super().date_time_string((timestamp or time.time()) + receiver.clock_ahead_s)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass  # the sender went away in the middle: it is killed in some stories

        self._server = Server(address, Handler)
        self.address = self._server.server_address
        self.url = f"http://{self.address[0]}:{self.address[1]}/calls"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="crm", daemon=True).start()

    def close(self):
        self._hung.set()
        self._server.shutdown()
        self._server.server_close()

    # -- how it answers -------------------------------------------------------------------------------------------------

    def answers(self, mode, *details):
        """ok · status N [body] · html (200 with a login page) · hang · close (reads, then shuts the door) · reset · redirect URL ·
        slow SECONDS · reject IDS (those records are answered 422, the others ok)"""
        with self._changed:
            self._mode = (mode, *details)
            if mode != "hang":
                hung, self._hung = self._hung, threading.Event()
                hung.set()

    def _received(self, handler):
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        request = Request(handler.command, handler.path, dict(handler.headers.items()), body)
        self._verify(request)
        try:
            parsed = json.loads(body) if body else {}
        except ValueError:
            parsed = {}
            self.faults.append(f"a body that is no JSON: {body[:200]!r}")
        if isinstance(parsed, dict):
            request.records = parsed.get("records") or []
        with self._changed:
            mode, hung = self._mode, self._hung
            self.requests.append(request)
            self._changed.notify_all()
        self._answer(handler, request, mode, hung)

    def _answer(self, handler, request, mode, hung):
        kind, *details = mode
        request.answer = kind
        if kind == "slow":
            hung.wait(details[0])
            kind = "ok"
        if kind == "hang":
            hung.wait(120)
            handler.close_connection = True
            return
        if kind in ("close", "reset"):
            if kind == "reset":
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.close_connection = True
            return
        if kind == "redirect":
            self._write(handler, 302, b"", "text/plain", {"Location": details[0]})
        elif kind == "status":
            body = details[1] if len(details) > 1 else '{"error":"no"}'
            self._write(handler, details[0], body.encode(), "application/json")
        elif kind == "html":
            self._write(handler, 200, b'<html><body><form>Please log in <input type="password" name="p"></form></body></html>', "text/html")
        elif kind == "reject" and any(r.get("id") in details[0] for r in request.records):
            self._write(handler, 422, b'{"error":"rejected"}', "application/json")
        elif request.signed is False:
            self._write(handler, 401, b'{"error":"signature"}', "application/json")
        else:
            self._accept(request)
            self._write(handler, 200, b'{"result":"saved"}', "application/json")

    def _write(self, handler, status, body, content_type, headers=None):
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _accept(self, request):
        with self._changed:
            for record in request.records:
                self.accepted += 1
                # Of two connectors for one exchange the younger term speaks; what an older one had on its way may come late.
                key, revision = record.get("id"), (record.get("term", 0), record.get("revision"))
                seen = self.history.setdefault(key, [])
                if seen and revision < seen[-1] and revision[0] == seen[-1][0]:
                    self.faults.append(f"{key}: revision {revision} came after {seen[-1]}")
                if seen and revision == seen[-1] and record_without_live(self.newest[key]) != record_without_live(record):
                    self.faults.append(f"{key}: revision {revision} came twice with different contents")
                seen.append(revision)
                if key not in self.newest or revision >= (self.newest[key].get("term", 0), self.newest[key]["revision"]):
                    self.newest[key] = record
            self._changed.notify_all()

    def _verify(self, request):
        """interfaces: hex HMAC-SHA256(secret, METHOD \\n PATH \\n TIME \\n NONCE \\n hex SHA-256(body))"""
        h = {k.lower(): v for k, v in request.headers.items()}
        if "x-pin-signature" not in h:
            self.faults.append("a request without a signature")
            return
        text = "\n".join([request.method, request.path, h.get("x-pin-time", ""), h.get("x-pin-nonce", ""), hashlib.sha256(request.body).hexdigest()])
        good = hmac.compare_digest(hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest(), h["x-pin-signature"])
        good = good and abs(time.time() + self.clock_ahead_s - int(h.get("x-pin-time") or 0)) <= 300
        with self._changed:
            if h.get("x-pin-nonce") in self._nonces:
                self.faults.append("the same nonce twice")
                good = False
            self._nonces.add(h.get("x-pin-nonce"))
        request.signed = good

    # -- what the stories ask --------------------------------------------------------------------------------------------

    def records(self, condition=lambda r: True):
        with self._changed:
            return [dict(r) for r in self.newest.values() if condition(r)]

    def wait(self, what, condition, timeout_s=10.0):
        """Waits until `condition(self)` is true; it is asked again after each request."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout_s):
                raise TimeoutError(f"CRM: {what}: not within {timeout_s:g} s")

    def count(self, mode):
        """How many requests were answered in this way."""
        with self._changed:
            return sum(r.answer == mode for r in self.requests)


def record_without_live(record):
    return {k: v for k, v in record.items() if k not in ("live", "term")}
