"""A clean Debian in a folder: made once by mmdebstrap, unpacked anew for every test.

Leaves to others what is installed there; the network is this machine's.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

from tests.lab.places import LAB, Lock

SUITES = {"12": "bookworm", "13": "trixie"}
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "TZ": "UTC"}


def archive(version, packages=()):
    """The tar file with a minimal Debian `version`, and `packages` in it; the first time it takes half a minute."""
    path = LAB / f"{'-'.join(['debian', version, *packages])}.tar"
    with Lock(path.name):
        if not path.exists():
            partial = path.with_suffix(".partial.tar")
            log = path.with_suffix(".log")
            print(f"package: making Debian {version} (once; log: {log})", flush=True)
            with open(log, "wb") as out:
                done = subprocess.run(["mmdebstrap", "--variant=minbase", *[f"--include={p}" for p in packages], SUITES[version], str(partial)], stdout=out, stderr=out)
            if done.returncode:
                raise SystemExit(f"Debian {version} could not be made: see the end of {log}")
            partial.rename(path)
    return path


class Debian:
    """Use as a context: the folder is gone afterwards."""

    packages = ()

    def __init__(self, version):
        self.version = version

    def __enter__(self):
        packed = archive(self.version, self.packages)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"debian-{self.version}-", dir=LAB))
        # The service's user has to get through it.
        self.folder.chmod(0o755)
        subprocess.run(["tar", "--extract", "--file", packed, "--directory", self.folder, "--same-owner", "--numeric-owner"], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["rm", "-rf", "--one-file-system", self.folder], check=True)

    def path(self, inside):
        return self.folder / str(inside).lstrip("/")

    def run(self, *command, status=0, input=None, timeout_s=60, user=None):
        """Runs a command in there; returns what it wrote. `status`: what it must exit with, None: anything."""
        done = subprocess.run([*self._inside(user), *command], env=ENVIRONMENT, input=input, stdin=None if input else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s)
        if status is not None and done.returncode != status:
            raise AssertionError(f"Debian {self.version}: {' '.join(map(str, command))}: exit status {done.returncode}, not {status}:\n{done.stdout}")
        return done.stdout

    def _inside(self, user):
        return ["chroot", *([f"--userspec={user}"] if user else []), self.folder]

    def install(self, package, *options):
        """As the README says it: apt install ./FILE.deb"""
        # Not /tmp, on which a systemd mounts its own.
        shutil.copy(package, self.path("/root"))
        return self.run("apt-get", "install", "--yes", "--no-install-recommends", *options, f"/root/{os.path.basename(package)}")

    def owner(self, inside):
        """`user:group mode` of a path, by the names of that Debian."""
        return self.run("stat", "-c", "%U:%G %a", inside).strip()

    def exists(self, inside):
        return os.path.lexists(self.path(inside))
