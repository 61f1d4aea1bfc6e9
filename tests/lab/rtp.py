"""The sound of the phones: a tone, so that recordings are not empty, and keys by RFC 4733. What comes in is not read."""

import random
import socket
import struct
import threading
import time


class Media:
    """Sends the tone of all calls of an agent, fifty packets a second each, from one thread."""

    def __init__(self, host):
        self.host = host
        self._streams = []
        self._mutex = threading.Lock()
        self._running = True
        threading.Thread(target=self._run, name="rtp", daemon=True).start()

    def open(self):
        stream = Stream(self)
        with self._mutex:
            self._streams.append(stream)
        return stream

    def close(self):
        self._running = False

    def _run(self):
        next_tick = time.monotonic()
        while self._running:
            with self._mutex:
                streams = list(self._streams)
            for stream in streams:
                stream.tick()
            next_tick += 0.02
            left = next_tick - time.monotonic()
            if left > 0:
                time.sleep(left)
            else:
                next_tick = time.monotonic()


class Stream:
    # A-law of a soft square wave: not silence, and cheap.
    TONE = bytes([0xB5] * 10 + [0x35] * 10) * 8
    KEYS = {**{str(d): d for d in range(10)}, "*": 10, "#": 11}

    def __init__(self, media):
        self.media = media
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((media.host, 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]
        self._to = None
        self._ssrc, self._seq, self._stamp = random.getrandbits(32), random.getrandbits(15), random.getrandbits(30)
        self._keys = []
        self._mutex = threading.Lock()

    def to(self, address):
        self._to = address

    def press(self, key):
        """Blocks for the tenth of a second a key is down."""
        done = threading.Event()
        with self._mutex:
            if self.socket.fileno() < 0:
                return
            self._keys.append([self.KEYS[key], 0, done])
        done.wait(3)

    def tick(self):
        with self._mutex:
            if self._to is None or self.socket.fileno() < 0:
                return
            if self._keys:
                self._key_tick(self._keys[0])
            else:
                self._send(8, self._stamp, self.TONE)
                self._stamp += 160

    def _key_tick(self, key):
        event, ticks, done = key
        end = ticks >= 5
        packet = struct.pack("!BBH", event, (0x80 if end else 0) | 10, min(ticks + 1, 6) * 160)
        self._send(101, self._stamp, packet, marker=ticks == 0)
        key[1] += 1
        if key[1] == 8:  # the end is said three times
            self._keys.pop(0)
            self._stamp += 8 * 160
            done.set()

    def _send(self, payload, stamp, data, marker=False):
        self._seq = (self._seq + 1) & 0xFFFF
        head = struct.pack("!BBHII", 0x80, payload | (0x80 if marker else 0), self._seq, stamp & 0xFFFFFFFF, self._ssrc)
        try:
            self.socket.sendto(head + data, self._to)
        except OSError:
            pass  # nobody listens there any more

    def close(self):
        with self.media._mutex:
            if self in self.media._streams:
                self.media._streams.remove(self)
        with self._mutex:
            self.socket.close()
            for _, _, done in self._keys:  # hung up on while a key is down
                done.set()
            self._keys.clear()
