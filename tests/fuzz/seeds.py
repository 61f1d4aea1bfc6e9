#!/usr/bin/env python3
"""Writes what the fuzzer starts from: of each kind of message in the recorded traces the first ones, and the end of each.

seeds.py TRACES FOLDER
"""

import collections
import gzip
import pathlib
import re
import sys

FIRST = 3  # of each kind of message
PIECE = 12  # messages at the end of a trace, where most happens


def main(traces, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seen = collections.Counter()
    for file in sorted(pathlib.Path(traces).glob("*/*.ami.gz")):
        greeting, _, text = gzip.decompress(file.read_bytes()).partition(b"\r\n")
        assert greeting.startswith(b"Asterisk Call Manager"), f"{file} does not begin with a greeting"
        messages = [message for message in text.split(b"\r\n\r\n") if message]
        for message in messages:
            kind = re.match(rb"Event: (\w+)|Response", message)
            name = (kind and kind[1] or b"Response").decode()
            seen[name] += 1
            if seen[name] <= FIRST:
                (folder / f"{name}-{seen[name]}").write_bytes(message + b"\r\n\r\n")
        (folder / file.name).write_bytes(b"".join(message + b"\r\n\r\n" for message in messages[-PIECE:]))
    assert seen, f"no traces in {traces}"


if __name__ == "__main__":
    main(*sys.argv[1:])
