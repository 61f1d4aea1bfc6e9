"""What vTiger talks to, on loopback: a connector's HTTP side, answered as the contract says (it checks signatures as the real one does), and a mail server."""
import hashlib
import hmac
import http.server
import json
import socketserver
import struct
import threading
import time


def wav(seconds=1):
    data = b"\x00\x00" * int(8000 * seconds)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    return head + b"data" + struct.pack("<I", len(data)) + data


class StandIn:
    def __init__(self, key, secret):
        self.key, self.secret = key, secret
        self.calls = {}
        self.refuse_with = None
        self.sounds = {"sound1": wav(2)}
        # What was asked for, in this order: a sound and the Range.
        self.heard = []
        self.unsigned = 0
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def signed(self, body):
                nonce, moment = self.headers.get("X-PIN-Nonce", ""), self.headers.get("X-PIN-Time", "0")
                text = "\n".join([self.command, self.path, moment, nonce, hashlib.sha256(body).hexdigest()])
                wanted = hmac.new(owner.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
                good = hmac.compare_digest(wanted, self.headers.get("X-PIN-Signature", "")) and abs(time.time() - int(moment)) < 300
                owner.unsigned += 0 if good else 1
                return good and self.headers.get("X-PIN-Key") == owner.key

            def say(self, status, body, kind="application/json", more=None):
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(raw)))
                for name, value in (more or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(raw)

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if not self.signed(body):
                    return self.say(401, {"error": "signature", "message": "no"})
                parts = self.path.split("?")[0].strip("/").split("/")
                if parts[0] == "recordings":
                    return self.sound(parts[1])
                if self.command == "POST":
                    if owner.refuse_with:
                        return self.say(owner.refuse_with, {"error": "refused", "message": "no"})
                    call = json.loads(body)
                    owner.calls[call["request"]] = {"call": call, "state": "agent_ringing", "reason": None, "cancelled": False}
                    return self.say(202, {"request": call["request"], "conversation": "x"})
                known = owner.calls.get(parts[-1])
                if known is None:
                    return self.say(404, {"error": "unknown_request", "message": "no such request"})
                if self.command == "DELETE":
                    known["cancelled"] = True
                    return self.say(200, {"state": "failed", "reason": "cancelled"})
                return self.say(200, {"request": parts[-1], "state": known["state"], "reason": known["reason"]})

            def sound(self, name):
                data = owner.sounds.get(name)
                owner.heard.append((name, self.headers.get("Range", "")))
                if data is None:
                    return self.say(404, {"error": "gone", "message": "gone"})
                span = self.headers.get("Range", "")
                if span.startswith("bytes="):
                    first, last = (span[6:].split("-") + [""])[:2]
                    first = int(first or 0)
                    last = min(int(last) if last else len(data) - 1, len(data) - 1)
                    more = {"Content-Range": "bytes %d-%d/%d" % (first, last, len(data)), "Accept-Ranges": "bytes", "ETag": '"e1"'}
                    return self.say(206, data[first:last + 1], "audio/wav", more)
                return self.say(200, data, "audio/wav", {"Accept-Ranges": "bytes", "ETag": '"e1"'})

            do_GET = do_POST = do_DELETE = do_HEAD = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def last_call(self):
        return list(self.calls.values())[-1] if self.calls else None

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class MailServer:
    """Takes letters and keeps them."""

    def __init__(self):
        self.letters = []
        owner = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"220 sink\r\n")
                while True:
                    line = self.rfile.readline()
                    word = line[:4].upper()
                    if not line:
                        return
                    if word == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        letter = b""
                        while True:
                            line = self.rfile.readline()
                            if line in (b".\r\n", b""):
                                break
                            letter += line
                        owner.letters.append(letter.decode("utf-8", "replace"))
                    self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                    if word == b"QUIT":
                        return

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def subjects(self):
        import email
        import email.header
        subjects = []
        for letter in self.letters:
            header = email.message_from_string(letter)["Subject"] or ""
            subjects.append(str(email.header.make_header(email.header.decode_header(header))))
        return subjects

    def close(self):
        self.server.shutdown()
        self.server.server_close()
