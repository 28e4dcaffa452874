"""As much of PostgreSQL's protocol as measuring needs: log in without a password, read a large result and drop it."""

import socket
import struct

READY = b"Z\x00\x00\x00\x05I"


class Client:
    # One for all: who measures reads one answer at a time.
    buffer = bytearray(1 << 18)

    def __init__(self, port, user="bench", database="bench"):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        parameters = f"user\0{user}\0database\0{database}\0\0".encode()
        self.socket.sendall(struct.pack("!II", len(parameters) + 8, 3 << 16) + parameters)
        self.answer()

    def query(self, sql):
        """Runs `sql`; the number of bytes that came back."""
        text = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)
        return self.answer()

    def close(self):
        self.socket.sendall(b"X\x00\x00\x00\x04")
        self.socket.close()

    def answer(self):
        """Reads to the end of the answer. Nothing is sent after ReadyForQuery, so the tail of the stream tells."""
        buffer = self.buffer
        total, tail, first = 0, b"", b""
        while True:
            size = self.socket.recv_into(buffer)
            if size == 0:
                raise ConnectionError(f"closed by the server after {bytes(first[:200])!r}")
            first = first or bytes(buffer[:200])
            total += size
            tail = (tail + bytes(buffer[max(0, size - 6):size]))[-6:]
            if tail == READY:
                if first[:1] == b"E":
                    raise ConnectionError(first.decode(errors="replace"))
                return total
