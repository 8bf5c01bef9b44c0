#!/usr/bin/env python3
"""peer_client.py - a backend of the peer API, as existing ones are written; and a hostile one.

usage: peer_client.py URL METHOD PATH [BODY] [OPTION=VALUE...]     prints "STATUS BODY"

The body is sent as it stands.  Options: key=TEXT, form=length|whole|none, time=OFFSET in seconds or timestamp=TEXT,
serialised=1 (signs the length of the JSON written anew, with sorted keys), signed_method=, signed_path=, signed_body=
(sign something else than is sent), nonce=, drop=HEADER, twice=1 (sends the same request again and prints both),
payload_key=TEXT with payload=JSON (sent encrypted; an encrypted answer is opened), pin=FINGERPRINT, source=ADDRESS.
"""
import base64
import ctypes
import ctypes.util
import hashlib
import hmac
import http.client
import json
import os
import ssl
import sys
import time
from urllib.parse import urlsplit

crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
    getattr(crypto, name).restype = ctypes.c_void_p


def gcm(key, nonce, data, tag):
    """Seals with tag None, else opens; None when forged."""
    ctx = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    out, n = ctypes.create_string_buffer(len(data) + 16), ctypes.c_int()
    init = crypto.EVP_EncryptInit_ex if tag is None else crypto.EVP_DecryptInit_ex
    update = crypto.EVP_EncryptUpdate if tag is None else crypto.EVP_DecryptUpdate
    init(ctx, ctypes.c_void_p(crypto.EVP_aes_256_gcm()), None, key, nonce)
    update(ctx, out, ctypes.byref(n), data, len(data))
    if tag is None:
        crypto.EVP_EncryptFinal_ex(ctx, None, ctypes.byref(n))
        sealed = ctypes.create_string_buffer(16)
        crypto.EVP_CIPHER_CTX_ctrl(ctx, 0x10, 16, sealed)
        return out.raw[: len(data)] + sealed.raw
    crypto.EVP_CIPHER_CTX_ctrl(ctx, 0x11, 16, ctypes.create_string_buffer(tag, 16))
    ok = crypto.EVP_DecryptFinal_ex(ctx, ctypes.create_string_buffer(16), ctypes.byref(n))
    return out.raw[: len(data)] if ok == 1 else None


def payload_key(text):
    prk = hmac.new(b"\0" * 32, text.encode(), hashlib.sha256).digest()
    return hmac.new(prk, b"handshake data\x01", hashlib.sha256).digest()


def seal(key, text):
    nonce = os.urandom(12)
    return base64.b64encode(nonce + gcm(key, nonce, text.encode(), None)).decode()


def unseal(key, text):
    raw = base64.b64decode(text)
    return gcm(key, raw[:12], raw[12:-16], raw[-16:])


def sign(o, method, path, body):
    stamp = o.get("timestamp", str(int(time.time()) + int(o.get("time", "0"))))
    method, path = o.get("signed_method", method), o.get("signed_path", path)
    body = o["signed_body"].encode() if "signed_body" in o else body
    key = o.get("key", "").encode()
    if o.get("form", "length") == "whole":
        nonce = o.get("nonce", os.urandom(16).hex())
        path, _, query = path.partition("?")
        text = "\n".join(["QANAT1-HMAC-SHA256", method, path, query, hashlib.sha256(body).hexdigest(), stamp, nonce])
        headers = {"X-Qanat-Timestamp": stamp, "X-Qanat-Nonce": nonce}
        name = "X-Qanat-Signature"
    else:
        length = len(body)
        if "serialised" in o:
            length = len(json.dumps(json.loads(body), sort_keys=True))
        text = f"timestamp={stamp}, body_length={length}"
        headers, name = {"timestamp": stamp}, "signature"
    headers[name] = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return {} if o.get("form") == "none" else headers


def connect(o, url):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is pinned instead
    c = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=20,
                                    source_address=(o["source"], 0) if "source" in o else None)
    c.connect()
    if "pin" in o:
        got = hashlib.sha256(c.sock.getpeercert(True)).hexdigest()
        if got != o["pin"].replace(":", "").lower():
            sys.exit(f"the certificate is {got}")
    return c


def ask(c, method, path, body, headers, key):
    c.request(method, path, body=body, headers=headers)
    answer = c.getresponse()
    text = answer.read().decode()
    if key and answer.status == 200:
        text = (unseal(key, json.loads(text)["encrypted_response"]) or b"forged").decode()
    print(answer.status, text)


def main():
    url, method, path = urlsplit(sys.argv[1]), sys.argv[2], sys.argv[3]
    rest = sys.argv[4:]
    body = rest.pop(0).encode() if rest and not rest[0].partition("=")[0].replace("_", "").isalpha() else b""
    o = dict(a.split("=", 1) for a in rest)
    key = payload_key(o["payload_key"]) if "payload_key" in o else None
    if key and "payload" in o:
        body = json.dumps({**json.loads(body), "encrypted_payload": seal(key, o["payload"])}).encode()
    headers = {"Content-Type": "application/json", **sign(o, method, path, body)}
    headers.pop(o.get("drop"), None)
    c = connect(o, url)
    for _ in range(2 if "twice" in o else 1):
        ask(c, method, path, body or None, headers, key)


if __name__ == "__main__":
    main()
