#!/usr/bin/python3
"""Counts UDP datagrams from one end to the other, for tests of limits.

usage: udp_count.py sink ADDRESS PORT FILE      writes "packets bytes" to FILE when a second of silence follows
                                               the last, or five when there is none
       udp_count.py send ADDRESS PORT SIZE N    N datagrams in inner IPv4 packets of SIZE bytes, a few at a time
       udp_count.py flood ADDRESS PORT SIZE S   as many as go in S seconds; prints how many
"""
import os
import socket
import sys
import time

HEADERS = 28  # of IPv4 and UDP
SO_RCVBUFFORCE = 33  # Python has no name for it


def sink(address, port, name):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    s.bind((address, port))
    s.settimeout(5)
    print("ready", flush=True)
    packets = total = 0
    while True:
        try:
            n = len(s.recv(65536))
        except TimeoutError:
            break
        packets += 1
        total += n + HEADERS
        s.settimeout(1)
    with open(name + ".new", "w") as f:
        print(packets, total, file=f)
    os.rename(name + ".new", name)


def send(address, port, size, count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(count):
        s.sendto(bytes(size - HEADERS), (address, port))
        if i % 8 == 7:
            time.sleep(0.005)  # a small queue on the way is enough


def flood(address, port, size, seconds):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        s.sendto(bytes(size - HEADERS), (address, port))
        n += 1
    print(n)


what, where, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
if what == "sink":
    sink(where, port, sys.argv[4])
elif what == "send":
    send(where, port, int(sys.argv[4]), int(sys.argv[5]))
else:
    flood(where, port, int(sys.argv[4]), float(sys.argv[5]))
