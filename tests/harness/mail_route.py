"""An inbound route of the email plugin alone, with a channel that the test decides for."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

from .process import PATIENCE, scheduled
from .server_folder import die_with_parent


def digest(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


class MailRoute:
    """The program mail-route on one place; its folder is there before it starts."""

    def __init__(self, program, settings=None, credentials=None, wrapper=()):
        self.program, self.settings = program, settings or {}
        self.wrapper = list(wrapper)
        self.folder = tempfile.mkdtemp(prefix="vestibule-route-")
        credentials_folder = os.path.join(self.folder, "credentials")
        os.mkdir(credentials_folder, 0o700)
        for name, value in (credentials or {}).items():
            path = os.path.join(credentials_folder, name)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(value)
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "CREDENTIALS_DIRECTORY": credentials_folder,
            **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")},
        }
        # Under the sanitizer what is freed would count as held.
        self.environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
        self.events = []
        self.changed = threading.Condition()
        self.process = None

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def start(self, place, wait=True, pass_fds=()):
        self.place = place
        with self.changed:
            self.events = []
        with open(self.path("stderr"), "ab") as errors:
            self.process = subprocess.Popen(
                self.wrapper + [self.program, place, json.dumps(self.settings)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=self.environment, preexec_fn=die_with_parent, pass_fds=pass_fds)
        self.reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self.reader.start()
        if wait:
            self.wait(lambda: any(e["event"] == "started" for e in self.events), "a start")
        return self

    def _read(self, process):
        for line in process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.events.append({"event": "ended"})
            self.changed.notify_all()

    def say(self, text):
        """Returns when it was done."""
        def obeyed():
            return len([event for event in self.events if event["event"] == "obeyed"])

        with self.changed:
            before = obeyed()
        self._write(text)
        self.wait(lambda: obeyed() > before, text)

    def _write(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait(self, condition, what, timeout=PATIENCE):
        limit = time.monotonic() + timeout
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = limit - time.monotonic()
                if self.events and self.events[-1]["event"] == "ended":
                    left = 0
                assert left > 0, "not within %g s: %s; %s" % (timeout, what, self.errors_text())
                self.changed.wait(left)

    def arrivals(self):
        return [event for event in self.events if event["event"] == "arrival"]

    def wait_arrivals(self, count):
        self.wait(lambda: len(self.arrivals()) >= count, "%d arrivals" % count)
        with self.changed:
            return self.arrivals()

    def wait_route(self, up, reason=None):
        def found():
            states = [event for event in self.events if event["event"] == "route"]
            return states and states[-1]["up"] == up and reason in (None, states[-1]["reason"])

        self.wait(found, "the route is %s" % ("up" if up else "down"))

    def settle(self, arrival, how):
        self.say("settle %d %s" % (arrival["n"], how))

    def errors_text(self):
        try:
            with open(self.path("stderr"), errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def memory(self):
        """Bytes that it has in memory now."""
        with open("/proc/%d/status" % self.process.pid) as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))

    def cpu(self):
        """Seconds that its threads have run, to the nanosecond."""
        return scheduled(self.process.pid)[0]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdin = None
        self.process = None

    def leave(self):
        """Tells it to go."""
        self._write("quit")

    def stop(self):
        """Its status, after it was told to go."""
        if self.process is None:
            return 0
        try:
            self._write("quit")
        except OSError:
            pass  # it has gone by itself
        status = self.process.wait(PATIENCE)
        self.reader.join()
        self.process.stdin = None
        self.process = None
        return status

    def remove(self):
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status = 0
        if kind is None:
            status = self.stop()
        errors = self.errors_text()
        self.remove()
        assert status == 0, "it ended with %d: %s" % (status, errors)
