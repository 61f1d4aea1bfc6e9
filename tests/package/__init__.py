"""What an administrator's machine does with the package: `packaging/test` runs it.

    debian.py     a clean Debian in a folder
    systemd.py    what systemd would do for the service, in that folder
    contents.py   the package as it lies there: files, dependencies, size, lintian, unit, manual, completion
    life.py       install, set up, a call, upgrade in mid-call, remove, purge; the tarball
    cage.py       the same service under a real systemd (`--long`)
"""
