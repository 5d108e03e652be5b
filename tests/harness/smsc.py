"""An SMS centre for tests: smsc.js in a process of its own, with telephones.

    smsc.py --install FOLDER    fetches what smsc.js is made of into FOLDER/npm

What that is, is pinned with digests in package-lock.json; it comes from npm's registry, or npm's cache,
into the build folder, when it is first needed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    __package__ = "harness"
    import harness  # noqa: F401

from .server_folder import die_with_parent, free_port, wait_for_end  # noqa: E402
from .sms_carrier import SmsCarrier, Text, read_part as text_of_part, to_septets  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 60

OK, THROTTLED, QUEUE_FULL, LATER = 0x00, 0x58, 0x14, 0x64


def install(build):
    """Returns the folder of node's modules; does nothing when what is there is what the lock file says."""
    folder = os.path.join(os.path.abspath(build), "npm")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(HERE, "package-lock.json"), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    with open(os.path.join(folder, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = os.path.join(folder, "installed")
        if os.path.exists(stamp):
            with open(stamp) as file:
                if file.read() == digest:
                    return os.path.join(folder, "node_modules")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(HERE, name), folder)
        fetch(folder)
        with open(stamp, "w") as file:
            file.write(digest)
    return os.path.join(folder, "node_modules")


def fetch(folder):
    if not shutil.which("npm") or not shutil.which("node"):
        raise RuntimeError("the SMS centre of the tests needs node and npm, which are not installed")
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--omit=dev", "--prefer-offline", "--no-audit", "--no-fund"],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError("the SMS centre of the tests cannot be fetched: npm's registry is out of reach, or has"
                           " something else than package-lock.json says\n" + done.stdout)


