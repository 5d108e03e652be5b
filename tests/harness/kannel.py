"""A real Kannel on loopback, in a folder of its own: bearerbox, smsbox, and the SMS centre for tests
that bearerbox has built in (`smsc = fake`), whose telephones are here."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import termios
import threading
import time
import urllib.parse

from .server_folder import die_with_parent, free_port, wait_for_port
from .sms_carrier import SmsCarrier, Text, to_septets

CONFIGURATION = """\
group = core
admin-port = {admin_port}
admin-password = "administrator"
admin-interface = "127.0.0.1"
smsbox-port = {smsbox_port}
smsbox-interface = "127.0.0.1"
box-allow-ip = "127.0.0.1"
store-type = spool
store-location = "{folder}/spool"
dlr-storage = spool
dlr-spool = "{folder}/dlr"
sms-combine-concatenated-mo = {combine}
sms-outgoing-queue-limit = {queue_limit}
log-file = "{folder}/bearerbox.log"
log-level = 1

group = smsc
smsc = fake
smsc-id = fake
host = 127.0.0.1
our-host = 127.0.0.1
port = {fake_port}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {smsbox_port}
sendsms-port = {sendsms_port}
sendsms-interface = "127.0.0.1"
http-request-retry = 8640
http-queue-delay = 1
log-file = "{folder}/smsbox.log"
log-level = 1
access-log = "{folder}/access.log"

group = sendsms-user
username = gateway
password = "{password}"
max-messages = 10

