"""A recipient with a real XMPP account: scripted for tests, or the person at the keyboard.

As a library, a Recipient runs its client in a thread and every method blocks. What it says is
repeated, under the same id, until the other side has sent a receipt (XEP-0184): that is what makes a
reply survive the death of everybody else.

On a terminal: /usr/bin/python3 -m harness.xmpp_recipient --jid bob@hotel.test --host 127.0.0.1
    --port 5222 --ca certificate.pem --password-file FILE
"""

import argparse
import asyncio
import logging
import sys
import threading
import time
import uuid
from xml.sax.saxutils import escape, quoteattr

for library in ("slixmpp", "asyncio"):
    logging.getLogger(library).setLevel(logging.CRITICAL + 1)

try:
    import slixmpp
    from slixmpp.xmlstream.handler import Callback
    from slixmpp.xmlstream.matcher import MatchXPath
    from slixmpp.xmlstream.xmlstream import NotConnectedError
except ImportError:
    slixmpp = None

CLIENT = "{jabber:client}"
RECEIPTS = "{urn:xmpp:receipts}"
LOGIN_PATIENCE = 20  # seconds
PATIENCE = 120  # seconds for what is certain to come: only a failure takes as long


def child_text(element, name):
    child = element.find(CLIENT + name)
    return None if child is None else child.text or ""


class Message:
    """What came, with the parts that tests look at."""

    def __init__(self, element):
        link = element.find("{jabber:x:oob}x/{jabber:x:oob}url")
        retracted = element.find("{urn:xmpp:message-retract:1}retract")
        origin = element.find("{urn:xmpp:sid:0}origin-id")
        nick = element.find("{http://jabber.org/protocol/nick}nick")
        self.time = time.monotonic()
        self.element = element
        self.id = element.get("id")
        self.type = element.get("type", "normal")
        self.sender = element.get("from", "")
        self.body = child_text(element, "body")
        self.subject = child_text(element, "subject")
        self.thread = child_text(element, "thread")
        self.language = element.get("{http://www.w3.org/XML/1998/namespace}lang")
        self.link = None if link is None else link.text
        self.retracts = None if retracted is None else retracted.get("id")
        self.origin = None if origin is None else origin.get("id")
        self.nick = None if nick is None else nick.text
        self.buttons = [
            (button.get("value"), button.get("label"))
            for button in element.findall("{urn:xmpp:tmp:quick-response}response")
        ]


