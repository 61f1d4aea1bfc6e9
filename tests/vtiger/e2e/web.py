"""A user of vTiger at his browser, without one: logs in, reads pages, posts forms with the token vTiger wants."""
import html
import http.cookiejar
import json
import re
import urllib.error
import urllib.parse
import urllib.request


class Page:
    def __init__(self, status, headers, raw):
        self.status, self.headers, self.raw = status, headers, raw
        self.text = raw.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.text)


class Session:
    def __init__(self, base_url, user, password):
        self.base = base_url.rstrip("/") + "/"
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.token = ""
        self.user = user
        first = self.get("index.php")
        page = self.post({"module": "Users", "action": "Login", "username": user, "password": password}, token=self._token_of(first))
        home = self.get("index.php?module=Calls&view=List")
        assert "Login" not in home.text[:400] and "_USERMETA" in home.text, "%s cannot log in: %s" % (user, page.status)
        self.token = self._token_of(home)

    @staticmethod
    def _token_of(page):
        found = re.search(r'csrfMagicToken\s*=\s*"([^"]+)"', page.text) or re.search(r'name=.__vtrftk. value="([^"]+)"', page.text)
        return found.group(1) if found else ""

    def _open(self, request):
        try:
            with self.opener.open(request, timeout=120) as response:
                return Page(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Page(error.code, error.headers, error.read())

    def get(self, path, headers=None, method="GET"):
        return self._open(urllib.request.Request(self.base + path, headers=dict(headers or {}, Referer=self.base + "index.php"), method=method))

    def post(self, fields, token=None):
        fields = dict(fields, __vtrftk=self.token if token is None else token)
        data = urllib.parse.urlencode(fields).encode()
        return self._open(urllib.request.Request(self.base + "index.php", data, {"Referer": self.base + "index.php"}))

    def upload(self, fields, name, file_name, content):
        """A form with a file."""
        edge = "----calls%d" % len(content)
        parts = ["--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n" % (edge, key, value) for key, value in dict(fields, __vtrftk=self.token).items()]
        head = "--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\nContent-Type: application/zip\r\n\r\n" % (edge, name, file_name)
        data = "".join(parts).encode() + head.encode() + content + ("\r\n--%s--\r\n" % edge).encode()
        headers = {"Referer": self.base + "index.php", "Content-Type": "multipart/form-data; boundary=" + edge}
        return self._open(urllib.request.Request(self.base + "index.php", data, headers))

    def action(self, action, module="Calls", **fields):
        """A JSON action of a module, by POST as the pages do it."""
        return self.post(dict(fields, module=module, action=action)).json()

    def save(self, module, **fields):
        """Saves a record by the form; its id."""
        page = self.post(dict(fields, module=module, action="SaveAjax"))
        answer = page.json()
        assert answer.get("success"), page.text[:500]
        return int(answer["result"]["_recordId"])

    def list_rows(self, view_id=None, module="Calls", **more):
        """Ids of the records of a list."""
        query = dict(more, module=module, view="List")
        if view_id is not None:
            query["viewname"] = view_id
        page = self.get("index.php?" + urllib.parse.urlencode(query))
        assert page.status == 200, page.status
        return [int(found) for found in re.findall(r"<tr[^>]*class=\"listViewEntries\"[^>]*data-id='(\d+)'", page.text)], page

    def related_rows(self, module, record, tab_label):
        """Ids in a tab of a record's card."""
        query = {"module": module, "relatedModule": "Calls", "view": "Detail", "record": record, "mode": "showRelatedList", "tab_label": tab_label}
        page = self.get("index.php?" + urllib.parse.urlencode(query))
        assert page.status == 200, page.status
        return [int(found) for found in re.findall(r"class=\"listViewEntries\"[^>]*data-id='(\d+)'", page.text)], page

    def card(self, record, module="Calls"):
        """A record's card as a click on it in the list opens it."""
        return self.get("index.php?module=%s&view=Detail&record=%d" % (module, record))


def unescaped(text):
    return html.unescape(text)
