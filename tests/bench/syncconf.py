#!/usr/bin/env python3
"""The load of tests/bench/syncconf: SECRET IFACE KEY PEERS CHANGED ROUNDS DIR PID.

Fills the gateway with PEERS peers, KEY at 10.0.0.2 among them; once DIR/go is there, replaces CHANGED of the others in each
round, and prints how long each took, the median, the processor time of the gateway (process PID and its children), and what
a status and a dump of all of them take.
"""
import base64
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from agent_client import Agent  # noqa: E402

secret, iface, key, peers, changed, rounds, work, pid = sys.argv[1:]
peers, changed, rounds = int(peers), int(changed), int(rounds)
agent = Agent("https://127.0.0.1:8080", secret)


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


def ask(method, path, body=b""):
    started = time.monotonic()
    status, answer = agent.ask(method, path, body, {"whole": ""})
    took = (time.monotonic() - started) * 1000
    if status != 200:
        sys.exit(f"{method} {path}: {status} {answer[:300]!r}")
    return took, answer


def processor_ms():
    """User and system time of the gateway's processes until now."""
    total = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if pid in (stat.parent.name, fields[1]):
            total += int(fields[11]) + int(fields[12])
    return total * 1000 / os.sysconf("SC_CLK_TCK")


def sync(keys):
    text = "".join(f"[Peer]\nPublicKey = {k}\nAllowedIPs = 10.{i >> 16}.{i >> 8 & 255}.{i & 255}/32\n" for i, k in enumerate(keys, 2))
    body = json.dumps({"config": base64.b64encode(text.encode()).decode()}).encode()
    took, answer = ask("POST", f"/v1/wg/{iface}/syncconf", body)
    return took, json.loads(answer)


keys = [key] + [new_key() for _ in range(peers - 1)]
took, first = sync(keys)
print(f"syncconf, {peers} new peers: {took:.0f} ms")
pathlib.Path(work, "flows").touch()
while not pathlib.Path(work, "go").exists():
    time.sleep(0.1)
times, used = [], []
for r in range(rounds):
    for i in range(changed):
        keys[1 + (r * changed + i) % (peers - 1)] = new_key()
    before = processor_ms()
    took, answer = sync(keys)
    used.append(processor_ms() - before)
    assert answer["added"] == answer["removed"] == changed, answer
    times.append(took)
print(f"syncconf, {peers} peers with {changed} others: " + ", ".join(f"{t:.0f}" for t in times) + f" ms, median {statistics.median(times):.0f} ms")
print(f"  processor time of the gateway: median {statistics.median(used):.0f} ms")
print(f"/v1/status: median {statistics.median(ask('GET', '/v1/status')[0] for _ in range(9)):.1f} ms")
took, answer = ask("GET", f"/v1/wg/{iface}/dump")
print(f"/v1/wg/{iface}/dump: {took:.0f} ms, {len(answer) / 1e6:.1f} MB, {len(json.loads(answer)['peers'])} peers")
