#!/usr/bin/env python3
"""Sends hostile requests to a gateway, made from docs/openapi/gateway.yaml.

usage: openapi_fuzz.py URL SECRET [-n COUNT] [-s SEED] [-d YAML] [--peers URL] [-i IFACE] [-p PID] [-j THREADS]
Each request takes an operation of the agent API, which is at URL, or with --peers of the peer API, which is at that one and has
the same secret, and fills path, query and body with what fits its schema or does not: newlines, slashes, dots, NUL, huge numbers, deep nesting, wrong types, missing and unknown fields, big bodies.
Nine of ten are signed rightly.  It fails on a 5xx other than 503, a status that the operation does not list, an answer that is not as its
schema says or has a field that the schema does not know, a broken connection, or a process PID that is gone, and prints the seed and the request.
Prints "N requests: 200 x …", and the operations that nothing was answered 200 of.
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
import ssl
import string
import sys
import threading
import time
import urllib.parse

# ---- YAML, as far as that file goes ----


def scalar(text):
    text = text.strip()
    if text[:1] in "\"'" and len(text) > 1 and text[-1] == text[0]:
        return json.loads(text) if text[0] == '"' else text[1:-1]
    if text[:1] in "{[":
        value, rest = flow(text)
        if rest.strip():
            raise ValueError(f"behind a flow value: {rest!r}")
        return value
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return {"true": True, "false": False, "null": None, "": None}.get(text, text)


def flow(text):
    """One {…}, […] or plain value at the front of `text`, and what follows it."""
    text = text.lstrip()
    if text[0] in "{[":
        end = "}" if text[0] == "{" else "]"
        out, text, is_map = ({} if end == "}" else []), text[1:].lstrip(), end == "}"
        while not text.startswith(end):
            if is_map:
                key, _, text = text.partition(":")
                out[key.strip().strip("\"'")], text = flow(text)
            else:
                value, text = flow(text)
                out.append(value)
            text = text.lstrip().removeprefix(",").lstrip()
        return out, text[1:]
    quoted = re.match(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'', text)
    plain = quoted or re.match(r"[^,{}\[\]]*", text)
    return scalar(plain.group()), text[plain.end():]


def block(lines, at, indent):
    """The mapping or list that stands at `indent` from line `at`; and the line behind it."""
    out = None
    while at < len(lines):
        spaces, text = lines[at]
        if spaces < indent:
            break
        if text.startswith("- "):
            out = [] if out is None else out
            inner = [(spaces + 2, text[2:])] + lines[at + 1:]
            if re.match(r"[\w$]+: |[\w$]+:$", text[2:]):
                value, used = block(inner, 0, spaces + 2)
            else:
                value, used = scalar(text[2:]), 1
            out.append(value)
            at += used
            continue
        out = {} if out is None else out
        key, _, rest = text.partition(": ") if ": " in text else (text.rstrip(":"), "", "")
        key, at = key.strip("\"'"), at + 1
        if rest.strip():
            out[key] = scalar(rest)
        elif at < len(lines) and lines[at][0] > spaces:
            out[key], at = block(lines, at, lines[at][0])
        else:
            out[key] = None
    return out, at


def load(path):
    lines = [(len(l) - len(l.lstrip()), l.strip()) for l in path.read_text().splitlines() if l.strip() and l.lstrip()[0] != "#"]
    return block(lines, 0, 0)[0]


class Api:
    """The operations of the tags in `urls` (tag: where it is served)."""

    def __init__(self, path, urls):
        self.doc = load(path)
        self.ops, self.answers = [], {}
        for route, item in self.doc["paths"].items():
            for method, op in item.items():
                if method != "parameters" and op["tags"][0] in urls:
                    params = [self.ref(p) for p in (item.get("parameters") or []) + (op.get("parameters") or [])]
                    body = op.get("requestBody") and self.ref(op["requestBody"]["content"]["application/json"]["schema"])
                    self.ops.append((op["tags"][0], method.upper(), route, params, body))
                    self.answers[method.upper(), route] = {int(status): self.ref(answer) for status, answer in op["responses"].items()}

    def ref(self, node):
        while "$ref" in node:
            name, node = node["$ref"], self.doc
            for step in name.split("/")[1:]:
                node = node[step]
        return node

    TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": (int, float)}

    def is_a(self, value, kind):
        return isinstance(value, self.TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))

    def misfit(self, value, schema, at="answer"):
        """Why a value that we were given is not as its schema says; None when it is.  An object has no other fields than
        those that stand there."""
        schema = self.ref(schema)
        if "oneOf" in schema:
            why = [self.misfit(value, s, at) for s in schema["oneOf"]]
            return None if why.count(None) == 1 else f"{at}: fits {why.count(None)} of {len(why)}: {why}"
        if "const" in schema:
            return None if value == schema["const"] else f"{at}: {value!r} is not {schema['const']!r}"
        if "enum" in schema:
            return None if value in schema["enum"] else f"{at}: {value!r} is none of {schema['enum']}"
        if "type" not in schema:
            return None  # anything
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(self.is_a(value, k) for k in kinds):
            return f"{at}: {value!r} is no {' or '.join(kinds)}"
        if isinstance(value, list):
            if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
                return f"{at}: {len(value)} items"
            return next((why for i, v in enumerate(value) if (why := self.misfit(v, schema["items"], f"{at}[{i}]"))), None)
        if not isinstance(value, dict):
            return f"{at}: {value} is less than {schema['minimum']}" if "minimum" in schema and value < schema["minimum"] else None
        if missing := [name for name in schema.get("required", []) if name not in value]:
            return f"{at}: no {missing}"
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name, v in value.items():
            if name not in known and not isinstance(rest, dict):
                return f"{at}: {name!r} is not described"
            if why := self.misfit(v, known.get(name, rest), f"{at}.{name}"):
                return why
        return None

    def wrong(self, method, route, status, kind, answer):
        """Why this is no answer that the operation may give; None when it is."""
        described = self.answers[method, route].get(status)
        if described is None:
            return f"status {status} is not described"
        content = described.get("content", {}).get(kind.partition(";")[0])
        if content is None:
            return f"an answer of type {kind!r} is not described"
        return self.misfit(json.loads(answer), content["schema"]) if "json" in kind else None


# ---- values ----

HOSTILE = ["", "\n", "a\nPostUp = id", "\r\n[Peer]", "\0", "../../etc/passwd", "/", "//", ".", "..", "a" * 15, "a" * 16,
           "A" * 5000, "%00", "%2e%2e%2f", "%", "%zz", "$(id)", "`id`", "; id", "| id", "-x", "--help", "\u202e", "\ud83d\ude00",
           "\x7f", "\x1b[2J", "' OR 1=1 --", "{{7*7}}", "%s%n", "10.8.0.1/33", "10.8.0.0/-1", "::/0", "0.0.0.0/0", "1.1.1.1,,2.2.2.2",
           "999.1.1.1", "10.8.0.255/32", "10.8.0.0/32", "10.8.0.1/32", "fe80::1%lo/64", "NaN", "1e309", "null", "true", "auto"]
# Neither the server's limits nor other paths: no dots alone, no slash, no NUL, not too long.
OWN_SEGMENT = re.compile(r"(?!\.\.?$)(?:(?!%2F|%00)[^/]){1,1000}", re.I)
NUMBERS = [0, 1, -1, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**63 - 1, -2**63, 2**63, 10**400, 0.5, -0.0, 1e308]
ADDRESSES = ["10.77.0.1/24", "10.77.0.1/24, fd77::1/64", "10.78.0.1/16,fd78::1/48", "10.8.0.1/24", "10.79.0.1/32", "192.0.2.7/24"]
COMMANDS = ["ip link set %i mtu 1400", "sysctl -w net.ipv4.ip_forward=1", "ip route add 198.51.100.0/24 dev %i", "nft flush ruleset",
            "iptables -P FORWARD DROP", "ip netns exec x sh", "sh -c id", "sysctl -w kernel.core_pattern=x", "'", '"', "ip " + "a " * 900,
            ";;;", "ip route add $(id)", "ip link set lo down\n"]


class Fuzz:
    def __init__(self, rng, iface, pool):
        self.rng, self.iface, self.pool = rng, iface, pool
        self.tame = rng.random() < 0.3  # this one keeps to its schema, so that something is there for the others

    def key(self):
        r = self.rng
        if self.pool and r.random() < (0.8 if self.tame else 0.5):
            return r.choice(self.pool[:8] if self.tame else self.pool)
        k = base64.b64encode(r.randbytes(32 if self.tame else r.choice([32, 32, 32, 32, 31, 33, 0]))).decode()
        if len(self.pool) < 200:
            self.pool.append(k)
        return k

    def text(self):
        r = self.rng
        if r.random() < 0.7:
            return r.choice(HOSTILE)
        return "".join(r.choice(string.printable + "\u00e4\u4e2d") for _ in range(r.randrange(60)))

    def prefix(self):
        r = self.rng
        if self.tame:
            return f"10.8.0.{r.randrange(2, 250)}/32"
        return f"10.8.{r.choice([0, 0, 0, 1])}.{r.randrange(256)}/{r.choice([32, 32, 32, 24, 0, 33])}" if r.random() < 0.8 else self.text()

    def conf(self):
        peers = "".join(f"[Peer]\nPublicKey = {self.key()}\nAllowedIPs = {self.prefix()}\n" for _ in range(self.rng.randrange(4)))
        text = (self.rng.choice(["", "[Interface]\nListenPort = 51820\n"]) + peers + self.rng.choice(["", "", self.text()])).encode(errors="replace")
        return base64.b64encode(text).decode()

    def deep(self, n):
        return [self.deep(n - 1)] if n else self.text()

    def wrong(self):
        r = self.rng
        return r.choice([None, True, [], {}, r.choice(NUMBERS), self.text(), self.deep(20), {"a": {"b": [1]}}, [self.text()] * 100])

    def value(self, schema, name=""):
        r = self.rng
        if not self.tame and r.random() < 0.12:
            return self.wrong()
        kind, form = schema.get("type"), schema.get("format", "")
        if kind == "object":
            return self.object(schema)
        if kind == "array":
            return [self.value(schema["items"]) for _ in range(1 if self.tame else r.choice([0, 1, 1, 1, 2, 70]))]
        if kind == "integer":
            low, high = schema.get("minimum", 0), schema.get("maximum", 2**31)
            if self.tame:
                return r.choice([r.randint(low, min(high, 40)), high if "maximum" in schema else 1]) if name != "mtu" else 1420
            return r.choice([r.randint(low, high), low, high, low - 1, high + 1, r.choice(NUMBERS)])
        if kind == "boolean":
            return r.choice([True, False])
        if "enum" in schema and (self.tame or r.random() < 0.7):
            return r.choice(schema["enum"])
        if form == "wireguard-key":
            return self.key()
        if form == "ip-prefix":
            return self.prefix()
        if form == "base64":
            return self.conf()
        if name == "address" and (self.tame or r.random() < 0.7):
            return r.choice(ADDRESSES)
        if self.tame:
            return {"dns": "9.9.9.9", "post_up": COMMANDS[0]}.get(name, "")
        if name in ("post_up", "pre_down"):
            return r.choice(COMMANDS + ["; ".join(r.sample(COMMANDS, 2))])
        return self.text()

    def object(self, schema):
        r = self.rng
        out = {}
        for name, s in schema["properties"].items():
            if name in schema.get("required", []) and r.random() < 0.95 or r.random() < 0.5:
                out[name] = self.value(s, name)
        if not self.tame and r.random() < 0.05:
            out[self.text()] = self.wrong()
        return out

    def body(self, schema):
        r = self.rng
        how = 1 if self.tame else r.random()
        if how < 0.03:
            return r.randbytes(r.randrange(200))
        if how < 0.04:
            return b"[" * r.choice([100, 100000])
        if how < 0.05:
            return b'{"a":' * 5000 + b"1" + b"}" * 5000
        if how < 0.051:
            return b'{"public_key":"' + b"A" * (10 << 20) + b'"}'
        if how < 0.06:
            return b""
        text = json.dumps(self.value(schema), ensure_ascii=r.random() < 0.5)
        text = text.encode(errors="surrogatepass")
        if not self.tame and r.random() < 0.03:
            text = text[:r.randrange(len(text) + 1)]
        return text

    def segment(self, param):
        r = self.rng
        if param["name"] == "iface":
            # The gateway's own, and two that are made, changed and deleted on the way.
            raw = r.choice([self.iface] * 5 + [self.iface + "x"] * 3 + [self.iface + "y"]) if self.tame or r.random() < 0.9 else self.text()
        else:
            raw = str(self.value(param["schema"]))
        raw = raw.encode(errors="replace")[:4000]
        if param["name"] == "public_key" and not self.tame and r.random() < 0.3:
            return urllib.parse.quote(raw, safe="/=")
        return urllib.parse.quote(raw, safe="")

    def request(self, op):
        """Also whether the path is one of the operation's, whatever stands in it."""
        _, method, route, params, schema = op
        path, query, fits = route, [], True
        for p in params:
            if p["in"] == "path":
                segment = self.segment(p)
                fits = fits and OWN_SEGMENT.fullmatch(segment) is not None
                path = path.replace("{" + p["name"] + "}", segment)
            elif self.rng.random() < 0.6:
                v = str(self.value(p["schema"])) if self.rng.random() < 0.3 else self.rng.choice(["true", "false"])
                query.append(p["name"] + "=" + urllib.parse.quote(v.encode(errors="replace")[:2000], safe=""))
        body = self.body(schema) if schema else b"" if self.rng.random() < 0.9 else self.text().encode(errors="replace")
        return method, path + ("?" + "&".join(query) if query else ""), body, fits


