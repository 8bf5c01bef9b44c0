#!/usr/bin/env python3
"""The rounds of tests/e2e/kill_loop.sh, inside of the gateway's network namespace.

usage: kill_loop.py BIN WORK IFACE [-n ROUNDS] [-s SEED] [-x OPTION]... [-r ROUND]

WORK/state is a small file system of its own.  A round begins with a gateway that runs.  It is asked for a new configuration
(PUT config) or another subnet (core change_subnet), while clients are made and removed through all three interfaces; it ends by
SIGKILL, at a random moment, at a named point or the k-th of all points of a build with fault points, or at a system
call (with strace), or it meets an error there, or a disk that is full.  Then it is started again, and what store, device and
host say is compared with what was answered.  Prints one line, or says what is wrong and ends with status 1.
"""
import argparse
import base64
import collections
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import random
import re
import secrets
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time

AGENT, PEERS = 8080, 8000
NETS = ("10.8.0", "10.9.0")
ROUTE = "198.51.100.0/24"
FORMS = ({"listen_port": 51830, "mtu": 1390, "post_up": f"ip route add {ROUTE} dev %i", "pre_down": f"ip route del {ROUTE}"},
         {"listen_port": 51831, "mtu": 1410, "post_up": "", "pre_down": ""})
# Where a change may be cut.  Each round takes one of these, or the k-th passing of any.
POINTS = ["agent.stored", "agent.device", "agent.net", "agent.hooks", "agent.verify", "agent.committed", "agent.peer",
          "subnet.backup", "subnet.stored", "subnet.peer", "subnet.applied", "subnet.verify", "subnet.committed",
          "peers.inserted", "peers.live", "peers.committed", "add.inserted", "add.live", "add.committed",
          "remove.deleted", "remove.live", "remove.committed", "db.begin", "db.write", "db.commit", "db.committed",
          "file.write", "file.fsync", "file.rename", "net.journal", "net.address", "net.link", "net.nft", "net.route", "net.sysctl",
          "net.hook"]
SYSCALLS = ["fdatasync", "fsync", "pwrite64", "rename", "mkdir", "sendmsg", "sendto", "unlink", "ftruncate", "write"]
CLIENTS_MAX = 60
FILES = re.compile(r"gateway\.db(-wal|-shm)?|key|store\.lock|net\.journal(\.reserve)?|tls|tls/(cert|key)\.pem|backups|backups/subnet_change_\d+"
                   r"|backups/subnet_change_\d+/(wg_main\.conf|phantom\.json|clients\.db|firewall_rules\.json|backup_metadata\.json)")


class Wrong(Exception):
    """What must hold does not."""


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout


