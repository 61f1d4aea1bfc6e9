"""A FastAGI server that plays the connector, or one that is ill, to try the pieces of dialplan we ship without a connector."""

import socket
import threading
import time


class AgiStandIn:
    """`mode`: "ok" (sets `variables`), "silent" (accepts and says nothing), "drops" (closes at once), "garbage"."""

    def __init__(self, address, mode="ok", variables=None):
        self.mode, self.variables = mode, variables or {}
        self.requests = []  # (script with query, headers)
        self._open = []
        self._listener = socket.create_server(address)
        threading.Thread(target=self._accept, name="agi", daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept(), which else keeps the port
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            lines = connection.makefile("rb")
            if self.mode == "drops":
                connection.close()
                return
            headers = {}
            while (line := lines.readline().decode("utf-8", "replace").rstrip("\n")):
                key, _, value = line.partition(": ")
                headers[key] = value
            self.requests.append((headers.get("agi_network_script", ""), headers))
            if self.mode == "silent":
                lines.read()  # until Asterisk loses its patience
                return
            if self.mode == "garbage":
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n\0\xff\n" * 50)
                time.sleep(0.05)
                return
            for name, value in self.variables.items():
                connection.sendall(f'SET VARIABLE {name} "{value}"\n'.encode())
                lines.readline()
        except OSError:
            pass  # Asterisk hung up
        finally:
            connection.close()
