#!/usr/bin/env python3
"""clients.py SERVE - real clients against the server of serve.c: curl, openssl s_client, and hostile sockets.

Prints a line for each case as cmocka does; ends with status 1 when one failed.
"""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

failed = 0


def case(name, ok, seen=""):
    global failed
    failed += not ok
    print(f"[       OK ] {name}" if ok else f"[  FAILED  ] {name}\n{seen}", flush=True)


class Server:
    def __init__(self, *options):
        self.process = subprocess.Popen([sys.argv[1], work, "0", *options], stdout=subprocess.PIPE, text=True)
        self.said = ""
        while "listening" not in self.said:
            line = self.process.stdout.readline()
            if not line:
                sys.exit("serve did not start")
            self.said += line
        self.port = int(re.search(r"listening (\d+)", self.said)[1])

    def ask(self, signo):
        self.process.send_signal(signo)
        return self.process.stdout.readline()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def curl(self, *args):
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", f"{work}/cert.pem", *args[:-1],
                               f"https://localhost:{self.port}{args[-1]}"], capture_output=True)
        return done.stdout + done.stderr

    def tls(self):
        context = ssl.create_default_context(cafile=f"{work}/cert.pem")
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 20), server_hostname="localhost")


def request(s, path="/ping"):
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return s.recv(65536)


def until_closed(s):
    got = b""
    try:
        while piece := s.recv(65536):
            got += piece
    except OSError:
        pass
    return got


def everyday(server):
    body = os.urandom(300000)
    with open(f"{work}/body", "wb") as f:
        f.write(body)
    for version in "--http1.1", "--http2":
        if version == "--http2" and b"HTTP2" not in subprocess.run(["curl", "-V"], capture_output=True).stdout:
            print("skip: curl here has no HTTP/2")
            continue
        send = ("--data-binary", f"@{work}/body")
        case(f"curl_ping{version}", server.curl(version, "/ping") == b'{"status":"ok"}')
        case(f"curl_echo{version}", server.curl(version, *send, "/echo") == body)
        case(f"curl_chunks{version}", server.curl(version, "-H", "Transfer-Encoding: chunked", *send, "/echo") == body)
        case(f"curl_stream{version}", len(server.curl(version, "/lines/100000")) == 6400000)
        early = server.curl(version, "-w", "%{http_code}", *send, "/small")
        case(f"curl_early_answer{version}", early.endswith(b"413"), early)


def tls_versions(server):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"], input=b"",
                          capture_output=True)
    case("s_client_tls12_refused", done.returncode != 0)
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-alpn", "h2"], input=b"",
                          capture_output=True)
    case("s_client_tls13_h2", b"TLSv1.3" in done.stdout and b"ALPN protocol: h2" in done.stdout, done.stdout)


def reload(server):
    old = server.tls()
    before = old.getpeercert(True)
    request(old)
    for name in "cert.pem", "key.pem":
        os.rename(f"{work}/{name}", f"{work}/old-{name}")
    case("reload_without_files", b"reload failed" in server.ask(signal.SIGHUP).encode())
    Server().stop()  # makes new ones
    case("reload", server.ask(signal.SIGHUP) == "reloaded\n")
    case("reload_keeps_connections", b"200 OK" in request(old))
    case("reload_changes_certificate", server.tls().getpeercert(True) != before)


def slow(server):
    half = server.tls()
    half.sendall(b"GET /ping HTTP/1.1\r\n")
    case("half_a_head", b" 408 " in until_closed(half))
    body = server.tls()
    body.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    case("half_a_body", b" 408 " in until_closed(body))
    silent = socket.create_connection(("127.0.0.1", server.port), 20)
    case("no_handshake", until_closed(silent) == b"")
    many = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(200)]
    case("many_silent_ones", b"200 OK" in request(server.tls()))
    for s in many:
        s.close()
    reader = server.tls()
    reader.sendall(b"GET /lines/10000000 HTTP/1.1\r\nHost: a\r\n\r\n")  # and never reads
    case("a_reader_that_stalls", b"200 OK" in request(server.tls()))


if not shutil.which("curl") or not shutil.which("openssl"):
    print("skip: curl or openssl is not here")
    sys.exit(77)
with tempfile.TemporaryDirectory(prefix="qanat-http-") as work:
    for check, options in (everyday, ()), (tls_versions, ()), (reload, ()), (slow, ("short",)):
        server = Server(*options)
        try:
            check(server)
        finally:
            status = server.stop()
        case(f"{check.__name__}_server_ends_well", status == 0, f"status {status}")
sys.exit(failed > 0)