class Gateway:
    """One process of it, with its connections."""

    def __init__(self, args, env, strace=None, wait_s=60):
        work = pathlib.Path(args.work)
        self.args, self.conns, self.log = args, {}, work / "gateway.log"
        self.born = []  # its processes while it was whole, for whose end a supervisor waits
        r, w = os.pipe()
        argv = [f"{args.bin}/qanat-gateway", "--state", f"{work}/state", "--socket", f"{work}/run/control.sock", "--interface", args.iface,
                "--endpoint", "192.0.2.1", "--peer-api-listen", f"127.0.0.1:{PEERS}", "--agent-api-host", f"127.0.0.1:{AGENT}",
                "--agent-api-rate", "1000000", "--peer-api-rate", "1000000", "--ready-fd", str(w)] + args.option
        if strace:
            argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={strace[0]}", "-e",
                    f"inject={strace[0]}:signal=KILL:when={strace[1]}"] + argv
        started = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[w],
                                            env={**os.environ, **env}, start_new_session=True)
        os.close(w)
        os.set_blocking(r, False)
        self.ready = False
        while time.monotonic() - started < wait_s:
            self.born = self.family()
            try:
                data = os.read(r, 16)
                self.ready = bool(data)
                break
            except BlockingIOError:
                time.sleep(0.002)
        os.close(r)
        args.starts.append(time.monotonic() - started)
        if self.ready:
            self.born = self.family()
        else:
            self.kill()

    def text(self):
        return self.log.read_text(errors="replace")[-3000:]

    def family(self):
        """Its processes: itself and its children."""
        out, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            out.append(pid)
            try:  # the first thread's children come first
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    todo += [int(p) for p in (task / "children").read_text().split()]
            except OSError:
                pass
        return out

    def alive(self):
        return self.process.poll() is None

    @staticmethod
    def runs(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    def reap(self, family, ends_s=10):
        """Waits for its end and that of all it had started."""
        self.process.wait(30)
        end = time.monotonic() + ends_s
        left = [p for p in family if p != self.process.pid and self.runs(p)]
        while left and time.monotonic() < end:
            time.sleep(0.005)
            left = [p for p in left if self.runs(p)]
        for c in self.conns.values():
            c.close()
        if left:
            raise Wrong(f"processes {left} are left of a gateway that was killed")

    def kill(self, wait=True):
        """Ends it, and waits for all of it or for the first process alone; returns the others."""
        family = set(self.family() + self.born)
        self.strike()
        self.process.wait(30)
        if wait:
            self.reap(family)
        return family

    def strike(self, pid=None):
        """SIGKILL to one of its processes, or to the one that was started.  strace is none of them."""
        if not self.alive():
            return
        family = self.family()[1 if self.process.args[0] == "strace" else 0:] or [self.process.pid]
        try:
            os.kill(pid or family[0], signal.SIGKILL)
        except ProcessLookupError:
            pass

    def replaced(self, family):
        """Whether its processes end, or start again, as they must when one of the `family` has died."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if not self.alive() or not set(family) <= set(self.family()):
                return True
            time.sleep(0.005)
        return False

    def stop(self):
        family = self.family()
        self.process.terminate()
        self.process.wait(30)
        self.reap(family)
        return self.process.returncode

    # ---- asking ----

    def https(self, port, method, path, body=None, who=0):
        """(status, object); status 0: the connection broke, so it is not known whether it was done."""
        raw = json.dumps(body).encode() if body is not None else b""
        stamp, nonce = str(int(time.time())), secrets.token_hex(16)
        text = "\n".join(["QANAT1-HMAC-SHA256", method, path, "", hashlib.sha256(raw).hexdigest(), stamp, nonce]).encode()
        headers = {"X-Qanat-Signature": hmac.new(self.args.secret.encode(), text, hashlib.sha256).hexdigest(),
                   "X-Qanat-Timestamp": stamp, "X-Qanat-Nonce": nonce, "Content-Type": "application/json"}
        try:
            c = self.conns.get((port, who))
            if not c:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                c = self.conns[(port, who)] = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
            c.request(method, path, body=raw or None, headers=headers)
            r = c.getresponse()
            answer = r.read()
            if r.will_close:
                self.conns.pop((port, who)).close()
            return r.status, json.loads(answer)
        except (OSError, http.client.HTTPException):
            self.conns.pop((port, who), None)
            return 0, {}

    def core(self, action, **params):
        """(code, data): code "OK", one of the API's, or "" when the connection broke."""
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(60)
                s.connect(f"{self.args.work}/run/control.sock")
                s.sendall(json.dumps({"module": "core", "action": action, "params": params}).encode() + b"\n")
                answer = b""
                while not answer.endswith(b"\n"):
                    piece = s.recv(65536)
                    if not piece:
                        return "", {}
                    answer += piece
        except OSError:
            return "", {}
        answer = json.loads(answer)
        return ("OK", answer["data"]) if answer["success"] else (answer["code"], {"error": answer["error"]})


class Model:
    """What was answered: `sure` holds, `maybe` was under way when the gateway died."""

    def __init__(self):
        self.form = {1}
        self.net = {0}
        self.clients = {}  # name: address
        self.maybe_new, self.maybe_gone = set(), {}  # names; name: address
        self.moved = {}  # by the change of this round, when it was answered: old address: new one
        self.lock = threading.Lock()
        self.acknowledged = 0


class Loop:
    def __init__(self, args):
        self.args, self.m, self.rng = args, Model(), random.Random()
        self.state = pathlib.Path(args.work, "state")
        self.how = collections.Counter()
        self.times = {"put": 0.05, "subnet": 0.05}
        self.own_key = None
        self.refused = None  # the first answer of this round that was a failure
        self.g = None

    # ---- changes ----

    def took(self, op, answered, status, detail, allowed, begun):
        if not answered:
            return "broken"
        if status in (200, "OK"):
            self.times[op] = 0.8 * self.times[op] + 0.2 * (time.monotonic() - begun)
            return "done"
        if status not in allowed:
            raise Wrong(f"{op}: {status} {detail}")
        self.refused = self.refused or f"{op}: {status} {detail}"
        return "refused"

    def put(self, may_fail):
        to, begun = 1 - min(self.m.form), time.monotonic()
        status, a = self.g.https(AGENT, "PUT", f"/v1/wg/{self.args.iface}/config", {"private_key": self.own_key, **FORMS[to]})
        end = self.took("put", status, status, a, (400, 500, 503, 507) if may_fail else (), begun)  # 400: a command
        self.m.form = {to} if end == "done" else {1 - to, to} if end == "broken" else {1 - to}

    def subnet(self, may_fail):
        to, begun = 1 - min(self.m.net), time.monotonic()
        code, a = self.g.core("change_subnet", new_subnet=f"{NETS[to]}.0/24", confirm=True)
        end = self.took("subnet", code, code, a, ("NETWORK_ERROR", "DATABASE_ERROR", "INTERNAL_ERROR", "SERVICE_ERROR",
                                                 "CONFIG_ERROR") if may_fail else (), begun)
        self.m.net = {to} if end == "done" else {1 - to, to} if end == "broken" else {1 - to}
        self.m.moved = a["ip_mapping"] if end == "done" else {}

    @staticmethod
    def number(address):
        return int(address.rpartition(".")[2])

    def add(self, rng, may_fail, who):
        key = base64.b64encode(rng.randbytes(31) + b"\x01").decode()
        how = rng.randrange(3)
        name = "peer-" + key.replace("+", "-").replace("/", "_")[:43] if how == 0 else f"{'peer' if how == 1 else 'core'}{rng.randrange(10**12)}x"
        with self.m.lock:
            self.m.maybe_new.add(name)
        address = None
        if how == 0:
            status, a = self.g.https(AGENT, "POST", f"/v1/wg/{self.args.iface}/peers", {"public_key": key}, who)
            if status == 200:
                address = a["peer"]["allowed_ips"][0].removesuffix("/32")
        elif how == 1:
            status, a = self.g.https(PEERS, "POST", "/api/v1/configurations/", {"public_key": key, "request_id": name, "protocol": "ipv4",
                                                                               "dns": "d1", "port": 51820}, who)
            if status == 200:
                address = a["assigned_ip"]
        else:
            status, a = self.g.core("add_client", client_name=name)
            if status == "OK":
                address = a["client"]["ip"]
        with self.m.lock:
            if address:
                self.m.clients[name] = address
                self.m.acknowledged += 1
            if status:
                self.m.maybe_new.discard(name)
        if not address and status:
            self.refused = self.refused or f"add {name}: {status} {a}"
            if not may_fail:
                raise Wrong(self.refused)
        return bool(status)

    def remove(self, rng, may_fail, who):
        with self.m.lock:
            name = rng.choice(sorted(self.m.clients))
            address = self.m.maybe_gone[name] = self.m.clients.pop(name)
        if name.startswith("peer-"):
            key = name[5:] + "%3D"
            status, a = self.g.https(AGENT, "DELETE", f"/v1/wg/{self.args.iface}/peers/{key}", None, who)
            gone = status == 200
        else:
            status, a = self.g.core("remove_client", client_name=name)
            gone = status == "OK"
        with self.m.lock:
            if status:
                self.m.maybe_gone.pop(name)
            if status and not gone:
                self.m.clients[name] = address
        if status and not gone:
            self.refused = self.refused or f"remove {name}: {status} {a}"
            if not may_fail:
                raise Wrong(self.refused)
        return bool(status)

    def crowd(self, seed, may_fail, until, failures):
        """Clients come and go until `until` is set or nobody answers."""
        rng = random.Random(seed)
        try:
            while not until.is_set():
                with self.m.lock:
                    n = len(self.m.clients)
                if not (self.remove if n and rng.random() < (0.7 if n > CLIENTS_MAX else 0.25) else self.add)(rng, may_fail, 1):
                    break
        except Exception as e:  # told by the main thread
            failures.append(e)

    # ---- what is ----

    def look(self):
        """Compares store, device and host with each other and with what was answered, which is then known."""
        g, m, iface = self.g, self.m, self.args.iface
        status, a = g.https(AGENT, "GET", f"/v1/wg/{iface}/config")
        if status != 200:
            raise Wrong(f"GET config: {status} {a}")
        c = a["config"]
        self.own_key = c["private_key"]
        form = [i for i, f in enumerate(FORMS) if all((c[k] or "") == f[k] for k in f)]
        if len(form) != 1 or form[0] not in m.form:
            raise Wrong(f"the configuration is none of {m.form}: {({k: c[k] for k in FORMS[0]})}")
        code, info = g.core("get_subnet_info")
        if code != "OK":
            raise Wrong(f"get_subnet_info: {code} {info}")
        net = [i for i, n in enumerate(NETS) if info["current_subnet"] == f"{n}.0/24"]
        if len(net) != 1 or net[0] not in m.net:
            raise Wrong(f"the subnet is {info['current_subnet']}, none of {m.net}")
        m.form, m.net = set(form), set(net)
        self.look_clients(info, NETS[net[0]])
        self.look_device(FORMS[form[0]], c["private_key"])
        self.look_host(FORMS[form[0]], NETS[net[0]], NETS[1 - net[0]])
        self.look_files()

    def look_clients(self, info, net):
        m = self.m
        have = {name: c["ip"] for name, c in info["clients"]["clients"].items()}
        lost = set(m.clients) - set(have)
        if lost:
            raise Wrong(f"clients {lost} were acknowledged, and are not there")
        more = set(have) - set(m.clients) - m.maybe_new - set(m.maybe_gone)
        if more:
            raise Wrong(f"clients {more} are there, and nobody was told so")
        moved = []
        for name, was in {**m.maybe_gone, **m.clients}.items():
            now = have.get(name)
            if now == was or now is None:
                continue
            # A change of the subnet says who is where, or is known by this alone: all keep their order.
            if was.startswith(net + ".") or not now.startswith(net + ".") or m.moved.get(was, now) != now:
                raise Wrong(f"client {name} had {was}, and is {now} ({m.moved.get(was)})")
            moved.append((self.number(was), self.number(now)))
        moved.sort()
        if [b for _, b in moved] != sorted(b for _, b in moved):
            raise Wrong(f"clients changed places with the subnet: {moved}")
        m.clients, m.maybe_new, m.maybe_gone, m.moved = have, set(), {}, {}
        if len(set(have.values())) != len(have):
            raise Wrong("two clients have one address")

    def look_device(self, form, private_key):
        lines = [line.split("\t") for line in run("wg", "show", self.args.iface, "dump").splitlines()]
        if not lines or lines[0][0] != private_key or lines[0][2] != str(form["listen_port"]):
            raise Wrong(f"the device has port {lines[0][2] if lines else None} or another key, not port {form['listen_port']}")
        prefixes = [f[3].split(",") for f in lines[1:]]
        have = sorted(p[0] for p in prefixes)
        want = sorted(f"{a}/32" for a in self.m.clients.values())
        if have != want:
            raise Wrong(f"the device has {have}, the store {want}")
        for v4, *v6 in prefixes:
            if len(v6) > 1 or v6 and not v6[0].endswith(f"::{self.number(v4[:-3]):x}/128"):
                raise Wrong(f"a peer of the device has {v4} and {v6}")

    def look_host(self, form, net, other):
        iface = self.args.iface
        link = json.loads(run("ip", "-j", "addr", "show", "dev", iface) or "[{}]")[0]
        addresses = [f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", []) if a["family"] == "inet"]
        if addresses != [f"{net}.1/24"] or link["mtu"] != form["mtu"] or "UP" not in link["flags"]:
            raise Wrong(f"the interface has {addresses}, MTU {link.get('mtu')}, {link.get('flags')}, wanted {net}.1/24 {form['mtu']}")
        lines = run("ip", "-4", "route", "show").splitlines()
        routes = sorted(" ".join(line.split()[:2 if line.startswith("blackhole") else 1]) for line in lines
                        if f"dev {iface} " in line + " " or line.startswith("blackhole"))
        want = sorted([f"{net}.0/24", f"blackhole {net}.0/24"] + ([ROUTE] if form["post_up"] else []))
        if routes != want:
            raise Wrong(f"routes {routes}, wanted {want}")
        links = sorted(x["ifname"] for x in json.loads(run("ip", "-j", "link", "show")))
        if links != sorted(["lo", "up0", iface]):
            raise Wrong(f"interfaces {links}")
        rules = run("nft", "list", "ruleset")
        tables = re.findall(r"^table (.*) \{", rules, re.M)
        if tables != [f"inet qanat_{iface}"] or f"{net}.0/24" not in rules or f"{other}.0/24" in rules:
            raise Wrong(f"nft: {tables}: {rules}")

    def look_files(self):
        for p in sorted(self.state.rglob("*")):
            name = str(p.relative_to(self.state))
            if name != "filled" and not FILES.fullmatch(name):
                raise Wrong(f"left in the state directory: {name}")
        run_dir = sorted(p.name for p in pathlib.Path(self.args.work, "run").iterdir())
        if run_dir != ["control.sock"]:
            raise Wrong(f"left beside the socket: {run_dir}")

    # ---- a round ----

    def fill(self, rng):
        """Leaves a little room on the state's disk, or none."""
        room = os.statvfs(self.state)
        keep = rng.choice([0, 0, 4096, 16384, rng.randrange(200000)])
        try:
            with open(self.state / "filled", "wb", buffering=0) as f:
                left = max(0, room.f_bavail * room.f_frsize - keep)
                while left:
                    left -= f.write(bytes(min(left, 1 << 16)))
        except OSError:
            pass

    def free(self):
        (self.state / "filled").unlink(missing_ok=True)

    def start(self, env=None, strace=None):
        self.g = Gateway(self.args, {"GATEWAY_API_KEY": self.args.secret, "WG_AGENT_SECRET": self.args.secret, **(env or {})}, strace)
        return self.g.ready

    def start_clean(self):
        if not self.start():
            raise Wrong(f"it does not start again: {self.g.text()}")

    def wish(self, rng):
        """How this round is to end: (name, environment, strace)."""
        ways = [("time", {}, None)] * 3 + [("disk", {}, None)] * 2
        if self.args.faults:
            p, k = rng.choice(POINTS), rng.choice([1, 1, 1, 2, 3, 5, 8])
            ways += [(f"at {p}", {"QANAT_CRASH": f"{p}:{k}"}, None)] * 5
            ways += [(f"error {p}", {"QANAT_FAULT": f"{p}:{k}"}, None)] * 2
            ways += [("at any point", {"QANAT_CRASH_AT": str(rng.randrange(1, self.args.points))}, None)] * 3
        if self.args.strace:
            ways += [("system call", {}, (rng.choice(SYSCALLS), rng.randrange(1, 60)))] * 2
        return rng.choice(ways)

    def round(self, number):
        rng = random.Random(f"{self.args.seed}/{number}")
        name, env, strace = self.wish(rng)
        kind, self.refused = name.split()[0], None
        self.now = f"round {number}, {name} {env} {strace}"
        if env or strace:  # the gateway that the last round left is clean
            self.g.kill()
            if not self.start(env, strace):
                self.how["killed while it starts" if kind != "error" else "refused to start"] += 1
                return self.judge()
        if kind == "disk":
            self.fill(rng)
        lasts = kind in ("disk", "error")  # what makes things fail; else one process dies, and another may still say so
        op = rng.choice(["put", "subnet"])
        until, failures, family = threading.Event(), [], self.g.family()
        crowd = threading.Thread(target=self.crowd, args=(rng.random(), True, until, failures))
        crowd.start()
        killer = None
        if kind == "time":
            killer = threading.Timer(rng.random() * 1.3 * self.times[op], self.g.strike, [rng.choice(family)])
            killer.start()
        try:
            getattr(self, op)(True)
            if rng.random() < 0.3 and self.g.alive():
                time.sleep(rng.random() * 0.02)
        finally:
            if killer:
                killer.join()
            until.set()
            crowd.join()
        if failures:
            raise failures[0]
        if lasts:
            self.look()  # what was refused has left nothing half done, while the fault lasts
        elif (self.refused or kind == "time") and not self.g.replaced(family):
            raise Wrong(f"{self.refused or 'one process was killed'}, and it goes on")
        died = not self.g.alive()
        self.how["killed at a random moment" if kind == "time" else f"killed at a {'system call' if strace else 'point'}" if died
                 else {"disk": "killed with a full disk", "error": "killed after an error"}.get(kind, "killed afterwards")] += 1
        return self.judge(rng, kind == "disk")

    def judge(self, rng=None, full=False):
        """Kills what is left of it, starts it again, also while others of its processes are ending, and looks."""
        old, left = self.g, self.g.kill(wait=full or rng is None or rng.random() < 0.5)
        if full and rng.random() < 0.5:
            if self.start():
                self.look()
            elif not re.search(r"full|No space|ENOSPC", self.g.text()):
                raise Wrong(f"it does not start with a full disk, and does not say why: {self.g.text()}")
            self.g.kill()
        self.free()
        self.start_clean()
        old.reap(left)
        self.look()

    def run(self):
        begun = time.monotonic()
        self.now = "before the first round"
        self.start_clean()
        status, a = self.g.https(AGENT, "GET", f"/v1/wg/{self.args.iface}/config")
        self.own_key = a["config"]["private_key"]
        self.m.form = {0, 1}
        self.put(False)
        self.look()
        rounds = [self.args.round] if self.args.round is not None else range(self.args.rounds)
        seen = collections.Counter()
        for n in rounds:
            before = (set(self.m.form), set(self.m.net))
            self.round(n)
            seen["a new configuration"] += before[0] != self.m.form
            seen["a new subnet"] += before[1] != self.m.net
        self.now = "after the last round"
        if self.g.stop() != 0:
            raise Wrong(f"it does not stop: {self.g.text()}")
        took = time.monotonic() - begun
        print(f"{len(rounds)} rounds, seed {self.args.seed}, {took:.0f} s: " +
              ", ".join(f"{n} x {how}" for how, n in sorted(self.how.items())) +
              f"; {self.m.acknowledged} clients acknowledged, {len(self.m.clients)} left; " +
              ", ".join(f"{n} x {what}" for what, n in seen.items()) + f"; started {len(self.args.starts)} times, "
              f"median {1000 * statistics.median(self.args.starts):.0f} ms")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("bin")
    p.add_argument("work")
    p.add_argument("iface")
    p.add_argument("-n", "--rounds", type=int, default=10)
    p.add_argument("-s", "--seed", type=int, default=int(time.time()))
    p.add_argument("-r", "--round", type=int, help="that one alone")
    p.add_argument("-x", "--option", action="append", default=[], help="of the gateway")
    p.add_argument("--faults", action="store_true", help="the programs have fault points")
    p.add_argument("--points", type=int, default=400, help="QANAT_CRASH_AT up to this")
    p.add_argument("--strace", action="store_true")
    args = p.parse_args()
    args.secret, args.starts = secrets.token_hex(16), []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not without ending the gateway
    loop = Loop(args)
    try:
        loop.run()
    except Exception as e:
        text = loop.g.text() if loop.g else ""
        print(f"seed {args.seed}, {loop.now}: {type(e).__name__}: {e}\n{text}", file=sys.stderr)
        if not isinstance(e, Wrong):
            raise
        sys.exit(1)
    finally:
        if loop.g:
            loop.g.process.poll() is None and loop.g.process.kill()


if __name__ == "__main__":
    main()
