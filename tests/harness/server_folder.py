"""What every server of the harness needs: a folder, free ports, a certificate, an end."""

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """In a child: nothing outlives a test, whatever ends it."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


claims = []


def claim_port(port):
    """False when a test that runs beside this one has it, though nothing of it may listen just now.
    A claim is a name in the kernel, which goes with the process that holds it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind("\0vestibule-test-port-%d" % port)
    except OSError:
        claim.close()
        return False
    claims.append(claim)
    return True


def free_port():
    """A free port that stays ours over restarts: outside the range of outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(12000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if claim_port(port):
                return port


def wait_for_port(port, process, timeout):
    limit = time.monotonic() + timeout
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise RuntimeError("the server ended with status %d" % process.returncode)
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("port %d did not open within %g s" % (port, timeout))


def has_ended(pid):
    """Whether it is gone, or dead with all its threads and not reaped. A dead first thread is not
    enough: the others still hold the files and the listening ports."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return True
    state, threads = fields[0], int(fields[17])
    return state == "X" or state == "Z" and threads <= 1


def wait_for_end(pids, timeout=60):
    """Waits for processes that are not our children."""
    limit = time.monotonic() + timeout
    for pid in pids:
        while not has_ended(pid) and time.monotonic() < limit:
            time.sleep(0.01)


def descendants(pid):
    """The pids of a process and of all below it, the deepest last."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as file:
                    parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [pid]
    for parent in found:
        found += [child for child, above in parents.items() if above == parent]
    return found


class Server:
    """A server in a folder of its own; subclasses write its configuration and say how to start it."""

    domain = "hotel.test"
    component = "keys.hotel.test"
    secret = "component secret"
    start_timeout = 120

    def __init__(self, folder=None):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="vestibule-%s-" % self.name)
        os.chmod(self.folder, 0o755)
        self.client_port = free_port()
        self.component_port = free_port()
        self.certificate = os.path.join(self.folder, "certificate.pem")
        self.key = os.path.join(self.folder, "key.pem")
        self.log = os.path.join(self.folder, "output.log")
        self.process = None
        self.make_certificate()
        self.configure()

    def make_certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-days", "2", "-keyout", self.key, "-out", self.certificate]
            + ["-subj", "/CN=" + self.domain]
            + ["-addext", "subjectAltName=DNS:%s,DNS:localhost" % self.domain],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start(self):
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent,
                cwd="/",
            )
        try:
            for port in (self.client_port, self.component_port):
                wait_for_port(port, self.process, self.start_timeout)
        except RuntimeError:
            self.kill()
            raise
        return self

    @staticmethod
    def _signal(pids, number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def _halt(self):
        """Stops all of it where it stands, so that nothing is born meanwhile that would outlive the rest and
        keep a port. Returns the pids."""
        halted = []
        while True:
            found = [pid for pid in descendants(self.process.pid) if pid not in halted]
            if not found:
                return halted
            self._signal(found, signal.SIGSTOP)
            halted += found

    def kill(self):
        """kill -9, as a crash or a power cut would."""
        if self.process:
            pids = self._halt()
            self._signal(pids, signal.SIGKILL)
            self.process.wait()
            wait_for_end(pids)
            self.process = None

    def stop(self):
        if self.process:
            pids = descendants(self.process.pid)
            self._signal(pids, signal.SIGTERM)
            try:
                self.process.wait(5)
                wait_for_end(pids)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def remove(self, failed=False):
        """Stops, and removes the folder unless a failure should be looked into."""
        self.stop()
        if failed:
            print("# kept the server's files in %s" % self.folder, file=sys.stderr)
            self.own_folder = False
        elif self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        self.remove(failed=kind is not None)
