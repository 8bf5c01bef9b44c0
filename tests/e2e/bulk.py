"""bulk.py - moves bytes between two hosts of an end-to-end test and says what arrived.

  bulk.py serve ADDRESS PORT         TCP: answers each connection with the SHA-256 of what it sent, or, after a
                                     line "get N SEED", sends N bytes; UDP: echoes each datagram. Until killed.
  bulk.py put ADDRESS PORT N         sends N bytes, compares hashes
  bulk.py get ADDRESS PORT N         receives N bytes, compares hashes
  bulk.py echo ADDRESS PORT SIZE...  sends datagrams of each size and waits for the same ones back

Ends with status 0 when everything arrived as it was sent, else 1 with a sentence.
"""
import hashlib
import os
import random
import socket
import sys
import threading
import time

CHUNK = 1 << 16


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def blocks(n, seed):
    rng = random.Random(seed)
    piece = rng.randbytes(CHUNK + 4099)  # shifted a little each time, so that no two blocks are alike
    at = 0
    while n:
        size = min(n, CHUNK)
        yield piece[at % 4099 : at % 4099 + size]
        at += 1
        n -= size


def tcp_client(c):
    with c, c.makefile("rb") as f:
        line = f.readline().decode().split()
        if line[0] == "get":
            for b in blocks(int(line[1]), line[2]):
                c.sendall(b)
            return
        h = hashlib.sha256()
        left = int(line[1])
        while left:
            b = f.read(min(left, CHUNK))
            if not b:
                return
            h.update(b)
            left -= len(b)
        c.sendall(h.hexdigest().encode())


def udp_echo(u):
    while True:
        data, peer = u.recvfrom(65536)
        try:
            u.sendto(data, peer)
        except OSError:
            pass


def serve(address, port):
    t = socket.socket(family_of(address), socket.SOCK_STREAM)
    t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    t.bind((address, port))
    t.listen(64)
    u = socket.socket(family_of(address), socket.SOCK_DGRAM)
    u.bind((address, port))
    threading.Thread(target=udp_echo, args=(u,), daemon=True).start()
    print("ready", flush=True)
    while True:
        c, _ = t.accept()
        threading.Thread(target=tcp_client, args=(c,), daemon=True).start()


def transfer(way, address, port, n):
    seed = str(random.getrandbits(64))
    c = socket.create_connection((address, port), timeout=60)
    want = hashlib.sha256()
    if way == "put":
        c.sendall(f"put {n}\n".encode())
        for b in blocks(n, seed):
            want.update(b)
            c.sendall(b)
        got = b""
        while len(got) < 64:
            b = c.recv(64)
            if not b:
                sys.exit("the connection ended before the answer")
            got += b
        return got.decode() == want.hexdigest()
    c.sendall(f"get {n} {seed}\n".encode())
    for b in blocks(n, seed):
        want.update(b)
    have = hashlib.sha256()
    left = n
    while left:
        b = c.recv(min(left, CHUNK))
        if not b:
            sys.exit(f"the connection ended {left} bytes early")
        have.update(b)
        left -= len(b)
    return have.hexdigest() == want.hexdigest()


def echo(address, port, sizes):
    u = socket.socket(family_of(address), socket.SOCK_DGRAM)
    u.connect((address, port))
    for size in sizes:
        sent = os.urandom(size)
        end = time.monotonic() + 20
        while True:
            u.settimeout(1)
            u.send(sent)
            try:
                if u.recv(65536) == sent:
                    break
            except socket.timeout:
                pass
            if time.monotonic() > end:
                sys.exit(f"a datagram of {size} bytes did not come back")
    return True


def main():
    what, address, port, rest = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    if what == "serve":
        serve(address, port)
    good = echo(address, port, map(int, rest)) if what == "echo" else transfer(what, address, port, int(rest[0]))
    if not good:
        sys.exit("what arrived is not what was sent")


main()
