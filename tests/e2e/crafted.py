#!/usr/bin/env python3
"""crafted.py - packets made to break coalescing and segmentation, and the proof that each came through as it was.

usage: crafted.py send IFNAME EXPECTED [PID]   sends bursts; PID is stopped meanwhile, so that a burst is read at once
       crafted.py count                        how many packets the bursts are
       crafted.py capture IFNAME FILE COUNT    writes what arrives, joined packets cut again, until COUNT came or 5 s of silence
       crafted.py compare EXPECTED FILE [apart]
                                               flow by flow: the same packets, in the same order; `apart`: fragments of IPv4
                                               are flows of their own (they show no ports: another worker may have them)

A line is a packet: its flow, then its bytes in hex.  The identification of an IPv4 packet under DF is left out: it means
nothing (RFC 6864 4.1).
"""
import os
import random
import signal
import socket
import struct
import sys
import time

A4, B4 = bytes([10, 78, 0, 1]), bytes([10, 78, 0, 2])
A6, B6 = socket.inet_pton(socket.AF_INET6, "fd78::1"), socket.inet_pton(socket.AF_INET6, "fd78::2")
TCP, UDP, ICMP = 6, 17, 1
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << i for i in range(8))
GSO_TCP4, GSO_UDP, GSO_TCP6, GSO_UDP_L4, GSO_ECN = 1, 3, 4, 5, 0x80
VNET = struct.Struct("<BBHHHH")
rng = random.Random(7)


def checksum(data, start=0):
    total = start
    if len(data) & 1:
        data += b"\0"
    total += sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def l4_checksum(v6, proto, l4):
    src, dst = (A6, B6) if v6 else (A4, B4)
    at = 16 if proto == TCP else 6
    l4 = l4[:at] + b"\0\0" + l4[at + 2:]
    pseudo = src + dst + (struct.pack("!IHBB", len(l4), 0, 0, proto) if v6 else struct.pack("!BBH", 0, proto, len(l4)))
    value = checksum(pseudo + l4)
    if proto == UDP and value == 0:
        value = 0xFFFF
    return l4[:at] + struct.pack("!H", value) + l4[at + 2:]


def ip(v6, proto, l4, tos=0, ttl=64, ident=1, frag=0x4000, label=0, options=b"", extension=b""):
    if v6:
        head = struct.pack("!IHBB", 6 << 28 | tos << 20 | label, len(extension) + len(l4), proto, ttl)
        if extension:
            head = head[:6] + bytes([extension[0]]) + head[7:]
            extension = bytes([proto]) + extension[1:]
        return head + A6 + B6 + extension + l4
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, tos, words * 4 + len(l4), ident, frag, ttl, proto, 0) + A4 + B4 + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + l4


