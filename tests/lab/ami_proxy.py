"""Stands between Asterisk and the connector and plays a bad line: swallows events, cuts, stops, slows down.

It passes bytes on unchanged, a whole AMI message at a time when something is to be swallowed. Both directions end together.
"""

import socket
import threading
import time

from .ami import Capture


class AmiProxy:
    """Listens on `address`, connects to `asterisk` for each connection it gets. With `folder`, what the connector hears is kept
    there, a `connector_partN.ami` for each connection, as `pinconnector replay` reads it."""

    def __init__(self, address, asterisk, folder=None):
        self.asterisk, self.folder = asterisk, folder
        self.swallowed = []          # names of events that were not passed on
        self._swallow = None
        self._piece = None           # (bytes at a time, seconds between)
        self._open = threading.Event()
        self._open.set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._pairs = set()
        self._mutex = threading.Lock()
        self.connections = 0
        self._began = time.monotonic()
        self._listener = socket.create_server(address)
        self.address = self._listener.getsockname()
        threading.Thread(target=self._accept, name="ami-proxy", daemon=True).start()

    # -- what the stories do with it --------------------------------------------------------------------------------

    def swallow(self, condition):
        """`condition(name, fields)` is asked for each event towards the connector; true: it never arrives. None ends it."""
        self._swallow = condition

    def cut(self, refuse=False):
        """Closes all connections at once, in the middle of whatever they are saying. With `refuse`, new ones, too, until open()."""
        if refuse:
            self._open.clear()
        with self._mutex:
            pairs = list(self._pairs)
        for pair in pairs:
            self._close(pair)

    def open(self):
        self._open.set()

    def stop_flow(self):
        """The line is silent: connections stay, nothing goes through."""
        self._flowing.clear()

    def resume_flow(self):
        self._flowing.set()

    def slow(self, bytes_at_a_time, pause_s):
        """Towards the connector; None ends it."""
        self._piece = (bytes_at_a_time, pause_s) if bytes_at_a_time else None

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept(), which else keeps the port
        self._listener.close()
        self._flowing.set()
        self.cut()

    # -- threads ------------------------------------------------------------------------------------------------------

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._open.is_set():
                near.close()
                continue
            try:
                far = socket.create_connection(self.asterisk, timeout=3)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            self.connections += 1
            pair = (near, far)
            with self._mutex:
                self._pairs.add(pair)
            capture = Capture(self.folder / f"connector_part{self.connections}.ami", self._began) if self.folder else None
            threading.Thread(target=self._pass, args=(pair, near, far, self._upward, None), daemon=True).start()
            threading.Thread(target=self._pass, args=(pair, far, near, self._downward, capture), daemon=True).start()

    def _pass(self, pair, source, sink, deliver, capture):
        rest = b""
        while True:
            try:
                data = source.recv(65536)
                if not data:
                    break
                self._flowing.wait()
                rest = deliver(rest + data, sink, capture)
            except OSError:
                break
        self._close(pair)
        if capture:
            capture.close()

    def _upward(self, data, sink, _):
        sink.sendall(data)
        return b""

    def _downward(self, data, sink, capture):
        condition = self._swallow
        if condition is None:
            self._send(data, sink, capture)
            return b""
        *whole, rest = data.split(b"\r\n\r\n")
        for message in whole:
            fields = dict(line.split(": ", 1) for line in message.decode("utf-8", "replace").split("\r\n") if ": " in line)
            name = fields.get("Event", "")
            if name and condition(name, fields):
                self.swallowed.append(name)
            else:
                self._send(message + b"\r\n\r\n", sink, capture)
        return rest

    def _send(self, data, sink, capture):
        if capture:
            capture.received(data)
        if self._piece is None:
            sink.sendall(data)
            return
        size, pause_s = self._piece
        for at in range(0, len(data), size):
            sink.sendall(data[at:at + size])
            time.sleep(pause_s)

    def _close(self, pair):
        with self._mutex:
            self._pairs.discard(pair)
        for s in pair:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
