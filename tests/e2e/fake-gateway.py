#!/usr/bin/python3
"""A control socket that answers as it is told, for tests of the command line.

usage: fake-gateway.py SOCKET [MODE]

MODE says what goes wrong: `hostile` names and messages with control sequences, `die` closes before
answering, `junk` answers what is no envelope, `big` exports more than a QR code holds, `slow` never
answers.  As `qanat-gateway` it takes that program's options and says "ready" on --ready-fd; then
the file STATE/mode is its MODE, and `deaf` ignores SIGTERM, `early` fails before it is ready,
`nohost` knows no endpoint.  With --clean-up it makes STATE/cleaned and ends.
"""
import json
import os
import signal
import socket
import sys
import time

CONFIG = """[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
Address = 10.8.0.2/24, fd00:70:68::2/64
DNS = 8.8.8.8, 1.1.1.1
MTU = 1420

[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
PresharedKey = FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=
Endpoint = 203.0.113.1:51820
AllowedIPs = 0.0.0.0/0, ::/0
PersistentKeepalive = 25
"""
mode = ""
clients = {}


def info(name, number):
    shown = name + "\x1b[31m\u202e" if mode == "hostile" else name
    entry = {"name": shown, "ip": f"10.8.0.{number + 2}", "enabled": number != 2,
             "created": f"2025-01-30T10:15:{number:02}", "connected": number == 0}
    if number == 0:
        entry["connection"] = {"latest_handshake": "1 minute ago", "transfer_rx": "1.2 GB",
                               "transfer_tx": "450 MB"}
    return entry


def act(action, params):
    name = params.get("client_name")
    if action == "add_client":
        if name in clients:
            return "CLIENT_EXISTS", f"client '{name}' exists already"
        clients[name] = len(clients)
        return {"client": {"name": name, "ip": "10.8.0.2", "public_key": "K=", "enabled": True,
                           "created": "2025-01-30T10:15:00"},
                "message": f"Client '{name}' added successfully"}
    if action == "list_clients":
        found = [info(n, i) for n, i in clients.items() if params.get("search", "") in n]
        return {"total": len(found), "clients": found[:params.get("per_page", 10)],
                "pagination": {"page": 1, "per_page": 10, "total_pages": 1, "has_next": False,
                               "has_prev": False, "showing_from": 1, "showing_to": len(found)}}
    if action == "export_client" and mode == "nohost":
        return "CONFIG_ERROR", "the address of this gateway is not known"
    if action == "export_client":
        if name not in clients:
            text = f"no client '{name}'" + ("\x1b[2J" if mode == "hostile" else "")
            return "CLIENT_NOT_FOUND", text
        return {"client": {"name": name, "private_key": "SECRET", "preshared_key": "SECRET"},
                "config": CONFIG * (20 if mode == "big" else 1)}
    if action == "server_status":
        return {"service": {"running": True, "service_name": "qanat-gateway"},
                "configuration": {"interface": "wg_main", "network": "10.8.0.0/24"},
                "drops": {"replay": 7, "no_peer": 0}, "weather": {"sky": "clear"}}
    return {"echo": params}


def serve(connection):
    line = b""
    while not line.endswith(b"\n"):
        got = connection.recv(65536)
        if not got:
            return
        line += got
    request = json.loads(line)
    if mode == "die":
        return
    if mode == "slow":
        time.sleep(3600)
    if mode == "junk":
        connection.sendall(b"220 mail.example ESMTP\n")
        return
    result = act(request["action"], request["params"])
    answer = {"success": isinstance(result, dict),
              "metadata": {"module": request["module"], "action": request["action"],
                           "timestamp": "2025-01-30T10:15:00.000000Z", "version": "core-v1"}}
    if isinstance(result, dict):
        answer["data"] = result
    else:
        answer["code"], answer["error"] = result
    connection.sendall(json.dumps(answer).encode() + b"\n")


def listen(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        os.unlink(path)
    listener.bind(path)
    listener.listen(16)
    return listener


def accept(listener):
    while True:
        connection, _ = listener.accept()
        with connection:
            serve(connection)


def stop(*_):
    print("fake gateway stops", flush=True)
    os._exit(0)


def gateway(argv):
    """Stands in for qanat-gateway."""
    global mode
    clean_up = "--clean-up" in argv
    argv = [a for a in argv if a != "--clean-up"]
    options = dict(zip(argv[::2], argv[1::2]))
    state = options["--state"]
    if clean_up:
        open(f"{state}/cleaned", "a").close()
        sys.exit(0)
    with open(f"{state}/args", "w") as out:
        out.write(" ".join(argv) + "\n")
    with open(f"{state}/pids", "a") as out:
        out.write(f"{os.getpid()}\n")
    if os.path.exists(f"{state}/mode"):
        mode = open(f"{state}/mode").read().strip()
    if mode == "early":
        print("fake gateway: port in use", file=sys.stderr)
        sys.exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else stop)
    if os.path.exists(f"{state}/clients"):
        clients["old"] = 0
    listener = listen(options["--socket"])
    os.write(int(options["--ready-fd"]), b"ready\n")
    os.close(int(options["--ready-fd"]))
    accept(listener)


if os.path.basename(sys.argv[0]) == "qanat-gateway":
    gateway(sys.argv[1:])
mode = sys.argv[2] if len(sys.argv) > 2 else ""
for i, n in enumerate(["laptop", "phone", "tablet"]):
    clients[n] = i
signal.signal(signal.SIGTERM, stop)
accept(listen(sys.argv[1]))
