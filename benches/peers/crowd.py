"""Many clients of one proxy in one thread, a few of them busy at a time: whoever has his answer rests, and another one, drawn
by lot, asks. Answers are not looked into beyond their end."""

import random
import select
import struct
import time

from wire import READY, Client


class Crowd:
    def __init__(self, port):
        self.port = port
        self.clients = {}
        self.resting = []
        self.ready = select.epoll()
        self.random = random.Random(1)

    def grow(self, count, statements):
        """More clients, up to `count`, each with those statements ([(name, text)]) prepared."""
        while len(self.clients) < count:
            client = Client(self.port)
            self.clients[client.socket.fileno()] = client
            self.resting.append(client)
            self.ready.register(client.socket, select.EPOLLIN)
            # In pieces whose answers fit the sockets' buffers: nobody reads while this sends.
            for start in range(0, len(statements), 500):
                piece = b"".join(message(b"P", *texts(*each), b"\0\0") for each in statements[start:start + 500])
                client.socket.sendall(piece + message(b"S"))
                client.answer()
            client.socket.settimeout(None)  # epoll tells; with a timeout Python asks once more each time

    def run(self, busy, requests, seconds=None, count=None):
        """Keeps `busy` clients asking for so long, or so often; the number of transactions."""
        started, sent, done = time.monotonic(), 0, 0
        for _ in range(busy):
            self._ask(requests)
            sent += 1
        while done < sent:
            more = sent < count if count else time.monotonic() - started < seconds
            events = self.ready.poll(30)
            if not events:
                raise TimeoutError(f"{sent - done} answers did not come")
            for descriptor, _ in events:
                client = self.clients[descriptor]
                if not is_whole(client):
                    continue
                done += 1
                self.resting.append(client)
                if more:
                    self._ask(requests)
                    sent += 1
        return done

    def close(self):
        for client in self.clients.values():
            client.close()
        self.ready.close()

    def _ask(self, requests):
        """One who rests is drawn, and sends one of the requests."""
        drawn = self.random.randrange(len(self.resting))
        self.resting[drawn], self.resting[-1] = self.resting[-1], self.resting[drawn]
        self.resting.pop().socket.sendall(self.random.choice(requests))


def is_whole(client):
    """Whether the answer has come to its end. It is of a few bytes, written at once by PostgreSQL and by every proxy here."""
    got = client.socket.recv(16384)
    if not got:
        raise ConnectionError("closed by the server")
    if got[:1] == b"E":
        raise ConnectionError(got.decode(errors="replace"))
    return got.endswith(READY)


def execution(name, parameter):
    """Bind with one text parameter, Execute, Sync."""
    value = str(parameter).encode()
    bind = message(b"B", b"\0", *texts(name), struct.pack("!HHI", 0, 1, len(value)), value, b"\0\0")
    return bind + message(b"E", b"\0", struct.pack("!I", 0)) + message(b"S")


def message(kind, *parts):
    body = b"".join(parts)
    return kind + struct.pack("!I", len(body) + 4) + body


def texts(*each):
    return [text.encode() + b"\0" for text in each]
