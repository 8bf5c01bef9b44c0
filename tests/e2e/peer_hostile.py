#!/usr/bin/env python3
"""peer_hostile.py - what no library sends: bytes of one's own to the peer API, over TLS.

usage: peer_hostile.py URL KEY requests        prints "NAME: STATUS..." for each of a table of requests
       peer_hostile.py URL KEY slow            the same for clients that are too slow (some 10 s)
       peer_hostile.py URL KEY rate            many requests at once: prints each status, and the last Retry-After
       peer_hostile.py URL KEY reload PID      SIGHUP while connections are open and a body is half sent
       peer_hostile.py URL KEY stop PID        SIGTERM while a body is half sent
"""
import base64
import hashlib
import os
import re
import signal
import socket
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit

from peer_client import sign

CREATE, STATUS = "/api/v1/configurations/", "/api/v1/server/status"
url, key = urlsplit(sys.argv[1]), sys.argv[2]


def connect(tls=True):
    s = socket.create_connection((url.hostname, url.port), timeout=40)
    return ssl._create_unverified_context().wrap_socket(s) if tls else s


def body():
    return b'{"public_key": "%s", "request_id": "h%d"}' % (base64.b64encode(os.urandom(32)), time.time_ns())


def head(method, path, content=b"", extra=(), version="1.1", length=None, host=True):
    """A signed head.  `length` is sent instead of the right one; False: none is."""
    lines = [f"{method} {path} HTTP/{version}"] + ["Host: gateway"] * host
    if content and length is not False:
        lines.append(f"Content-Length: {len(content) if length is None else length}")
    lines += [f"{k}: {v}" for k, v in sign({"key": key, "form": "whole"}, method, path, content).items()]
    return "\r\n".join([*lines, *extra, "", ""]).encode()


def answers(s, of=rb"HTTP/1\.1 (\d+) "):
    """What comes until the end: "200 200 closed", or "open" when it stays so; or other words than the statuses."""
    got = b""
    try:
        while piece := s.recv(65536):
            got += piece
        end = "closed"
    except TimeoutError:
        end = "open"
    except OSError:
        end = "closed"
    return " ".join([*(m.decode() for m in re.findall(of, got)), end])



