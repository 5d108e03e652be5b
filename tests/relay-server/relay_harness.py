"""Starts the real relay on loopback and speaks HTTPS to it, with nothing but the standard library."""

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import uuid

DEFAULT_OPTIONS = []  # of every relay that is started


def make_certificate(folder):
    certificate, key = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o600)
    return certificate, key


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()


class Relay:
    """One relay on one state folder; may be killed and started again."""

    def __init__(self, program, *options, folder=None):
        self.owned = tempfile.TemporaryDirectory(prefix="vestibule-relay-") if folder is None else None
        self.folder = folder or self.owned.name
        self.state = os.path.join(self.folder, "state")
        os.makedirs(self.state, exist_ok=True)
        self.certificate, self.key = make_certificate(self.folder)
        self.log_path = os.path.join(self.folder, "log")
        self.error_path = os.path.join(self.folder, "errors")
        self.program, self.options = program, [*DEFAULT_OPTIONS, *options]
        self.port = 0
        self.process = None
        self.start()

    def start(self):
        port_file = os.path.join(self.folder, "port")
        if os.path.exists(port_file):
            os.unlink(port_file)
        storage = [] if "--in-memory" in self.options else ["--state", self.state]
        with open(self.error_path, "ab") as errors:
            self.process = subprocess.Popen(
                [self.program, *storage, "--listen", f"127.0.0.1:{self.port}",
                 "--certificate", self.certificate, "--key", self.key, "--port-file", port_file,
                 "--log", self.log_path, *self.options],
                stdout=errors, stderr=errors)
        deadline = time.monotonic() + 20
        while not os.path.exists(port_file):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the relay did not start: " + open(self.error_path).read())
            time.sleep(0.005)
        self.port = int(open(port_file).read())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(timeout=20)
        errors = open(self.error_path).read()
        if "Sanitizer" in errors or "runtime error" in errors:
            raise RuntimeError(errors)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            if self.process.poll() is None:
                assert self.stop() == 0, open(self.error_path).read()
        finally:
            if self.process.poll() is None:
                self.kill()
            if self.owned:
                self.owned.cleanup()

    def tls(self, **limits):
        context = ssl.create_default_context(cafile=self.certificate)
        for name, value in limits.items():
            setattr(context, name, value)
        return context

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls(), timeout=20)

    def request(self, method, path, headers=None, body=None, connection=None):
        """One request; headers and body go out exactly as given."""
        own = connection is None
        connection = connection or self.connect()
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = Answer(connection.getresponse())
            sent = (headers or {}).get("Mailbox-Request-ID")
            if sent is not None and re.fullmatch(r"[!-~]{1,64}", sent):
                assert answer.headers["Mailbox-Request-ID"] == sent, "the request id was not echoed"
            return answer
        finally:
            if own:
                connection.close()

    def raw(self, data, timeout=10):
        """Sends bytes over TLS and returns all that comes back until the relay closes or is silent."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as plain:
            with self.tls().wrap_socket(plain, server_hostname="localhost") as s:
                try:
                    s.sendall(data)  # the relay may have heard enough before its end
                    while True:
                        piece = s.recv(65536)
                        if not piece:
                            break
                        received += piece
                except (TimeoutError, ConnectionError, ssl.SSLError):
                    pass
        return received

    def lines(self):
        """The log as dictionaries."""
        with open(self.log_path) as log:
            return [dict(word.split("=", 1) for word in line.split()) for line in log]


def fresh():
    return str(uuid.uuid4())


def token_hash(token, mailbox):
    """How the log names a notification token: differently in each mailbox."""
    return hashlib.blake2b(uuid.UUID(mailbox).bytes + bytes.fromhex(short_hash(token)), digest_size=32).hexdigest()[:16]


def short_hash(text):
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()[:16]


def head(claim, request_id=None, **more):
    headers = {"Mailbox-Device-Claim": claim, "Mailbox-Request-ID": request_id or fresh()}
    headers.update({name.replace("_", "-"): value for name, value in more.items()})
    return headers


def mailbox_of(answer):
    return json.loads(answer.body)["urlLink"].rsplit("/", 1)[1]


def encodings(secret):
    """Every form in which text could hide in a file."""
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    yield raw.replace(b"-", b"")
    yield bytes.fromhex(secret.replace("-", "")) if re.fullmatch(r"[0-9a-f-]{36}", secret) else raw
    for cut in range(3):
        yield base64.b64encode(raw[cut:len(raw) - (len(raw) - cut) % 3])
