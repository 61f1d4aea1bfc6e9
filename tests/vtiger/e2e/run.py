#!/usr/bin/env python3
"""The end-to-end suite of the vTiger module against a real vTiger with the module installed, given by environment:

    VTIGER_URL       http://127.0.0.1:8088
    VTIGER_ADMIN     admin          VTIGER_PASSWORD  its password
    VTIGER_DB        mysql://user:password@127.0.0.1:3306/vtiger
    VTIGER_ROOT      optional, its folder: the scenario of a PHP fatal puts a file there and takes it away
    SCREENSHOTS      optional, a folder for screenshots
    CALLS_ZIP        optional, the built module: the scenarios of update and uninstall need it and VTIGER_ROOT
    JUNIT            optional, a file for the results

    run.py [part of a scenario's name ...] [-part of the name of one to leave out ...]

It makes users, clients and calls of its own in that vTiger and leaves them there: give it one that is for tests. Needs python3, the
mariadb client and chromium. Prints `N passed, N failed` as its last line.
"""
import os
import sys
import time
import traceback
from xml.sax.saxutils import quoteattr

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from office import Office  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402


def main():
    wanted = [part for part in sys.argv[1:] if not part.startswith("-")]
    unwanted = [part[1:] for part in sys.argv[1:] if part.startswith("-")]
    chosen = [one for one in SCENARIOS if not wanted or any(part in one.__name__ for part in wanted)]
    chosen = [one for one in chosen if not any(part in one.__name__ for part in unwanted)]
    office = Office()
    results = []
    try:
        for one in chosen:
            began = time.time()
            name = one.__name__.replace("_", " ")
            try:
                office.heartbeat()
                said = one(office)
                results.append((name, time.time() - began, None))
                print("ok      %s%s" % (name, " (%s)" % said if said else ""), flush=True)
            except Exception as fault:  # a scenario that fails says why and lets the others go on
                results.append((name, time.time() - began, traceback.format_exc()))
                print("FAILED  %s: %s" % (name, str(fault)[:600]), flush=True)
    finally:
        office.close()
    failed = [result for result in results if result[2]]
    if os.environ.get("JUNIT"):
        with open(os.environ["JUNIT"], "w", encoding="utf-8") as written:
            written.write('<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="vtiger e2e" tests="%d" failures="%d">\n' % (len(results), len(failed)))
            for name, took, fault in results:
                body = "<failure message=%s/>" % quoteattr(fault[-2000:]) if fault else ""
                written.write("  <testcase name=%s time=\"%.3f\">%s</testcase>\n" % (quoteattr(name), took, body))
            written.write("</testsuite>\n")
    print("%d passed, %d failed" % (len(results) - len(failed), len(failed)))
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
