"""The package as it lies there, before anybody installs it."""

import os
import pathlib
import re
import subprocess
import tempfile
import tomllib

from tests.lab.places import ROOT

MOST_BYTES = 6_000_000
# libc6 itself depends on libgcc-s1, so nothing else comes with it.
MAY_DEPEND_ON = {"libc6", "libgcc-s1"}

# Path, mode, and owner as it is in the package; the configuration gets its group when the group is there.
FILES = {
    "/usr/bin/pinconnector": "-rwxr-xr-x",
    "/etc/pinconnector/pinconnector.toml": "-rw-r-----",
    "/lib/systemd/system/pinconnector.service": "-rw-r--r--",
    "/usr/lib/sysusers.d/pinconnector.conf": "-rw-r--r--",
    "/usr/share/bash-completion/completions/pinconnector": "-rw-r--r--",
    "/usr/share/man/man8/pinconnector.8.gz": "-rw-r--r--",
    "/usr/share/man/man5/pinconnector.toml.5.gz": "-rw-r--r--",
    "/usr/share/pinconnector/Calls.zip": "-rw-r--r--",
    "/usr/share/doc/pinconnector/README.md": "-rw-r--r--",
    "/usr/share/doc/pinconnector/copyright": "-rw-r--r--",
    "/usr/share/doc/pinconnector/licenses-of-libraries.txt.gz": "-rw-r--r--",
    "/usr/share/doc/pinconnector/examples/asterisk/manager.d-pinconnector.conf": "-rw-r--r--",
    "/usr/share/doc/pinconnector/examples/asterisk/extensions-pinconnector.conf": "-rw-r--r--",
}


def _run(*command, status=0, **kwargs):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)
    assert done.returncode == status, f"{' '.join(map(str, command))}: exit status {done.returncode}:\n{done.stdout}"
    return done.stdout


def unpacked(package, folder):
    _run("dpkg-deb", "--extract", package, folder)
    return pathlib.Path(folder)


def files(package, root):
    """Everything that was promised is there, for root, with the right modes."""
    listed = {}
    for line in _run("dpkg-deb", "--contents", package).splitlines():
        mode, owner, _, _, _, path, *_ = line.split()
        listed[path.removeprefix(".")] = mode
        assert owner == "root/root", line
    # Where Debian 13 builds it.
    listed.setdefault("/lib/systemd/system/pinconnector.service", listed.get("/usr/lib/systemd/system/pinconnector.service"))
    for path, mode in FILES.items():
        assert listed.get(path) == mode, f"{path}: {listed.get(path)}, not {mode}"
    conffiles = _run("dpkg-deb", "--info", package, "conffiles").split()
    assert conffiles == ["/etc/pinconnector/pinconnector.toml"], conffiles
    for path in (ROOT / "conf" / "asterisk").iterdir():
        shipped = root / "usr/share/doc/pinconnector/examples/asterisk" / path.name
        assert shipped.read_bytes() == path.read_bytes(), f"{shipped} is not {path}"
    assert (root / "etc/pinconnector/pinconnector.toml").read_bytes() == (ROOT / "conf/pinconnector.toml").read_bytes()
    return f"{len(listed)} paths"


def size(package, _):
    size = os.path.getsize(package)
    assert size <= MOST_BYTES, f"{size} bytes"
    return f"{size / 1e6:.2f} MB"


def dependencies(package, root):
    depends = _run("dpkg-deb", "--field", package, "Depends").strip()
    names = {re.match(r"[a-z0-9.+-]+", word.strip()).group() for word in re.split(r"[,|]", depends)}
    assert "libc6" in names and names <= MAY_DEPEND_ON, depends
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", _run("readelf", "--dynamic", root / "usr/bin/pinconnector")))
    assert needed <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}, needed
    return depends


def lintian(package, _):
    """No errors and no warnings; hints are only counted, since they change with the compiler (spelling in a binary)."""
    tags = _run("lintian", "--allow-root", "--display-info", "--tag-display-limit", "0", "--fail-on", "error,warning", package)
    return f"{len(re.findall('^I: ', tags, re.M))} hints"


def unit(_, root):
    """systemd finds nothing wrong with it, and judges its exposure below 2.0."""
    with tempfile.TemporaryDirectory() as folder:
        text = (ROOT / "packaging/pinconnector.service").read_text()
        path = pathlib.Path(folder, "pinconnector.service")
        # The program as it was packed; the manual is not installed here.
        path.write_text(text.replace("/usr/bin/pinconnector", str(root / "usr/bin/pinconnector")))
        said = _run("systemd-analyze", "verify", "--man=no", path)
        assert "pinconnector" not in said, said
        # The command's own threshold is in tenths.
        judged = _run("systemd-analyze", "security", "--offline=true", "--threshold=19", path)
    return re.search(r"Overall exposure level[^:]*: (\S+)", judged).group(1)


