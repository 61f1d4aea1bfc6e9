"""Real Asterisks from Debian packages, each in a folder of its own under `target/lab`, made once.

Needs root and Debian (or Ubuntu) with apt. Leaves configuration and starting to asterisk.py.
"""

import math
import os
import pathlib
import shutil
import struct
import subprocess
import wave

from .places import LAB, Lock

# The Debian suites that carry the oldest and the newest Asterisk we promise to work with.
SUITES = {"22": "sid", "16": "bullseye"}
PACKAGES = "asterisk,asterisk-modules,asterisk-config"

# What VoiceMail() and Parking say; the packages come without voices.
_PROMPTS = """beep beeperr vm-theperson vm-isunavail vm-intro vm-leavemsg vm-msgsaved vm-goodbye vm-review vm-isonphone
auth-thankyou pbx-parkingfailed pbx-transfer pbx-invalid conf-onlyperson conf-hasjoin conf-hasleft agent-pass
queue-thankyou queue-youarenext queue-thereare queue-callswaiting followme/call-from followme/options followme/pls-hold-while-try
followme/status followme/sorry followme/no-recording digits/0 digits/1 digits/2 digits/3 digits/4 digits/5 digits/6
digits/7 digits/8 digits/9""".split()


def asterisk(version):
    """The folder with Asterisk `version` ("22" or "16"); the first time it takes half a minute."""
    folder = LAB / f"asterisk-{version}"
    with Lock(folder.name):
        if not (folder / ".complete").exists():
            _make(SUITES[version], folder)
    return folder


def _make(suite, folder):
    if os.geteuid() != 0:
        raise SystemExit("the laboratory makes chroots: run it as root")
    if not shutil.which("mmdebstrap"):
        if not shutil.which("apt-get"):
            raise SystemExit("the laboratory needs mmdebstrap, and there is no apt-get to install it with")
        log = LAB / "apt.log"
        with open(log, "wb") as out:
            env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
            for command in (["update"], ["install", "-y", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"]):
                if subprocess.run(["apt-get", "-q", *command], env=env, stdout=out, stderr=out).returncode:
                    raise SystemExit(f"mmdebstrap could not be installed: see {log}")
    partial = folder.with_name(folder.name + ".partial")
    for old in (folder, partial):
        if old.exists():
            # One file system, so that a mount somebody left in there is never emptied.
            subprocess.run(["rm", "-rf", "--one-file-system", str(old)], check=True)
    log = LAB / f"{folder.name}.log"
    print(f"lab: making {folder.name} from Debian {suite} (once; log: {log})", flush=True)
    with open(log, "wb") as out:
        # Snapshots of sid may be older than their stated validity.
        done = subprocess.run(
            ["mmdebstrap", "--aptopt=Acquire::Check-Valid-Until \"false\"", "--variant=apt", f"--include={PACKAGES}", suite, str(partial)],
            stdout=out, stderr=out)
    if done.returncode:
        raise SystemExit(f"{folder.name} could not be made: see the end of {log}")
    _sounds(partial / "lab" / "sounds")
    prompts = partial / "usr/share/asterisk/sounds/en"
    if prompts.is_symlink() or not prompts.exists():
        prompts.unlink(missing_ok=True)
        prompts.mkdir(parents=True)
    for name in _PROMPTS:
        _tone(prompts / f"{name}.wav", 0.2)
    (partial / ".complete").touch()
    partial.rename(folder)


def _sounds(folder):
    folder.mkdir(parents=True)
    for name, seconds in {"greeting": 3.0, "menu": 2.0, "beep": 0.2}.items():
        _tone(folder / f"{name}.wav", seconds)
    (folder / "moh").mkdir()
    _tone(folder / "moh" / "music.wav", 10.0)


def _tone(path, seconds, rate=8000, hertz=440):
    """A quiet tone, so that recordings are not mere silence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = int(seconds * rate)
    samples = (int(2000 * math.sin(2 * math.pi * hertz * i / rate)) for i in range(count))
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(rate)
        w.writeframes(b"".join(struct.pack("<h", s) for s in samples))


def inside(chroot, path):
    """The name of `path` (a path inside the chroot) as the host sees it."""
    return pathlib.Path(chroot) / str(path).lstrip("/")
