#!/usr/bin/env python3
"""Opens a TUN interface and the UAPI socket as a supervisor would, and runs a daemon on the descriptors.

usage: handover.py IFNAME tun|socket|both PROGRAM ARGUMENT...
"""
import fcntl
import os
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000

name, what = sys.argv[1:3]
if what in ("tun", "both"):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    os.set_inheritable(tun, True)
    os.environ["WG_TUN_FD"] = str(tun)
if what in ("socket", "both"):
    path = f"/var/run/wireguard/{name}.sock"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(16)
    listener.set_inheritable(True)
    os.environ["WG_UAPI_FD"] = str(listener.fileno())
os.execvp(sys.argv[3], sys.argv[3:])
