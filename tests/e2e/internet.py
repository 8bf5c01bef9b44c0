#!/usr/bin/env python3
"""The "internet" of the end-to-end tests: an HTTP server that serves and takes blobs, and a DNS server.

usage: internet.py HTTP_PORT DNS_ADDRESS

GET /blob/N answers N bytes of a fixed pseudo-random stream; GET /hash/N its SHA-256; PUT /up answers the SHA-256 of the
body; GET /ip the caller's address.  The DNS server answers A and AAAA of every name below "test" with its own address
198.51.100.2 or 2001:db8:2::2, everything else with NXDOMAIN.
"""
import hashlib
import http.server
import socket
import socketserver
import struct
import sys
import threading

CHUNK = hashlib.sha256(b"qanat").digest() * 2048  # 64 KiB


def stream(size):
    number = 0
    while size > 0:
        piece = (struct.pack(">Q", number) + CHUNK)[:min(size, len(CHUNK))]
        yield piece
        size -= len(piece)
        number += 1


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        kind, _, size = self.path.strip("/").partition("/")
        if kind == "blob":
            self.send_response(200)
            self.send_header("Content-Length", size)
            self.end_headers()
            for piece in stream(int(size)):
                self.wfile.write(piece)
        elif kind == "hash":
            total = hashlib.sha256()
            for piece in stream(int(size)):
                total.update(piece)
            self.answer(total.hexdigest().encode())
        elif kind == "ip":
            self.answer(self.client_address[0].encode())
        else:
            self.send_error(404)

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        total = hashlib.sha256()
        while left > 0:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                return
            total.update(piece)
            left -= len(piece)
        self.answer(total.hexdigest().encode())


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    allow_reuse_address = True


def dns(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))
    while True:
        query, sender = sock.recvfrom(1500)
        end, labels = 12, []
        while query[end]:
            labels.append(query[end + 1:end + 1 + query[end]])
            end += query[end] + 1
        question = query[12:end + 5]
        qtype = struct.unpack(">H", query[end + 1:end + 3])[0]
        known = labels and labels[-1].lower() == b"test"
        data = {1: socket.inet_aton("198.51.100.2"), 28: socket.inet_pton(socket.AF_INET6, "2001:db8:2::2")}.get(qtype)
        answers = 1 if known and data else 0
        head = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, answers, 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", qtype, 1, 60, len(data)) + data if answers else b""
        sock.sendto(head + question + record, sender)


threading.Thread(target=dns, args=(sys.argv[2],), daemon=True).start()
Server(("::", int(sys.argv[1])), Handler).serve_forever()
