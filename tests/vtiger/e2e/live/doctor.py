"""`pinconnector doctor` against a real vTiger, with our module and with vTiger's own: each finding is true and has its remedy."""
import contextlib
import http.server
import json
import shutil
import subprocess
import threading

from live.stock import SECRET, gateway

DOCTOR = []
OTHER_SECRET = "another-secret-of-the-live-suite"
# Nothing answers there.
NOWHERE = "http://127.0.0.1:1"


def doctor(function):
    DOCTOR.append(function)
    return function


def about(stage, crm, before=()):
    """What doctor says of a CRM given as in the configuration: check to (level, text, remedy)."""
    key, secret, url, more = crm
    config = stage.service.config.with_name("doctor.toml")
    text = stage.service.config.read_text()
    config.write_text(text[:text.index("[[crm]]")] + '[[crm]]\nname = "%s"\nurl = "%s"\nsecret = "%s"\n%s\n' % (key, url, secret, more))
    config.chmod(0o600)
    done = subprocess.run([*before, str(stage.service.program), "--config", str(config), "doctor", "--no-trial", "--json"], capture_output=True, text=True, timeout=120)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    own = {one["check"]: (one["level"], one["text"], one.get("remedy", "")) for one in found if one["about"] == "CRM " + key}
    assert own, done.stderr + done.stdout
    failures = [one for one in found if one["level"] == "failure"]
    assert (done.returncode == 69) == bool(failures), (done.returncode, failures)
    assert secret not in done.stdout, "a secret is shown"
    return own


def says(found, check, level, text="", remedy=""):
    assert check in found, found
    assert found[check][0] == level and text in found[check][1] and remedy in found[check][2], found[check]


@contextlib.contextmanager
def maintenance(status):
    """A web server that shows everybody the same page."""
    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            page = b"<!DOCTYPE html><html><head><title>We are back soon</title></head><body></body></html>"
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d" % server.server_port
        server.shutdown()


def off_clock(by):
    return [shutil.which("faketime"), "-f", by] if shutil.which("faketime") else None


@doctor
def doctor_finds_our_module_well_or_says_what_is_not(stage):
    url, calls = stage.vtiger.url, 'kind = "calls"'
    found = about(stage, ("live", stage.secret, url, calls))
    says(found, "reachable", "ok", "takes our secret")
    says(found, "clock", "ok")
    says(found, "users", "warning", "have no extension: admin", "on the card in vTiger")
    for crm in (("live", OTHER_SECRET, url, calls), ("nobody", stage.secret, url, calls)):
        says(about(stage, crm), "reachable", "failure", "401", "copy key and secret from vTiger's Settings")
    says(about(stage, ("live", stage.secret, NOWHERE, calls)), "reachable", "failure", "nothing listens at", "web server runs")
    says(about(stage, ("live", stage.secret, url + "/nowhere", calls)), "reachable", "failure", "404", "install Calls.zip")
    for status, words in ((503, "is not there at the moment"), (200, "instead of the module's JSON")):
        with maintenance(status) as page:
            says(about(stage, ("live", stage.secret, page, calls)), "reachable", "failure", words, "maintained")
    stage.vtiger.settings("connector", id=stage.connector_id, name="Live", key="live", url="", enabled="")
    try:
        says(about(stage, ("live", stage.secret, url, calls)), "reachable", "failure", "switched off", "switch this connector on")
    finally:
        stage.vtiger.settings("connector", id=stage.connector_id, name="Live", key="live", url="", enabled=1)
    if not off_clock("+1"):
        return "clocks left out: there is no faketime"
    for by, words in (("+600s", "behind ours"), ("-600s", "ahead of ours")):
        found = about(stage, ("live", stage.secret, url, calls), before=off_clock(by))
        says(found, "clock", "failure", words, "NTP")
        says(found, "reachable", "failure", "too far apart to sign", "NTP")
    says(about(stage, ("live", stage.secret, url, calls), before=off_clock("+90s")), "clock", "warning", "behind ours", "NTP")


@doctor
def doctor_finds_the_stock_module_well_or_says_what_is_not(stage):
    url, stock = stage.vtiger.url, 'kind = "pbxmanager"'
    gateway(stage, SECRET)
    found = about(stage, ("stock", SECRET, url, stock))
    says(found, "reachable", "ok", "takes our secret")
    says(found, "clock", "ok")
    found = about(stage, ("stock", OTHER_SECRET, url, stock))
    says(found, "reachable", "failure", "does not accept our secret", "Integration, PBXManager")
    assert "secret" not in found, found
    says(about(stage, ("stock", SECRET, NOWHERE, stock)), "reachable", "failure", "nothing listens at", "web server runs")
    says(about(stage, ("stock", SECRET, url + "/nowhere", stock)), "reachable", "failure", "404", "correct url")
    for status, words in ((503, "is not there at the moment"), (200, "an HTML page «We are back soon»")):
        with maintenance(status) as page:
            says(about(stage, ("stock", SECRET, page, stock)), "reachable", "failure", words, "maintained")
    stage.vtiger.db.run("DELETE FROM vtiger_pbxmanager_gateway")
    try:
        found = about(stage, ("stock", SECRET, url, stock))
        says(found, "reachable", "failure", "does not accept our secret", "Integration, PBXManager")
        says(found, "secret", "failure", "without any secret", "enter a secret key")
    finally:
        gateway(stage, SECRET)
    if not off_clock("+1"):
        return "clocks left out: there is no faketime"
    found = about(stage, ("stock", SECRET, url, stock), before=off_clock("+600s"))
    says(found, "clock", "warning", "behind ours", "NTP")
    says(found, "reachable", "ok")