def _page(root, name):
    """The page as people read it."""
    path = next(root.glob(f"usr/share/man/man*/{name}.gz"))
    raw = _run("zcat", path)
    warnings = subprocess.run(["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z"], input=raw, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    assert not warnings, warnings
    text = subprocess.run(["groff", "-man", "-Tutf8", "-Kutf8", "-P-cbou", "-rLL=400n"], input=raw, stdout=subprocess.PIPE, check=True, text=True).stdout
    # groff writes some signs as typographers do.
    return re.sub(r"\s+", " ", text.replace("−", "-").replace("‐", "-").replace("’", "'"))


def _keys(table):
    """The keys in a table and in those within it."""
    for key, value in table.items():
        inner = value if isinstance(value, list) else [value]
        if any(isinstance(part, dict) for part in inner):
            for part in inner:
                yield from _keys(part)
        else:
            yield key


def _words(text):
    return re.sub(r"\s+", " ", text).strip()


def manual(_, root):
    """Every command and option of the help texts, every key of the configuration, each with its explanation."""
    program = root / "usr/bin/pinconnector"
    page = _page(root, "pinconnector.8").lower()
    commands = re.findall(r"^  ([a-z]+) +(\S.*)$", _run(program, "help"), re.M)
    assert len(commands) > 10, commands
    for name, _brief in commands:
        text = _run(program, "help", name)
        for option in set(re.findall(r"--[a-z][a-z-]+", text)):
            assert option in page, f"pinconnector(8) knows no {option} of `{name}`"
        # The page has headings of its own for what every command takes.
        told = text.split("\n\n", 1)[1] if name != "options" else text.split("\n\n", 2)[2].replace("Exit codes:", "")
        for word in set(re.findall(r"\S+", told)):
            assert word.lower() in page, f"pinconnector(8) has lost the word {word!r} of `help {name}`"
    page = _page(root, "pinconnector.toml.5")
    conf = (ROOT / "conf/pinconnector.toml").read_text()
    keys = re.findall(r"^#?([a-z][a-z0-9_]*) = ", conf, re.M)
    assert len(keys) > 80, keys
    for key in keys:
        assert re.search(rf"(^| ){key} = ", page), f"pinconnector.toml(5) does not know {key}"
    # Keys that are there without `#`, by TOML's own rules.
    named = set(_keys(tomllib.loads(conf)))
    assert len(named) > 50 and named <= set(keys), named - set(keys)
    for section in re.findall(r"^#?(\[\[?[a-z_.]+\]\]?)$", conf, re.M):
        assert section in page, f"pinconnector.toml(5) does not know {section}"
    for comment in re.findall(r"^# (.*)$", conf, re.M):
        assert _words(comment) in page, f"pinconnector.toml(5) has lost: {comment}"
    return f"{len(commands)} commands, {len(keys)} keys"


def completion(_, root):
    """Bash completes commands, options and what follows them as the program knows them."""
    script = root / "usr/share/bash-completion/completions/pinconnector"

    def completes(line):
        words = line.split(" ")
        quoted = " ".join(f"'{w}'" for w in ["pinconnector", *words[1:]])
        code = f"PATH={root}/usr/bin:$PATH; . {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _pinconnector; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        return set(_run("bash", "--norc", "-c", code).split())

    program = root / "usr/bin/pinconnector"
    names = {name for name, _ in re.findall(r"^  ([a-z]+) +(\S.*)$", _run(program, "help"), re.M)}
    assert completes("pinconnector ") == names, completes("pinconnector ")
    assert completes("pinconnector che") == {"check"}
    assert completes("pinconnector outbox ") == {"list", "retry", "drop"}
    assert {"--missed", "--since", "--json"} <= completes("pinconnector --config x calls --")
    assert completes("pinconnector --log d") == {"debug"}
    assert completes("pinconnector help re") >= {"replay"}


CHECKS = [
    ("what was promised is in it", files),
    ("at most six megabytes", size),
    ("depends on libc only", dependencies),
    ("lintian finds nothing", lintian),
    ("systemd likes the unit", unit),
    ("the manual knows every command and key", manual),
    ("bash completes", completion),
]
