"""Headless Chromium over its debugging pipe: no driver, no port, nothing but the browser."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


class Browser:
    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="calls-chromium-")
        to_browser_read, self.write_end = os.pipe()
        self.read_end, from_browser_write = os.pipe()

        def descriptors():
            os.dup2(to_browser_read, 3)
            os.dup2(from_browser_write, 4)

        # 3 and 4 may be ends of our pipes already: moved out of the way before the child's dup2.
        to_browser_read = _above(to_browser_read)
        from_browser_write = _above(from_browser_write)
        self.write_end = _above(self.write_end)
        self.read_end = _above(self.read_end)
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio",
             "--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe", "--no-first-run",
             "--user-data-dir=" + self.profile, "--window-size=1400,1000", "about:blank"],
            preexec_fn=descriptors, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser_read)
        os.close(from_browser_write)
        self.buffer = b""
        self.number = 0
        self.dialogs = []

    def _read(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.time()
            if left <= 0 or not select.select([self.read_end], [], [], left)[0]:
                raise TimeoutError("the browser says nothing")
            more = os.read(self.read_end, 1 << 20)
            if not more:
                raise RuntimeError("the browser is gone")
            self.buffer += more
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, session=None, timeout=60, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        deadline = time.time() + timeout
        while True:
            answer = self._read(deadline)
            if answer.get("method") == "Page.javascriptDialogOpening":
                # A dialog that a page opens in these tests is a script that should not have run.
                self.dialogs.append(answer["params"].get("message", ""))
                self.number += 1
                os.write(self.write_end, json.dumps({"id": self.number, "method": "Page.handleJavaScriptDialog",
                                                     "params": {"accept": True}, "sessionId": answer["sessionId"]}).encode() + b"\0")
                continue
            if answer.get("id") == self.number or (answer.get("id") and answer["id"] == message["id"]):
                if "error" in answer:
                    raise RuntimeError("%s: %s" % (method, answer["error"]))
                return answer["result"]

    def user(self, session, base=None):
        """A tab of its own with the cookies of a logged-in web session; `base`: by another address of the same vTiger."""
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        tab = Tab(self, self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"], base or session.base)
        if base:
            tab.ask("Security.setIgnoreCertificateErrors", ignore=True)
        tab.cookies(session)
        return tab

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.profile, ignore_errors=True)


def _above(descriptor):
    if descriptor > 9:
        return descriptor
    import fcntl
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10)
    os.close(descriptor)
    return moved


class Tab:
    def __init__(self, browser, session, base):
        self.browser, self.session, self.base = browser, session, base
        for domain in ("Page", "Runtime", "Network"):
            self.ask(domain + ".enable")

    def ask(self, method, **params):
        return self.browser.ask(method, self.session, **params)

    def cookies(self, web):
        for cookie in web.jar:
            self.ask("Network.setCookie", name=cookie.name, value=cookie.value, url=self.base)

    def open(self, path):
        self.ask("Page.navigate", url=self.base + path)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'", "the page " + path)
        return self

    def run(self, script):
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", str(answer["exceptionDetails"])))
        return answer["result"].get("value")

    def wait(self, condition, what, seconds=20):
        """Until the condition holds; its value and how long it took."""
        began = time.time()
        while True:
            try:
                value = self.run(condition)
            except (RuntimeError, TimeoutError):
                value = None
            if value:
                return value, time.time() - began
            if time.time() - began > seconds:
                raise AssertionError("%s: not within %d s" % (what, seconds))
            time.sleep(0.05)

    def wait_for(self, condition, what, seconds=20):
        """The same for what the page does not know."""
        until = time.time() + seconds
        while not condition():
            if time.time() > until:
                raise AssertionError("%s: not within %d s" % (what, seconds))
            time.sleep(0.05)

    def text(self, selector):
        return self.run("(document.querySelector(%s) || {}).innerText || ''" % json.dumps(selector))

    def click(self, selector):
        self.run("document.querySelector(%s).click()" % json.dumps(selector))

    def follow(self, selector):
        """A click that leaves the page: nobody waits for what it says."""
        self.run("void setTimeout(function(){document.querySelector(%s).click()}, 0)" % json.dumps(selector))

    def screenshot(self, path):
        with open(path, "wb") as written:
            written.write(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))
