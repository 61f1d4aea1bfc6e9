#!/usr/bin/env python3
"""The live suite: real phones on a real Asterisk 22 (tests/lab makes it, as root on Debian), the real connector, a real vTiger.

    VTIGER_URL, VTIGER_ADMIN, VTIGER_PASSWORD, VTIGER_DB     as for run.py; the vTiger has the module installed
    PINCONNECTOR                                              the binary; without it the newest under target/
    VTIGER_HTTPS_URL, VTIGER_CA                               optional: the same vTiger behind TLS, and the authority that signed it
    VTIGER2_URL, VTIGER2_DB                                   optional: a second vTiger with the same administrator

    live.py [part of a scenario's name ...]

It changes users, clients and calls of that vTiger and leaves them there. Prints `N passed, N failed` as its last line.
"""
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from live.cards import CARDS  # noqa: E402
from live.doctor import DOCTOR  # noqa: E402
from live.scenarios import LIVE  # noqa: E402
from live.stage import Stage  # noqa: E402
from live.stock import STOCK  # noqa: E402


def main():
    chosen = [one for one in LIVE + CARDS + DOCTOR + STOCK if not sys.argv[1:] or any(part in one.__name__ for part in sys.argv[1:])]
    passed = failed = 0
    stage = Stage()
    try:
        for one in chosen:
            began = time.time()
            name = one.__name__.replace("_", " ")
            try:
                if not getattr(one, "own_stage", False):
                    stage.plain()
                said = one(stage)
                passed += 1
                print("ok      %s (%.0f s%s)" % (name, time.time() - began, ", " + said if said else ""), flush=True)
            except Exception as fault:  # a scenario that fails says why and lets the others go on
                failed += 1
                print("FAILED  %s: %s" % (name, str(fault)[:800]), flush=True)
                if os.environ.get("LIVE_DEBUG"):
                    traceback.print_exc()
    finally:
        stage.close()
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
