"""Child processes that never outlive the run: each dies with the thread that owns it, is stopped by its own pid, and is waited for.

Leaves to others what is started.
"""

import atexit
import ctypes
import os
import signal
import subprocess
import threading
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_alive = set()
_mutex = threading.Lock()
_jobs = None


def die_with_parent():
    """For `preexec_fn`: the child is killed when the thread that started it ends."""
    os.setpgid(0, 0)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class _Spawner(threading.Thread):
    """Starts the children. The kernel's "die with your parent" means the *thread* that forked, so that must be one
    that lives as long as the process does."""

    def __init__(self):
        super().__init__(name="spawner", daemon=True)
        self.wake = threading.Condition()
        self.queue = []
        self.start()

    def run(self):
        while True:
            with self.wake:
                while not self.queue:
                    self.wake.wait()
                call = self.queue.pop(0)
            call()

    def popen(self, *args, **kwargs):
        done = threading.Event()
        out = {}

        def call():
            try:
                out["child"] = subprocess.Popen(*args, preexec_fn=die_with_parent, **kwargs)
            except BaseException as e:  # handed to whoever asked
                out["error"] = e
            done.set()

        with self.wake:
            self.queue.append(call)
            self.wake.notify()
        done.wait()
        if "error" in out:
            raise out["error"]
        return out["child"]


def start(args, log, **kwargs):
    """Starts a program in its own process group, its output appended to the file `log`."""
    global _jobs
    with _mutex:
        if _jobs is None:
            _jobs = _Spawner()
    with open(log, "ab") as out:
        child = _jobs.popen([str(a) for a in args], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **kwargs)
    with _mutex:
        _alive.add(child)
    return child


def stop(child, grace_s=5.0, sig=signal.SIGTERM):
    """Asks the process to end, kills it when `grace_s` is over. Returns its exit status; negative is a signal."""
    if child.poll() is None:
        child.send_signal(sig)
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)
    with _mutex:
        _alive.discard(child)
    return child.returncode


@atexit.register
def _stop_all():
    for child in list(_alive):
        stop(child, grace_s=1.0)


def wait_for(what, deadline_s, condition, every_s=0.02):
    """Polls `condition` until it gives something true, and returns that. Raises TimeoutError naming `what`."""
    end = time.monotonic() + deadline_s
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {deadline_s:g} s")
        time.sleep(every_s)
