#!/usr/bin/env python3
"""Speaks to the agent API as a panel does: METHOD|path|body|timestamp, HMAC-SHA256, in X-Signature.

usage: agent_client.py URL SECRET METHOD PATH [BODY] [OPTION...]
Prints the status on the first line and the answer's body behind it.  BODY "-" is read from standard input.
Options: skew=S  the timestamp is off by so many seconds;  secret=TEXT, path=P, body=B, method=M  what is signed
instead;  whole  our own form of signature;  unsigned;  twice  the same request again, prints the second answer;
timestamp=T  as it stands;  accept=TYPE;  raw  no status line.
"""
import hashlib
import hmac
import http.client
import secrets
import ssl
import sys
import time
import urllib.parse


class Agent:
    """One connection that is kept open, as a panel's session keeps it."""

    def __init__(self, url, secret):
        u = urllib.parse.urlsplit(url)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.conn = http.client.HTTPSConnection(u.hostname, u.port, context=context, timeout=60)
        self.secret = secret

    def headers(self, method, path, body, options):
        bare, _, query = path.partition("?")
        stamp = options.get("timestamp", str(int(time.time()) + int(options.get("skew", 0))))
        secret = options.get("secret", self.secret).encode()
        if "whole" in options:
            nonce = secrets.token_hex(16)
            text = "\n".join(["QANAT1-HMAC-SHA256", method, bare, query, hashlib.sha256(body).hexdigest(), stamp, nonce])
            sign = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
            return {"X-Qanat-Signature": sign, "X-Qanat-Timestamp": stamp, "X-Qanat-Nonce": nonce}
        text = b"|".join([options.get("method", method).encode(),
                          options.get("path", urllib.parse.unquote(bare)).encode(errors="surrogateescape"),
                          options["body"].encode() if "body" in options else body, stamp.encode()])
        return {"X-Signature": hmac.new(secret, text, hashlib.sha256).hexdigest(), "X-Timestamp": stamp}

    def ask(self, method, path, body=b"", options=None):
        options = options or {}
        headers = {} if "unsigned" in options else self.headers(method, path, body, options)
        if body:
            headers["Content-Type"] = "application/json"
        if "accept" in options:
            headers["Accept"] = options["accept"]
        for _ in range(2 if "twice" in options else 1):
            self.conn.request(method, path, body=body or None, headers=headers)
            r = self.conn.getresponse()
            answer = r.read()
        return r.status, answer


def main():
    url, secret, method, path, *rest = sys.argv[1:]
    body = b""
    if rest and ("=" not in rest[0] or rest[0].startswith("{")) and rest[0] not in ("whole", "unsigned", "twice", "raw"):
        body = sys.stdin.buffer.read() if rest[0] == "-" else rest[0].encode()
        rest = rest[1:]
    options = dict(o.partition("=")[::2] for o in rest)
    status, answer = Agent(url, secret).ask(method, path, body, options)
    if "raw" not in options:
        print(status)
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