# ---- sending ----


class Sender:
    def __init__(self, url, secret, tag):
        self.u, self.secret, self.conn, self.tag = urllib.parse.urlsplit(url), secret, None, tag

    def connect(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.conn = http.client.HTTPSConnection(self.u.hostname, self.u.port, context=context, timeout=30)
        self.conn.connect()

    def sign(self, method, path, body, rng):
        bare, _, query = path.partition("?")
        stamp = str(int(time.time()) + rng.randrange(-200, 200))
        nonce = secrets.token_hex(16)
        text = "\n".join(["QANAT1-HMAC-SHA256", method, bare, query, hashlib.sha256(body).hexdigest(), stamp, nonce]).encode()
        old = rng.random() < 0.5
        if old and self.tag == "peers":
            stamp = str(int(time.time()) + rng.randrange(-50, 50))
            text = f"timestamp={stamp}, body_length={len(body)}".encode()
            return {"signature": hmac.new(self.secret, text, hashlib.sha256).hexdigest(), "timestamp": stamp}
        if self.tag == "peers":
            stamp = str(int(time.time()) + rng.randrange(-50, 50))
            text = "\n".join(["QANAT1-HMAC-SHA256", method, bare, query, hashlib.sha256(body).hexdigest(), stamp, nonce]).encode()
        elif old:
            text = b"|".join([method.encode(), urllib.parse.unquote_to_bytes(bare), body, stamp.encode()])
            return {"X-Signature": hmac.new(self.secret, text, hashlib.sha256).hexdigest(), "X-Timestamp": stamp}
        return {"X-Qanat-Signature": hmac.new(self.secret, text, hashlib.sha256).hexdigest(), "X-Qanat-Timestamp": stamp,
                "X-Qanat-Nonce": nonce}

    def headers(self, method, path, body, rng):
        how = rng.random()
        if how < 0.9:
            return self.sign(method, path, body, rng)
        if how < 0.93:
            return {}
        if how < 0.97:
            return {k: rng.choice(["", "0", "-1", "9" * 40, "x" * 3000, "\xff"]) for k in (("signature", "timestamp") if self.tag == "peers" else ("X-Signature", "X-Timestamp"))}
        return self.sign(method, path + "x", body, rng)

    def send(self, method, path, body, rng):
        """The status and the answer; a body that is too big may be answered before it is read."""
        headers = self.headers(method, path, body, rng)
        for attempt in (1, 2, 3):
            try:
                if not self.conn:
                    self.connect()
                self.conn.request(method, path, body=body or None, headers=headers)
                r = self.conn.getresponse()
                answer = r.read()
                if r.will_close:
                    self.conn = None
                return r.status, r.getheader("Content-Type") or "", answer
            except (http.client.HTTPException, OSError):
                self.conn = None
                if len(body) > 1 << 20:
                    return 413, "", b""  # closed while we were still sending
                if attempt == 3:
                    raise
        raise AssertionError


class Run:
    def __init__(self, args):
        self.args, self.urls = args, {"agent": args.url, **({"peers": args.peers} if args.peers else {})}
        self.api = Api(args.description, self.urls)
        self.counts, self.lock, self.left, self.failed = collections.Counter(), threading.Lock(), args.count, None
        self.done = set()

    def take(self):
        with self.lock:
            self.left -= 1
            return self.args.count - self.left - 1 if self.left >= 0 and not self.failed else None

    def fail(self, number, why, method, path, body):
        with self.lock:
            self.failed = self.failed or f"seed {self.args.seed} request {number}: {why}: {method} {path[:300]} {body[:600]!r}"

    def alive(self):
        return not self.args.pid or os.path.exists(f"/proc/{self.args.pid}")

    def work(self):
        senders = {tag: Sender(url, self.args.secret.encode(), tag) for tag, url in self.urls.items()}
        pool = []
        while (number := self.take()) is not None:
            rng = random.Random(f"{self.args.seed}/{number}")
            op = rng.choice(self.api.ops)
            method, path, body, fits = Fuzz(rng, self.args.iface, pool).request(op)
            try:
                status, kind, answer = senders[op[0]].send(method, path, body, rng)
            except (http.client.HTTPException, OSError) as e:
                return self.fail(number, f"no answer ({e!r})" if self.alive() else "the gateway has died", method, path, body)
            with self.lock:
                self.counts[status] += 1
                if status == 200:
                    self.done.add((method, op[2]))
            if status >= 500 and status not in (503, 507):
                self.fail(number, f"{status} {answer[:300]!r}", method, path, body)
            elif fits and kind:
                try:
                    why = self.api.wrong(method, op[2], status, kind, answer)
                except ValueError:
                    why = "no JSON"
                if why:
                    self.fail(number, f"{why}: {answer[:300]!r}", method, path, body)


def main():
    top = pathlib.Path(__file__).resolve().parents[2]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("url")
    p.add_argument("secret")
    p.add_argument("-n", "--count", type=int, default=2000)
    p.add_argument("-s", "--seed", type=int, default=int(time.time()))
    p.add_argument("-d", "--description", type=pathlib.Path, default=top / "docs/openapi/gateway.yaml")
    p.add_argument("--peers", metavar="URL")
    p.add_argument("-i", "--iface", default="wg_main")
    p.add_argument("-p", "--pid", type=int)
    p.add_argument("-j", "--threads", type=int, default=2)
    run = Run(p.parse_args())
    started = time.time()
    threads = [threading.Thread(target=run.work) for _ in range(run.args.threads)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if not run.alive():
        run.failed = run.failed or "the gateway has died"
    counts = ", ".join(f"{s} x {n}" for s, n in sorted(run.counts.items()))
    print(f"{sum(run.counts.values())} requests, seed {run.args.seed}, {len(run.api.ops)} operations, {time.time() - started:.0f} s: {counts}")
    for _, method, route, _, _ in run.api.ops:
        if (method, route) not in run.done:
            print(f"never done: {method} {route}")
    if run.failed:
        sys.exit(run.failed)


if __name__ == "__main__":
    main()
