#!/usr/bin/env python3
"""Sends one text (with \\n for newlines) to a UAPI socket and prints the answer; keys are shortened.

usage: uapi_raw.py IFNAME TEXT
"""
import re
import socket
import sys

with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(10)
    s.connect(f"/var/run/wireguard/{sys.argv[1]}.sock")
    s.sendall(sys.argv[2].replace("\\n", "\n").encode())
    heard = b""
    while not heard.endswith(b"\n\n"):
        piece = s.recv(65536)
        if not piece:
            break
        heard += piece
print(re.sub(r"[0-9a-f]{56}(?=[0-9a-f]{8}\b)", "", heard.decode()).strip())