class Smsc:
    """The centre. Its events are kept, with the time, in `events`; `behave()` says how it behaves from
    now on, by the names that smsc.js knows."""

    system_id, password = "hotel", "s3cr3t"

    def __init__(self, build, certificate=None, key=None, changed=None, on_taken=None, **behaviour):
        self.modules = install(build)
        self.folder = tempfile.mkdtemp(prefix="vestibule-smsc-")
        self.port = free_port()
        self.certificate, self.key = certificate, key
        self.behaviour = behaviour
        self.changed = changed or threading.Condition()
        self.on_taken = on_taken
        self.events = []
        self.process = None
        self.n_keys = 0

    # Its process.

    def start(self):
        configuration = {
            "folder": self.folder, "port": self.port, "system_id": self.system_id, "password": self.password,
            "behaviour": self.behaviour,
        }
        if self.key:
            configuration.update(key=self.key, certificate=self.certificate)
        with open(os.path.join(self.folder, "errors"), "ab") as errors:
            self.process = subprocess.Popen(
                ["node", os.path.join(HERE, "smsc.js"), json.dumps(configuration)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "NODE_PATH": self.modules},
                start_new_session=True, preexec_fn=die_with_parent, cwd="/")
        mark = self.mark()
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        self.wait_event("listening", after=mark)
        return self

    def _read(self, output):
        for line in output:
            event = json.loads(line)
            with self.changed:
                self.events.append((time.monotonic(), event))
                if event["event"] == "taken" and self.on_taken:
                    self.on_taken(event)
                self.changed.notify_all()

    def _end(self):
        pid = self.process.pid
        self.process.wait()
        wait_for_end([pid])
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except OSError:
                pass
        self.process = None

    def kill(self):
        """kill -9; start() goes on with what it had taken and what it has to hand in."""
        if self.process:
            self.process.kill()
            self._end()

    def stop(self):
        """Ends it, and removes what it has kept."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def errors_text(self):
        with open(os.path.join(self.folder, "errors")) as file:
            return file.read()

    # Events.

    def wait(self, condition, what, timeout=PATIENCE):
        limit = time.monotonic() + timeout
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = limit - time.monotonic()
                if left <= 0:
                    raise AssertionError("not within %g s: %s; the last events were %s" % (
                        timeout, what, [event for _, event in self.events[-6:]]))
                if self.process is None or self.process.poll() is not None:
                    raise AssertionError("the SMS centre has ended: " + self.errors_text())
                self.changed.wait(min(left, 1))

    def mark(self):
        """A place in the events, for `after`."""
        with self.changed:
            return len(self.events)

    def found(self, kind, after=0, **members):
        """The events of a kind from a place on; called with the lock or without."""
        return [event for _, event in self.events[after:]
                if event["event"] == kind and all(event.get(k) == v for k, v in members.items())]

    def wait_event(self, kind, after=0, count=1, timeout=PATIENCE, **members):
        """The count-th event of a kind from a place on."""
        def find():
            found = self.found(kind, after, **members)
            return found[count - 1] if len(found) >= count else None

        return self.wait(find, "%d x %s %s" % (count, kind, members), timeout)

    def time_of(self, event):
        with self.changed:
            return next(when for when, other in self.events if other is event)

    # Commands.

    def tell(self, command, **members):
        self.process.stdin.write(json.dumps({"do": command, **members}) + "\n")
        self.process.stdin.flush()

    def sync(self):
        """Returns when it has done what it was told before."""
        mark, key = self.mark(), self._key()
        self.tell("mark", key=key)
        self.wait_event("mark", mark, key=key)

    def behave(self, **values):
        """Changes how it behaves, also after it is started again."""
        self.behaviour.update(values)
        self.tell("set", values=values)
        self.sync()

    def _key(self):
        self.n_keys += 1
        return self.n_keys

    def raw(self, octets):
        self.tell("raw", hex=octets.hex())

    def deliver(self, **pdu):
        """Hands in a deliver_sm; `octets` is its short_message. Returns its number."""
        mark, key = self.mark(), self._key()
        pdu.setdefault("source_addr_ton", 1)
        pdu.setdefault("source_addr_npi", 1)
        for name in ("octets", "message_payload"):
            if name in pdu:
                pdu[name] = pdu[name].hex()
        self.tell("deliver", pdu=pdu, key=key)
        return self.wait_event("queued", mark, key=key)["number"]

    def wait_answered(self, number, status=OK, after=0, timeout=PATIENCE):
        return self.wait_event("answered", after, number=number, status=status, timeout=timeout)

    def is_taken(self, number):
        return bool(self.found("answered", number=number, status=OK))

    def say(self, sender, to, text, how="udh16", reference=77, order=None):
        """What a person writes, as the centre would cut it: one part where it fits, else by `how`, one of
        udh8, udh16 and sar. Returns the numbers of its parts."""
        coding, parts = cut(text, how)
        numbers = []
        for i in order or range(len(parts)):
            members = {"source_addr": sender.lstrip("+"), "destination_addr": to.lstrip("+"),
                       "data_coding": coding, "octets": parts[i]}
            if len(parts) > 1:
                members.update(concatenation(how, reference, len(parts), i + 1, parts[i]))
            numbers.append(self.deliver(**members))
        return numbers


def cut(text, how):
    """The data_coding of a text, and the octets of its parts."""
    octets, coding, single, several = to_septets(text), 0, 160, 153
    if octets is None:
        octets, coding, single, several = text.encode("utf-16-be"), 8, 140, 134
    if how == "udh16":
        several -= 1 if coding == 0 else 2
    if len(octets) <= single:
        return coding, [octets]
    return coding, [octets[i : i + several] for i in range(0, len(octets), several)]


def concatenation(how, reference, total, part, octets):
    if how == "sar":
        return {"sar_msg_ref_num": reference, "sar_total_segments": total, "sar_segment_seqnum": part}
    header = bytes((5, 0, 3, reference & 255, total, part))
    if how == "udh16":
        header = bytes((6, 8, 4, reference >> 8, reference & 255, total, part))
    return {"esm_class": 0x40, "octets": header + octets}


def read_part(taken):
    """A submit_sm as (reference, total, part, alphabet, octets of its text)."""
    octets = bytes.fromhex(taken["octets"])
    reference, total, part = 0, 1, 1
    if taken["esm_class"] & 0x40:
        header, octets = octets[: octets[0] + 1], octets[octets[0] + 1 :]
        assert header[:3] == bytes((6, 8, 4)), header.hex()
        reference, total, part = header[3] << 8 | header[4], header[5], header[6]
    return reference, total, part, "ucs2" if taken["coding"] == 8 else "gsm7", octets


class SmppCarrier(SmsCarrier):
    """A carrier by SMPP."""

    driver = "smpp"

    def __init__(self, build, **behaviour):
        super().__init__(build)
        behaviour.setdefault("receipt", "after")
        self.parts = {}  # (to, reference, total): {part: (alphabet, octets)}
        self.smsc = Smsc(build, changed=self.changed, on_taken=self._take, **behaviour)

    def _take(self, taken):
        """A telephone puts parts together, and knows those that it has."""
        reference, total, part, alphabet, octets = read_part(taken)
        key = (taken["to"], reference, total)
        self.note_copy("+" + taken["to"], (reference, part) if total > 1 else None, octets)
        if taken["held"]:
            return
        if total == 1:
            whole = {1: (alphabet, octets)}
        else:
            whole = self.parts.setdefault(key, {})
            whole[part] = (alphabet, octets)
        if len(whole) < total:
            return
        self.parts.pop(key, None)
        text = "".join(text_of_part(*whole[i]) for i in range(1, total + 1))
        sender = ("+" if taken["from_type"] == 1 else "") + taken["from"]
        self.show(Text("+" + taken["to"], sender, text, total, alphabet))

    def start(self):
        self.smsc.start()
        return self

    def stop(self):
        self.smsc.stop()

    def kill(self):
        self.smsc.kill()

    def victims(self):
        return {"centre": self.kill_and_start}

    def settings(self):
        return {"host": "127.0.0.1", "port": str(self.smsc.port), "system_id": Smsc.system_id}

    def credentials(self):
        return {"smpp-password": Smsc.password}

    def answer(self, sender, text):
        return self.smsc.say(sender, self.sender, text)

    def is_taken(self, handle):
        return all(self.smsc.is_taken(number) for number in handle)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--install":
        sys.exit(__doc__)
    try:
        install(sys.argv[2])
    except RuntimeError as problem:
        sys.exit("smsc.py: %s" % problem)
