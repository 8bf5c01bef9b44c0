#!/usr/bin/env python3
"""DNS servers that behave in a way each: dns_server.py ADDRESS=MANNER...

Manners: ok (192.0.2.7 for any name), slow (the same after 0.3 s), nxdomain, servfail, refused, silent, garbage, other_id,
tcp (cut off by UDP, whole by TCP).  Prints "ready" once all listen.
"""
import socket
import struct
import sys
import threading
import time


def answer(query, manner, tcp=False):
    ident, flags = struct.unpack(">HH", query[:4])
    end = query.index(b"\0", 12) + 5  # no compression in a question
    question = query[12:end]
    rcode = {"nxdomain": 3, "servfail": 2, "refused": 5}.get(manner, 0)
    cut = manner == "tcp" and not tcp
    count = 0 if rcode or cut else 1
    if manner == "other_id":
        ident ^= 1
    flags = 0x8080 | flags & 0x0100 | rcode | (0x0200 if cut else 0)
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 7])
    return struct.pack(">HHHHHH", ident, flags, 1, count, 0, 0) + question + record * count


def serve_udp(sock, manner):
    while True:
        query, peer = sock.recvfrom(4096)
        if manner == "silent":
            continue
        if manner == "slow":
            time.sleep(0.3)
        sock.sendto(b"garbage" if manner == "garbage" else answer(query, manner), peer)


def serve_tcp(listener, manner):
    while True:
        stream, _ = listener.accept()
        with stream:
            data = b""
            while len(data) < 2 or len(data) < 2 + struct.unpack(">H", data[:2])[0]:
                more = stream.recv(4096)
                if not more:
                    break
                data += more
            else:
                reply = answer(data[2:], manner, tcp=True)
                stream.sendall(struct.pack(">H", len(reply)) + reply)


for arg in sys.argv[1:]:
    address, manner = arg.split("=")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, 53))
    threading.Thread(target=serve_udp, args=(udp, manner), daemon=True).start()
    tcp = socket.create_server((address, 53))
    threading.Thread(target=serve_tcp, args=(tcp, manner), daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(3600)