class Recipient:
    def __init__(self, jid, password, host, port, ca, receipts=True, repeat=1.0, on_message=None):
        if slixmpp is None:
            raise RuntimeError("this needs the Debian package python3-slixmpp")
        self.jid, self.password = jid, password
        self.host, self.port, self.ca = host, port, ca
        self.receipts = receipts
        self.repeat = repeat
        self.on_message = on_message
        self.messages = []
        self.errors = []  # stanzas of type error
        self.answers = {}  # iq results and errors by id
        self.presences = []
        self.received = {}  # our ids that the other side has sent a receipt for: when
        self.unreceived = {}  # our ids, and the stanza to repeat
        self.connections = 0
        self.refused = False
        self.changed = threading.Condition()
        self.closing = False
        self.online = False
        self.loop = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    # The client's thread.

    def _run(self):
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: None)
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._stay())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    async def _stay(self):
        while not self.closing:
            self._note(online=False)
            ended = asyncio.Event()
            client = self._client(ended)
            client.connect(address=(self.host, self.port))
            waiting = asyncio.ensure_future(ended.wait())
            # A server that dies in the middle of STARTTLS leaves slixmpp waiting, and tells nobody.
            patience = self.loop.time() + LOGIN_PATIENCE
            while not self.closing and not waiting.done():
                await asyncio.wait({waiting}, timeout=self.repeat)
                if not self.online and self.loop.time() > patience:
                    break
                self._repeat()
            waiting.cancel()
            self._note(online=False)
            # Left alone, it would try again by itself, and take the session from its successor.
            client.cancel_connection_attempt()
            client.abort()
            if not self.closing:
                await asyncio.sleep(0.2)

    def _client(self, ended):
        client = slixmpp.ClientXMPP(self.jid + "/phone", self.password)
        client.ca_certs = self.ca
        client.reconnect_max_attempts = 0
        for event in ("disconnected", "connection_failed", "failed_auth", "ssl_invalid_chain"):
            client.add_event_handler(event, lambda *_: ended.set())
        client.add_event_handler("failed_auth", lambda *_: self._note(refused=True))
        client.add_event_handler("session_start", self._on_session)
        for name, handle in (
            ("message", self._on_stanza),
            ("presence", self._on_presence),
            ("iq", self._on_iq),
        ):
            client.register_handler(Callback("all " + name, MatchXPath(CLIENT + name), handle))
        self.client = client
        return client

    def _note(self, **values):
        with self.changed:
            for name, value in values.items():
                setattr(self, name, value)
            self.changed.notify_all()

    def _on_session(self, _):
        self._write("<presence/>")

    def _on_own_presence(self):
        """The server has our presence and says so (RFC 6121, 4.2.2): what is sent to us from now on
        is not kept for another login."""
        with self.changed:
            if self.online:
                return
            self.connections += 1
            self.online = True
            self.changed.notify_all()
        self._repeat()

    def _repeat(self):
        if self.online:
            with self.changed:
                stanzas = list(self.unreceived.values())
            for stanza in stanzas:
                self._write(stanza)

    def _write_online(self, xml):
        """A stanza in the middle of a login would end it; what is sent offline is lost anyway."""
        if self.online:
            self._write(xml)

    def _write(self, xml):
        try:
            self.client.send_raw(xml)
        except NotConnectedError:
            pass  # what has to arrive is repeated

    def _on_presence(self, stanza):
        if stanza.xml.get("from") == self.client.boundjid.full and not stanza.xml.get("type"):
            self._on_own_presence()
        with self.changed:
            self.presences.append((stanza.xml.get("from"), stanza.xml.get("type", "available")))
            self.changed.notify_all()

    def _on_iq(self, stanza):
        with self.changed:
            self.answers[stanza.xml.get("id")] = stanza.xml
            self.changed.notify_all()

    def _on_stanza(self, stanza):
        element = stanza.xml
        with self.changed:
            got = element.find(RECEIPTS + "received")
            if element.get("type") == "error":
                self.errors.append(element)
            elif got is not None:
                self.received.setdefault(got.get("id"), time.monotonic())
                self.unreceived.pop(got.get("id"), None)
            else:
                self.messages.append(Message(element))
            self.changed.notify_all()
        if element.get("type") == "error" or got is not None:
            return
        if self.receipts and element.find(RECEIPTS + "request") is not None:
            self._write(
                "<message type='chat' to=%s id='%s'><received xmlns='urn:xmpp:receipts' id=%s/>"
                "</message>"
                % (quoteattr(element.get("from")), uuid.uuid4(), quoteattr(element.get("id")))
            )
        if self.on_message and element.find(CLIENT + "body") is not None:
            self.on_message(self, Message(element))

    # What callers use.

    def start(self, timeout=PATIENCE):
        self.thread.start()
        self.wait(lambda: self.online or self.refused, timeout, "the recipient is online")
        if self.refused:
            raise RuntimeError("the server refused the recipient's password")
        return self

    def wait(self, condition, timeout, what):
        limit = time.monotonic() + timeout
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = limit - time.monotonic()
                if left <= 0:
                    raise AssertionError("not within %g s: %s" % (timeout, what))
                self.changed.wait(left)

    def wait_message(self, timeout=PATIENCE, matches=lambda message: True, after=0):
        """The first message that fits, looked for among those from number `after` on."""

        def find():
            for message in self.messages[after:]:
                if matches(message):
                    return message
            return None

        return self.wait(find, timeout, "a message")

    def send_raw(self, xml):
        self.loop.call_soon_threadsafe(self._write_online, xml)

    def say(self, to, text, thread=None, quoted=None, id=None, insist=True, extra=""):
        """Sends a message that asks for a receipt, and repeats it until there is one."""
        id = id or str(uuid.uuid4())
        xml = (
            "<message type='chat' to=%s id=%s><body>%s</body>%s%s<request xmlns='urn:xmpp:receipts'/>"
            "<origin-id xmlns='urn:xmpp:sid:0' id=%s/>%s</message>"
            % (
                quoteattr(to),
                quoteattr(id),
                escape(text),
                "<thread>%s</thread>" % escape(thread) if thread else "",
                "<reply xmlns='urn:xmpp:reply:0' id=%s/>" % quoteattr(quoted) if quoted else "",
                quoteattr(id),
                extra,
            )
        )
        with self.changed:
            if insist:
                self.unreceived[id] = xml
        self.send_raw(xml)
        return id

    def _question(self, to, payload, kind):
        id = str(uuid.uuid4())
        self.send_raw("<iq type='%s' to=%s id='%s'>%s</iq>" % (kind, quoteattr(to), id, payload))
        return id

    def ask(self, to, payload, kind="get", timeout=PATIENCE):
        """Sends an iq and returns the answer's element."""
        id = self._question(to, payload, kind)
        self.wait(lambda: id in self.answers, timeout, "an answer to an iq")
        return self.answers[id]

    def wait_reachable(self, to, timeout=PATIENCE):
        """Until a ping of now has come back: both ends are logged in at a server that lives. Those
        that a dying server takes with it, or that come too soon, have no result."""
        limit = time.monotonic() + timeout
        pings = []

        def is_back():
            answers = [self.answers[id] for id in pings if id in self.answers]
            return any(answer.get("type") == "result" for answer in answers)

        with self.changed:
            while not is_back():
                if time.monotonic() >= limit:
                    raise AssertionError("not within %g s: %s is reachable" % (timeout, to))
                pings.append(self._question(to, "<ping xmlns='urn:xmpp:ping'/>", "get"))
                self.changed.wait_for(is_back, self.repeat)

    def wait_receipt(self, id, timeout=PATIENCE):
        return self.wait(lambda: self.received.get(id), timeout, "a receipt")

    def login_again(self, timeout=PATIENCE):
        with self.changed:
            before = self.connections
        self.loop.call_soon_threadsafe(lambda: self.client.abort())
        self.wait(lambda: self.online and self.connections > before, timeout, "another login")

    def close(self):
        self.closing = True
        if self.loop and self.thread.is_alive():
            self.thread.join(10)


