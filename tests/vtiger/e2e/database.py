"""The CRM's database, by the command line client: what no screen shows is asked here, and test users get their extensions."""
import subprocess
import urllib.parse


class Database:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.command = ["mariadb", "--batch", "--raw", "--skip-column-names", "--default-character-set=utf8mb4",
                        "-h", parts.hostname, "-P", str(parts.port or 3306), "-u", parts.username, parts.path.lstrip("/")]
        self.environment = {"MYSQL_PWD": parts.password or "", "PATH": "/usr/bin:/bin"}

    def rows(self, sql):
        done = subprocess.run(self.command, input=sql, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def one(self, sql):
        rows = self.rows(sql)
        return rows[0][0] if rows else None

    def run(self, sql):
        self.rows(sql)

    def call(self, crm_id):
        """A stored call: its fields and its owner."""
        names = [row[0] for row in self.rows("SHOW COLUMNS FROM vtiger_calls")]
        rows = self.rows("SELECT c.*, e.smownerid, e.deleted FROM vtiger_calls c JOIN vtiger_crmentity e ON e.crmid = c.callsid "
                         "WHERE c.callsid = %d" % int(crm_id))
        if not rows:
            return None
        return dict(zip(names + ["owner", "deleted"], [("" if value == "NULL" else value) for value in rows[0]]))


def quoted(text):
    return "'" + str(text).replace("\\", "\\\\").replace("'", "\\'") + "'"
