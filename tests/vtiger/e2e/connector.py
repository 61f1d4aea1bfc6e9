"""A connector as the module sees it: signs requests and sends them to callbacks/Connector.php."""
import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request


def signature(secret, method, path, moment, nonce, body):
    signed = "\n".join([method, path, str(moment), nonce, hashlib.sha256(body).hexdigest()])
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()


class Answer:
    def __init__(self, status, headers, raw):
        self.status, self.headers, self.raw = status, headers, raw
        try:
            self.body = json.loads(raw)
        except ValueError:
            self.body = None


class Connector:
    def __init__(self, base_url, key, secret):
        self.url = base_url.rstrip("/") + "/modules/Calls/callbacks/Connector.php"
        self.key, self.secret = key, secret

    def post(self, payload, moment=None, nonce=None, method="POST", spoil=None, headers=None, timeout=120):
        body = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
        path = urllib.parse.urlsplit(self.url).path
        moment = int(time.time()) if moment is None else moment
        nonce = os.urandom(16).hex() if nonce is None else nonce
        signed = {
            "X-PIN-Key": self.key, "X-PIN-Time": str(moment), "X-PIN-Nonce": nonce,
            "X-PIN-Signature": signature(self.secret, method, path, moment, nonce, body),
            "Content-Type": "application/json",
        }
        if headers is not None:
            signed = headers
        sent = body if spoil is None else spoil(body)
        request = urllib.request.Request(self.url, sent if method != "GET" else None, signed, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def ask(self, op, /, **keys):
        """An operation that must succeed; its answer's body."""
        answer = self.post(dict(op=op, **keys))
        assert answer.status == 200 and answer.body and answer.body.get("ok"), (answer.status, answer.raw[:500])
        return answer.body

    def send(self, *records):
        """Records; the results by id."""
        body = self.ask("records", sent_at=wire_time(time.time()), records=list(records))
        return {result["id"]: result for result in body["results"]}


def wire_time(moment):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + ".%03dZ" % int(moment % 1 * 1000)


_count = [0]


def call(conversation=None, n=1, **fields):
    """A record with what every record has; the rest by keyword."""
    _count[0] += 1
    now = fields.pop("now", time.time())
    conversation = conversation or "msk-%d.%d.%s" % (int(now), _count[0], os.urandom(3).hex())
    record = {
        "id": "%s-%d" % (conversation, n), "conversation": conversation, "pbx": "msk",
        "revision": int(time.time() * 1000) + _count[0], "source": "ami", "direction": "incoming", "status": "completed",
        "lead": True, "started_at": wire_time(now), "live": True,
    }
    record.update(fields)
    return {key: value for key, value in record.items() if value is not None}