def tcp(v6, port, seq, payload, flags=ACK, ack=1, window=500, options=b"", urgent=0, bad=False, **k):
    head = struct.pack("!HHIIBBHHH", port, 9, seq, ack, (5 + len(options) // 4) << 4, flags, window, 0, urgent) + options
    l4 = l4_checksum(v6, TCP, head + payload)
    if bad:
        l4 = l4[:16] + bytes([l4[16] ^ 0x55]) + l4[17:]
    return ip(v6, TCP, l4, **k)


def udp(v6, port, payload, bad=False, none=False, length=None, **k):
    l4 = l4_checksum(v6, UDP, struct.pack("!HHHH", port, 9, length or 8 + len(payload), 0) + payload)
    if bad or none:
        l4 = l4[:6] + (b"\0\0" if none else bytes([l4[6] ^ 0x55, l4[7]])) + l4[8:]
    return ip(v6, UDP, l4, **k)


def data(n):
    return rng.randbytes(n)


def tcp_run(v6, port, change=None, n=12, size=1000, **k):
    """n segments that could be joined; change(i) says what is different about number i."""
    seq, out = 0xFFFFE000, []  # the sequence number passes 2^32 on the way
    for i in range(n):
        own = dict(k)
        own.update(change(i) if change else {})
        length = own.pop("size", size)
        at = (seq + own.pop("shift", 0)) & 0xFFFFFFFF
        own.setdefault("ident", 100 + i)
        out.append(tcp(v6, port, at, data(length), **own))
        seq = (seq + length) & 0xFFFFFFFF
    return out


def udp_run(v6, port, change=None, n=12, size=800, **k):
    out = []
    for i in range(n):
        own = dict(k)
        own.update(change(i) if change else {})
        own.setdefault("ident", 100 + i)
        out.append(udp(v6, port, data(own.pop("size", size)), **own))
    return out


def at(where, **what):
    return lambda i: what if i == where else {}


def bursts(v6):
    stamp = lambda t: b"\x01\x01\x08\x0a" + struct.pack("!II", t, 7)
    runs = [
        tcp_run(v6, 1000),
        tcp_run(v6, 1001, at(5, flags=ACK | PSH)),
        tcp_run(v6, 1002, at(11, flags=ACK | FIN)),
        tcp_run(v6, 1003, at(5, flags=ACK | FIN)),
        tcp_run(v6, 1004, at(0, flags=SYN)),
        tcp_run(v6, 1005, at(5, flags=ACK | SYN)),
        tcp_run(v6, 1006, at(5, flags=RST)),
        tcp_run(v6, 1007, at(5, flags=ACK | URG, urgent=3)),
        tcp_run(v6, 1008, at(5, flags=ACK | ECE)),
        tcp_run(v6, 1009, at(5, flags=ACK | CWR)),
        tcp_run(v6, 1010, lambda i: {"flags": ACK | ECE}),
        tcp_run(v6, 1011, lambda i: {"options": stamp(50)}),
        tcp_run(v6, 1012, lambda i: {"options": stamp(50 + i // 4)}),
        tcp_run(v6, 1013, at(5, options=stamp(50))),
        tcp_run(v6, 1014, at(5, ack=2)),
        tcp_run(v6, 1015, at(5, window=501)),
        tcp_run(v6, 1016, at(5, shift=1)),
        tcp_run(v6, 1017, at(5, shift=-1000)),
        tcp_run(v6, 1018, at(5, bad=True)),
        tcp_run(v6, 1019, at(0, bad=True)),
        tcp_run(v6, 1020, at(5, size=999)),
        tcp_run(v6, 1021, at(5, size=1001)),
        tcp_run(v6, 1022, at(5, size=0)),
        tcp_run(v6, 1023, at(11, size=1)),
        tcp_run(v6, 1024, size=1),
        tcp_run(v6, 1025, size=7, n=90),
        tcp_run(v6, 1026, at(5, tos=3)),
        tcp_run(v6, 1027, lambda i: {"tos": 2}),
        tcp_run(v6, 1028, at(5, tos=0xB8)),
        tcp_run(v6, 1029, at(5, ttl=63)),
        udp_run(v6, 2000),
        udp_run(v6, 2001, at(5, size=799)),
        udp_run(v6, 2002, at(5, size=801)),
        udp_run(v6, 2003, at(5, size=0)),
        udp_run(v6, 2004, at(5, bad=True)),
        udp_run(v6, 2005, at(11, size=1)),
        udp_run(v6, 2006, at(5, tos=3)),
        udp_run(v6, 2007, at(5, length=400)),
        udp_run(v6, 2008, size=1, n=90),
    ]
    if v6:
        runs += [
            tcp_run(v6, 1100, at(5, label=99)),
            tcp_run(v6, 1101, at(5, extension=bytes([0, 0, 1, 4, 0, 0, 0, 0]))),
            udp_run(v6, 2100, at(5, label=99)),
        ]
    else:
        runs += [
            tcp_run(v6, 1200, at(5, frag=0)),
            tcp_run(v6, 1201, lambda i: {"frag": 0, "ident": 100 + i}),
            tcp_run(v6, 1202, lambda i: {"frag": 0, "ident": 100 + i * 2}),
            tcp_run(v6, 1203, lambda i: {"frag": 0, "ident": (65530 + i) & 0xFFFF or 1}),
            tcp_run(v6, 1204, at(5, options=b"\x02\x04\x05\xb4")),
            tcp_run(v6, 1205, at(5, frag=0x2000)),
            udp_run(v6, 2200, at(5, none=True)),
            udp_run(v6, 2201, lambda i: {"none": True}),
            udp_run(v6, 2202, at(5, frag=0x2001)),
            udp_run(v6, 2203, lambda i: {"frag": 0, "ident": 100 + i * 3}),
        ]
    yield from runs
    # more flows than are followed at once, packet by packet
    many = [tcp_run(v6, 3000 + p, n=8, size=500) for p in range(12)] + [udp_run(v6, 3100 + p, n=8, size=500) for p in range(12)]
    yield [flow[i] for i in range(8) for flow in many]
    # single packets between those of a flow
    yield [p for pair in zip(tcp_run(v6, 3200), tcp_run(v6, 3201, size=0)) for p in pair]


def supers(v6):
    """Super-packets as a local program would send them: (virtio header, packet)."""
    for n, size, flags, kind in [(5000, 1000, ACK, 0), (5001, 1000, ACK | PSH, 0), (3999, 1000, ACK | FIN | PSH, 0),
                                 (4000, 1300, ACK | CWR | ECE, GSO_ECN), (60000, 1360, ACK, 0), (64, 1, ACK, 0),
                                 (1001, 1000, ACK, 0), (999, 1000, ACK, 0)]:
        packet = tcp(v6, 4000 + n % 97, 0xFFFFF000, data(n), flags=flags, options=b"\x01\x01\x08\x0a" + data(8), ident=65533)
        yield gso_header(v6, TCP, packet, size if n > size else 0, kind), packet, size
    for n, size in [(8000, 800), (8001, 800), (799 * 3, 800), (64, 1), (50000, 1300)]:
        packet = udp(v6, 4500 + n % 89, data(n), ident=9)
        yield gso_header(v6, UDP, packet, size if n > size else 0, 0), packet, size


def head_len(v6, proto, packet):
    l3 = 40 if v6 else (packet[0] & 15) * 4
    return l3, l3 + (8 if proto == UDP else (packet[l3 + 12] >> 4) * 4)


def gso_header(v6, proto, packet, size, kind):
    l3, head = head_len(v6, proto, packet)
    if not size:
        return VNET.pack(0, 0, 0, 0, 0, 0)
    gso = {(False, TCP): GSO_TCP4, (True, TCP): GSO_TCP6}.get((v6, proto), GSO_UDP_L4)
    return VNET.pack(1, gso | kind, head, size, l3, 16 if proto == TCP else 6)


def cut(packet, gso, size):
    """What segmentation makes of a super-packet (our own words for it, to hold the others against)."""
    v6 = packet[0] >> 4 == 6
    proto = packet[6] if v6 else packet[9]
    if not gso & 0x7F:
        return [packet]
    l3, head = head_len(v6, proto, packet)
    body, out = packet[head:], []
    for i in range(0, len(body), size):
        part = body[i:i + size]
        l4 = bytearray(packet[l3:head] + part)
        if proto == TCP:
            l4[4:8] = struct.pack("!I", (struct.unpack("!I", packet[l3 + 4:l3 + 8])[0] + i) & 0xFFFFFFFF)
            if i + size < len(body):
                l4[13] &= ~(FIN | PSH) & 0xFF
            if i:
                l4[13] &= ~CWR & 0xFF
        else:
            l4[4:6] = struct.pack("!H", len(l4))
        l4 = l4_checksum(v6, proto, bytes(l4))
        top = bytearray(packet[:l3])
        if v6:
            top[4:6] = struct.pack("!H", len(l4))
        else:
            top[2:4] = struct.pack("!H", l3 + len(l4))
            top[4:6] = struct.pack("!H", (struct.unpack("!H", packet[4:6])[0] + i // size) & 0xFFFF)
            top[10:12] = b"\0\0"
            top[10:12] = struct.pack("!H", checksum(bytes(top)))
        out.append(bytes(top) + l4)
    return out


def line(packet):
    v6, fragment = packet[0] >> 4 == 6, ""
    if v6:
        proto, l3 = packet[6], 40
        if proto == 0:
            proto, l3 = packet[40], 48
    else:
        proto, l3 = packet[9], (packet[0] & 15) * 4
        if packet[6] & 0x3F or packet[7]:
            fragment = "/fragment"
        if packet[6] & 0x40:
            packet = packet[:4] + b"\0\0" + packet[6:10] + b"\0\0" + packet[12:]
    return "%d/%d/%s%s %s\n" % (6 if v6 else 4, proto, packet[l3:l3 + 2].hex(), fragment, packet.hex())


def send(ifname, expected, pid):
    out = open(expected, "w", encoding="ascii")
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
    count = 0
    for v6 in (False, True):
        to = (ifname, 0x86DD if v6 else 0x0800)
        for burst in bursts(v6):
            if pid:
                os.kill(pid, signal.SIGSTOP)
            for packet in burst:
                raw.sendto(VNET.pack(0, 0, 0, 0, 0, 0) + packet, to)
                out.write(line(packet))
                count += 1
            if pid:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.02)
        for vnet, packet, size in supers(v6):
            # A partial checksum: the pseudo header's sum, as the kernel would have put it.
            gso = VNET.unpack(vnet)[1]
            sealed = packet
            if gso:
                proto = packet[6] if v6 else packet[9]
                l3, _ = head_len(v6, proto, packet)
                where = l3 + (16 if proto == TCP else 6)
                n = len(packet) - l3
                pseudo = (A6 + B6 + struct.pack("!IBBBB", n, 0, 0, 0, proto)) if v6 else A4 + B4 + struct.pack("!BBH", 0, proto, n)
                sealed = packet[:where] + struct.pack("!H", ~checksum(pseudo) & 0xFFFF) + packet[where + 2:]
            raw.sendto(vnet + sealed, to)
            for part in cut(packet, gso, size):
                out.write(line(part))
                count += 1
            time.sleep(0.02)
    out.close()
    print(count)


def capture(ifname, path, count):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    s.setsockopt(263, 15, 1)
    s.bind((ifname, 3))
    print("ready", flush=True)
    s.settimeout(30)
    seen, joined = 0, 0
    with open(path, "w", encoding="ascii") as out:
        while seen < count:
            try:
                got, sender = s.recvfrom(1 << 17)
            except socket.timeout:
                break
            s.settimeout(5)
            if sender[2] == 4:  # PACKET_OUTGOING: the host's own answers
                continue
            _, gso, _, size, _, _ = VNET.unpack(got[:VNET.size])
            parts = cut(got[VNET.size:], gso, size)
            joined += len(parts) > 1
            for part in parts:
                text = line(part)
                if text.split("/")[1] in ("6", "17") and part[16 if part[0] >> 4 == 4 else 24:][:4] in (B4, B6[:4]):
                    out.write(text)
                    seen += 1
    print("packets %d joined %d" % (seen, joined))


def compare(expected, got, apart):
    def flows(path):
        by = {}
        for text in open(path, encoding="ascii"):
            flow, packet = text.split()
            if not apart:
                flow = flow.replace("/fragment", "")
            by.setdefault(flow, []).append(packet)
        return by

    want, have, bad = flows(expected), flows(got), 0
    for flow in sorted(set(want) | set(have)):
        a, b = want.get(flow, []), have.get(flow, [])
        if a == b:
            continue
        bad += 1
        first = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        what = "the same packets in another order" if sorted(a) == sorted(b) else "packet %d differs" % first
        print("flow %s: sent %d, arrived %d, %s\n  sent    %s\n  arrived %s" % (
            flow, len(a), len(b), what, a[first][:160] if first < len(a) else "-", b[first][:160] if first < len(b) else "-"))
    print("%d flows, %d differ" % (len(want), bad))
    return 1 if bad or not want else 0


def count():
    n = 0
    for v6 in (False, True):
        n += sum(len(burst) for burst in bursts(v6))
        n += sum(len(cut(packet, VNET.unpack(vnet)[1], size)) for vnet, packet, size in supers(v6))
    print(n)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    elif sys.argv[1] == "count":
        count()
    elif sys.argv[1] == "capture":
        capture(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(compare(sys.argv[2], sys.argv[3], sys.argv[4:] == ["apart"]))