group = sms-service
keyword = default
catch-all = true
max-messages = 0
omit-empty = true
get-url = "http://127.0.0.1:{callback_port}/{secret}/mo?from=%p&to=%P&text=%b&coding=%c&charset=%C&udh=%u&id=%I&ts=%T"
"""

LINE = re.compile(rb"^(\S+) (\S+) (?:udh (\S+) )?(text|data|ucs-2) (.*)$", re.DOTALL)
TAKEN = re.compile(r"SMS HTTP-request .* url: '(\S+)' reply: 200 ")


class KannelCarrier(SmsCarrier):
    """smsbox takes what people wrote from bearerbox's store before it asks us, and keeps it in memory until we
    have taken it: what it has then is lost with it. What we send is in the store before we hear of it."""

    driver = "kannel"
    forgets = True
    password = "the password of kannel"
    secret = "c2VjcmV0LW9mLXRoZS1jYWxsYmFja3M"

    def __init__(self, build, combine=True, queue_limit=100000):
        super().__init__(build)
        self.combine = "true" if combine else "false"
        self.queue_limit = queue_limit
        for name in ("admin", "smsbox", "fake", "sendsms", "callback"):
            setattr(self, name + "_port", free_port())
        self.processes = []
        self.phone = None
        self.reader = None
        self.parts = {}
        self.lines = []  # as telephones got them: (to, header, content)
        self.sent = []
        self.taken, self.taken_ids = [], set()
        self.reference = 0
        self.offset = 0  # in smsbox's log
        for name in ("spool", "dlr"):
            os.mkdir(os.path.join(self.folder, name))
        self.file = os.path.join(self.folder, "kannel.conf")
        with open(self.file, "w") as file:
            file.write(CONFIGURATION.format(**{
                name: getattr(self, name) for name in dir(self) if not name.startswith("_")}))

    def settings(self):
        return {
            "url": "http://127.0.0.1:%d/cgi-bin/sendsms" % self.sendsms_port,
            "username": "gateway",
            "listen": "127.0.0.1:%d" % self.callback_port,
        }

    def credentials(self):
        return {"kannel-password": self.password, "callback-path": self.secret}

    def _run(self, program, port):
        with open(os.path.join(self.folder, "output.log"), "ab") as output:
            process = subprocess.Popen(
                [program, "-v", "4", self.file], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=die_with_parent, cwd="/")
        self.processes.append(process)
        wait_for_port(port, process, 60)

    def start(self, attached=True):
        self._run("/usr/sbin/bearerbox", self.smsbox_port)
        wait_for_port(self.fake_port, self.processes[0], 60)
        self._run("/usr/sbin/smsbox", self.sendsms_port)
        if attached:
            self.attach()
        return self

    def attach(self):
        """The telephones have a network. Without one, Kannel keeps what is for them."""
        self.phone = socket.create_connection(("127.0.0.1", self.fake_port), 10)
        self.phone.settimeout(0.05)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def detach(self):
        if self.phone:
            try:
                self.phone.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.reader.join()
            self.phone.close()
            self.phone = None

    def _end(self, number):
        for process in reversed(self.processes):
            process.send_signal(number)
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        self.detach()

    def stop(self):
        self._end(signal.SIGTERM)

    def kill(self):
        self._let_arrive()
        self._end(signal.SIGKILL)

    def victims(self):
        """Without bearerbox, smsbox takes ten seconds to end of itself, and does nothing in them."""
        return {"bearerbox": self.kill_and_start, "smsbox": self.kill_smsbox}

    def kill_smsbox(self):
        smsbox = self.processes.pop()
        smsbox.kill()
        smsbox.wait()
        self._run("/usr/sbin/smsbox", self.sendsms_port)

    def _let_arrive(self):
        """The protocol to the telephones acknowledges nothing: what is written is as good as there."""
        if self.phone and self.processes:
            self.processes[0].send_signal(signal.SIGSTOP)
            while any(fcntl.ioctl(self.phone, termios.FIONREAD, bytes(4))):
                time.sleep(0.001)

    # Telephones that get messages.

    def _read(self):
        """Text of GSM-7 comes as it is: a line that begins no message goes on with the one before."""
        phone, rest, message = self.phone, b"", None
        while True:
            try:
                data = phone.recv(65536)
                if not data:
                    break
                rest += data
            except socket.timeout:
                message = self._end_message(message)
                self._read_access_log()
                continue
            except OSError:
                break
            *lines, rest = rest.split(b"\n")
            for line in lines:
                match = LINE.match(line)
                if match and match[1] == self.sender.encode():
                    self._end_message(message)
                    message = list(match.groups())
                elif message:
                    message[4] += b"\n" + line
        self._end_message(message)

    def _end_message(self, message):
        if not message:
            return None
        sender, to, header, kind, content = message
        sender, to = sender.decode(), to.decode()
        with self.changed:
            self.lines.append((to, header, content))
        if kind != b"text":
            content = urllib.parse.unquote_to_bytes(content.replace(b"+", b" "))
        if header:
            header = urllib.parse.unquote_to_bytes(header.replace(b"+", b" "))
        self.note_copy(to, header and header[3:], content)
        if header:
            self._take_part(sender, to, header, content)
        elif kind == b"ucs-2":
            self.show(Text(to, sender, content.decode("utf-16-be"), 1, "ucs2"))
        else:
            self.show(Text(to, sender, content.decode(), 1, "gsm7"))
        return None

    def _take_part(self, sender, to, header, content):
        """A part with a 16-bit reference. A phone that has it already shows nothing new."""
        assert header[:3] == b"\x06\x08\x04", header
        total, part = header[5], header[6]
        key = (sender, to, header[3:5], total)
        with self.changed:
            parts = self.parts.setdefault(key, {})
            assert parts.get(part, content) == content, "another part has the same reference"
            is_new = part not in parts
            parts[part] = content
        if is_new and len(parts) == total:
            octets = b"".join(parts[number] for number in sorted(parts))
            alphabet = "ucs2" if b"\0" in octets else "gsm7"
            text = "".join(parts[number].decode("utf-16-be" if alphabet == "ucs2" else "utf-8", "replace")
                           for number in sorted(parts))
            self.show(Text(to, sender, text, total, alphabet))

    # Telephones that send some.

    def _read_access_log(self):
        try:
            with open(os.path.join(self.folder, "access.log"), "rb") as file:
                file.seek(self.offset)
                content = file.read()
        except FileNotFoundError:
            return
        content = content[: content.rfind(b"\n") + 1]
        self.offset += len(content)
        text = content.decode(errors="replace")
        for line in text.splitlines():
            match = TAKEN.search(line)
            if match and "/mo?" in match[1]:
                values = dict(urllib.parse.parse_qsl(match[1].split("?", 1)[1], encoding="latin-1"))
                # Killed between our answer and its own, smsbox gets it once more, by the same name.
                if values["id"] in self.taken_ids:
                    continue
                self.taken_ids.add(values["id"])
                content = values.get("text", "").encode("latin-1")
                with self.changed:
                    self.taken.append((values["from"], content.decode(
                        "utf-16-be" if values["coding"] == "2" else "utf-8", "replace")))
                    self.changed.notify_all()

    def _write(self, sender, kind, *fields):
        to = self.sender.lstrip("+")
        self.phone.sendall(b" ".join([sender.encode(), to.encode(), kind, *fields]) + b"\n")

    def answer(self, sender, text):
        octets, parts = to_septets(text), [text]
        if octets is None:
            self._write(sender, b"ucs2", urllib.parse.quote_from_bytes(text.encode("utf-16-be")).encode())
        elif len(octets) <= 160 and "\n" not in text:
            self._write(sender, b"text", text.encode())
        else:
            parts = self._answer_in_parts(sender, text)
        if self.combine == "true":
            parts = [text]
        with self.changed:
            self.sent += [(sender, part) for part in parts]
            return [((sender, part), self.sent.count((sender, part))) for part in set(parts)]

    def _answer_in_parts(self, sender, text):
        parts = [text[i : i + 70] for i in range(0, len(text), 70)]
        self.reference = (self.reference + 1) % 256
        for number, part in enumerate(parts, 1):
            header = bytes((5, 0, 3, self.reference, len(parts), number))
            self._write(sender, b"udh-text", urllib.parse.quote_from_bytes(header).encode(), part.encode())
        return parts

    def is_taken(self, handle):
        return all(self.taken.count(part) >= n for part, n in handle)