def interactive(arguments):
    """Shows what comes and sends what is typed to whoever wrote last."""
    with open(arguments.password_file) as file:
        password = file.read().rstrip("\n")
    last = []

    def show(_, message):
        last[:] = [message]
        print("\n" + message.body)
        for value, label in message.buttons:
            print("   [%s] %s" % (value, label))
        print("> ", end="", flush=True)

    recipient = Recipient(
        arguments.jid, password, arguments.host, arguments.port, arguments.ca, on_message=show
    )
    recipient.start()
    print("%s is online. What you type is sent to whoever wrote last." % arguments.jid)
    print("> ", end="", flush=True)
    for line in sys.stdin:
        text = line.strip()
        if text and last:
            recipient.say(last[0].sender.split("/")[0], text, thread=last[0].thread)
        elif text:
            print("Nobody has written yet.")
        print("> ", end="", flush=True)
    recipient.close()
    return 0


def main():
    parser = argparse.ArgumentParser(description="A recipient with an XMPP account.")
    parser.add_argument("--jid", required=True)
    parser.add_argument("--password-file", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5222)
    parser.add_argument("--ca", help="the server's certificate, or its authority's")
    try:
        return interactive(parser.parse_args())
    except KeyboardInterrupt:
        return 130
    except (AssertionError, RuntimeError, OSError) as error:
        print("xmpp_recipient: %s" % error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
