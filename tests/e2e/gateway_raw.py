#!/usr/bin/env python3
"""gateway_raw.py SOCKET CASE [ARGUMENT ...] - speaks to the control socket byte by byte, as `qanat` never would.

Prints one line that gateway.sh compares; exits 1 when the gateway did not behave.
"""
import json
import os
import socket
import sys
import threading

path, case, args = sys.argv[1], sys.argv[2], sys.argv[3:]


def connected():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(60)
    s.connect(path)
    return s


def request(action, **params):
    return json.dumps({"module": "core", "action": action, "params": params}).encode() + b"\n"


def lines(s, n):
    """The next n answers."""
    f = s.makefile("rb")
    return [json.loads(f.readline() or b'{"code": "CLOSED"}') for _ in range(n)]


def code(answer):
    return "OK" if answer.get("success") else answer.get("code")


def send(data, then_close_write=False):
    s = connected()
    s.sendall(data)
    if then_close_write:
        s.shutdown(socket.SHUT_WR)
    return s


if case == "garbage":  # each of these is answered, and the connection goes on
    bad = [b"\n", b"{\n", b"null\n", b"\xff\xfe\n", b'{"module":"core"}\n', b"[" * 5000 + b"\n",
           b'{"module":"core","action":"server_status","params":{"a":1,"a":2}}\n']
    answers = lines(send(b"".join(bad) + request("latest_clients")), len(bad) + 1)
    print(" ".join(sorted({code(a) for a in answers[:-1]})), code(answers[-1]))
elif case == "too_long":  # answered once, then closed
    s = connected()
    try:
        s.sendall(b"x" * 200000)
    except OSError:
        pass  # it may stop reading before all was sent
    f = s.makefile("rb")
    print(code(json.loads(f.readline())), "closed" if f.read() == b"" else "open")
elif case == "pipeline":  # many requests in one write, answered in order, also after the write side was closed
    n = 500
    data = b"".join(request("latest_clients", count=i % 9 + 1) + request("nonsense%d" % i) for i in range(n))
    s = connected()
    threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
    answers = lines(s, 2 * n)
    good = all(code(a) == "OK" for a in answers[::2]) and all(
        a["metadata"]["action"] == "nonsense%d" % i for i, a in enumerate(answers[1::2]))
    print("in order" if good else "mixed up")
elif case == "half":  # half a request is no request
    s = send(request("add_client", client_name="half")[:-5])
    s.close()
    print(code(lines(send(request("latest_clients")), 1)[0]))
elif case == "gone":  # a whole request of a client that does not wait is carried out
    send(request("add_client", client_name=args[0])).close()
    print("sent")
elif case == "crowd":  # one connection too many is told so; the others go on
    crowd = [connected() for _ in range(64)]
    crowd[0].sendall(request("latest_clients"))
    first = code(lines(crowd[0], 1)[0])
    extra = connected()
    refused = extra.makefile("rb").readline()
    crowd[63].sendall(request("latest_clients"))
    last = code(lines(crowd[63], 1)[0])
    print(first, last, json.loads(refused)["error"])
elif case == "slow":  # someone who takes no answers does not hold up the others
    lazy = connected()
    lazy.setblocking(False)
    try:
        while True:
            lazy.send(request("server_status") * 100)
    except BlockingIOError:
        pass
    print(code(lines(send(request("latest_clients")), 1)[0]))
elif case == "add_many":  # FIRST COUNT: how many were added
    first, count = int(args[0]), int(args[1])
    s = connected()
    data = b"".join(request("add_client", client_name="m%d" % i) for i in range(first, first + count))
    threading.Thread(target=lambda: s.sendall(data)).start()
    print(sum(code(a) == "OK" for a in lines(s, count)))
elif case == "add_until_refused":  # prefix: "COUNT CODE ERROR"
    s, n = connected(), 0
    f = s.makefile("rb")
    while True:
        s.sendall(request("add_client", client_name="%s%d" % (args[0], n)))
        a = json.loads(f.readline())
        if code(a) != "OK":
            print(n, code(a), a["error"])
            break
        n += 1
elif case == "at_once":  # THREADS EACH: all added, all addresses different
    threads, each = int(args[0]), int(args[1])
    addresses = []

    def adder(t):
        s = connected()
        for i in range(each):
            s.sendall(request("add_client", client_name="t%d-%d" % (t, i)))
            a = lines(s, 1)[0]
            addresses.append(a["data"]["client"]["ip"] if a.get("success") else None)

    running = [threading.Thread(target=adder, args=(t,)) for t in range(threads)]
    for t in running:
        t.start()
    for t in running:
        t.join()
    print(len(addresses), len(set(addresses)), None in addresses)
elif case == "notify":  # SECONDS: listens as systemd does; prints what came until STOPPING=1
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(float(args[0]))
    got = []
    while not got or got[-1] != "STOPPING=1":
        got.append(s.recv(4096).decode())
        print(got[-1], flush=True)
    os.unlink(path)
else:
    sys.exit("unknown case " + case)