def requests():
    b, close = body(), ("Connection: close",)
    get = head("GET", STATUS)
    rows = [
        ("three at once", b"".join(head("GET", STATUS, extra=(f"X-Request-ID: n{i}", *close[i < 2:])) for i in range(3))),
        ("HTTP/1.0, no Host", head("GET", STATUS, version="1.0", host=False)),
        ("HTTP/1.1, no Host", head("GET", STATUS, host=False)),
        ("HTTP/3.0", head("GET", STATUS, version="3.0")),
        ("HTTP/2 without ALPN", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a length too small", head("POST", CREATE, b, close, length=len(b) - 1) + b),
        ("a length below 0", head("POST", CREATE, b, length=-1) + b),
        ("a length beyond numbers", head("POST", CREATE, b, length=1 << 64) + b),
        ("two lengths", head("POST", CREATE, b, (f"Content-Length: {len(b)}",)) + b),
        ("length and chunks", head("POST", CREATE, b, ("Transfer-Encoding: chunked",)) + b),
        ("chunks", head("POST", CREATE, b, ("Transfer-Encoding: chunked", *close), length=False)
         + b"%x\r\n%s\r\n0\r\n\r\n" % (len(b), b)),
        ("10 MB declared", head("POST", CREATE, b, length=10_000_000)),
        ("65536 bytes", head("POST", CREATE, b"x" * 65536, close) + b"x" * 65536),
        ("65537 bytes", head("POST", CREATE, b"x" * 65537) + b"x" * 65537),
        ("a long head", get[:-2] + b"X: " + b"a" * 20000 + b"\r\n\r\n"),
        ("many headers", get[:-2] + b"X: a\r\n" * 100 + b"\r\n"),
        ("LF alone", get[:-2] + b"X: a\nY: b\r\n\r\n"),
        ("a folded header", get[:-2] + b"X: a\r\n b\r\n\r\n"),
        ("two signatures", get[:-2] + b"X-Qanat-Signature: 00\r\nConnection: close\r\n\r\n"),
        ("another method", head("PATCH", STATUS, extra=close)),
        ("an unknown method", head("BREW", STATUS)),
        ("dots", head("GET", "/api/v1/x/../server/status", extra=close)),
        ("another host in the target", head("GET", "https://x" + STATUS, extra=close)),
        ("noise", bytes(range(1, 200)) + b"\r\n\r\n"),
    ]
    with connect() as s:
        s.sendall(rows[0][1])
        print(f"in their order: {answers(s, rb'x-request-id: (n.)')}")
    for name, data in rows[1:]:
        with connect() as s:
            try:
                s.sendall(data)
            except OSError:
                pass  # answered and closed before all of it was taken
            print(f"{name}: {answers(s)}")


def trickle(s, data):
    try:
        for i in range(len(data)):
            s.sendall(data[i:i + 1])
            time.sleep(0.5)
    except OSError:
        pass


def slow():
    b = body()

    def row(name, first, rest, tls=True):
        with connect(tls) as s:
            s.sendall(first)
            sender = threading.Thread(target=trickle, args=(s, rest), daemon=True)
            sender.start()
            out[name] = answers(s)

    out = {}
    rows = [("a slow head", b"GET ", head("GET", STATUS)), ("a slow body", head("POST", CREATE, b), b),
            ("a body that stops", head("POST", CREATE, b) + b[:-1], b""), ("no TLS", b"", b"", False)]
    threads = [threading.Thread(target=row, args=r) for r in rows]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for r in rows:
        print(f"{r[0]}: {out[r[0]]}")


def rate():
    """One write, so that all are there at one time; the last ones ask for what is not there."""
    with connect() as s:
        s.sendall(b"".join(head("GET", STATUS if i < 4 else f"/{i}") for i in range(8)))
        got = b""
        while got.count(b"HTTP/1.1 ") < 8 and (piece := s.recv(65536)):
            got += piece
    print(*(m.decode() for m in re.findall(rb"HTTP/1\.1 (\d+) ", got)), *(m.decode() for m in
          re.findall(rb"retry-after: (\d+)", got)[-1:]))


def fingerprint(s):
    return hashlib.sha256(s.getpeercert(True)).hexdigest()


def one(s, data):
    s.sendall(data)
    return s.recv(12)[9:].decode()


def reload(pid):
    kept, half, content = connect(), connect(), body()
    before = fingerprint(kept), one(kept, head("GET", STATUS))
    while kept.pending():
        kept.recv(65536)
    half.sendall(head("POST", CREATE, content) + content[:-5])
    os.kill(pid, signal.SIGHUP)
    end = time.time() + 30
    changed = False
    while not changed and time.time() < end:
        with connect() as s:
            changed = fingerprint(s) != before[0]
        time.sleep(0.05)
    print(f"changed: {changed}, kept: {before[1]} {one(kept, head('GET', STATUS))}, half sent: {one(half, content[-5:])}")


def stop(pid):
    half, content, began = connect(), body(), time.time()
    half.sendall(head("POST", CREATE, content) + content[:-5])
    os.kill(pid, signal.SIGTERM)
    refused = False
    while not refused and time.time() < began + 1:
        try:
            socket.create_connection((url.hostname, url.port), timeout=1).close()
        except ConnectionRefusedError:
            refused = True
        except OSError:
            pass
        time.sleep(0.01)
    got = one(half, content[-5:])
    late = time.time() - began > 1.5  # of the two seconds there are; this machine is too busy to tell
    print("late" if late else f"new ones refused: {refused}, half sent: {got}")


{"requests": requests, "slow": slow, "rate": rate, "reload": reload, "stop": stop}[sys.argv[3]](*map(int, sys.argv[4:]))
