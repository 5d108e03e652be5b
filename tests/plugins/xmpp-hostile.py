"""The XMPP plugin and a server that sends what it should not, or says nothing.

usage: xmpp-hostile.py PROGRAM IMPATIENT [TEST…]
"""

import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness.frames import PATIENCE, Gateway
from harness.tap import note, run, test, tests_of

US = "keys@keys.hotel.test"
BOB = "xmpp:bob@hotel.test"
HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' "
    "xmlns='jabber:component:accept' from='keys.hotel.test' id='s1'>"
)


class Component:
    """The server's side of XEP-0114, as far as a plugin can tell. Pings are sent round."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(8)
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.connection = None
        self.accepted = 0
        self.text = ""
        self.pings = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _read_until(self, connection, end):
        text = ""
        while end not in text:
            data = connection.recv(4096)
            if not data:
                raise OSError("the plugin has left")
            text += data.decode()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._read_until(connection, "<stream:stream")
            connection.sendall(HEADER.encode())
            self._read_until(connection, "</handshake>")
            with self.changed:
                self.connection, self.text = connection, ""
                self.accepted += 1
                self.changed.notify_all()
            connection.sendall(b"<handshake/>")
            while True:
                data = connection.recv(65536).decode(errors="replace")
                if not data:
                    return
                with self.changed:
                    self.text += data
                    self.changed.notify_all()
                if self.pings:
                    for ping in re.findall(r"<iq [^>]*><ping [^>]*/></iq>", data):
                        connection.sendall(ping.encode())
        except OSError:
            return

    def send(self, data):
        self.connection.sendall(data if isinstance(data, bytes) else data.encode())

    def wait(self, condition, what, timeout=PATIENCE):
        limit = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = limit - time.monotonic()
                if left <= 0:
                    raise AssertionError("not within %g s: %s" % (timeout, what))
                self.changed.wait(left)

    def cut(self):
        self.connection.shutdown(socket.SHUT_RDWR)


def message(content, attributes="", sender="bob@hotel.test/x"):
    return "<message from='%s' to='%s' type='chat' %s>%s</message>" % (
        sender,
        US,
        attributes,
        content,
    )


class Tests:
    def __init__(self, program, impatient):
        self.program, self.impatient = program, impatient
        self.numbers = iter(range(1, 1 << 30))

    def pair(self, program):
        server = Component()
        gateway = Gateway(
            program,
            "xmpp",
            {"jid": "keys.hotel.test", "host": "127.0.0.1", "port": str(server.port)},
            {"xmpp-secret": "component secret"},
        )
        gateway.start().wait_up()
        return server, gateway

    def open(self, program=None):
        self.server, self.gateway = self.pair(program or self.program)

    def open_elder(self):
        """A second plugin that is left alone for long enough by what the other tests take."""
        self.elder_server, self.elder = self.pair(self.program)
        number = self.elder.ask("send", message="old", kind="notice", to=BOB, text="x")
        assert self.elder.wait_answer(number)["type"] == "sent"
        self.elder_since = time.monotonic()

    def restart(self, program=None):
        """A plugin that has failed at nothing yet, and so tries again at once."""
        self.close()
        self.open(program)

    def close(self):
        assert self.gateway.process.poll() is None
        assert self.gateway.stop() == 0
        self.gateway.remove()
        self.server.listener.close()

    def send(self, message):
        return self.gateway.ask("send", message=message, kind="notice", to=BOB, text="x")

    def assert_alive(self):
        """A reply passes, so all before it has been worked through."""
        text = "alive %d" % next(self.numbers)
        self.server.send(message("<body>%s</body>" % text, "id='%s'" % text))
        self.gateway.wait_frame("reply", text=text)

    def costs(self, what, data, limit):
        """Sends what one stanger's stanza may be; the stream goes on."""
        accepted, cpu = self.server.accepted, self.gateway.cpu()
        self.server.send(data)
        self.assert_alive()
        cost = self.gateway.cpu() - cpu
        note("%s: %d bytes cost %.0f ms" % (what, len(data), cost * 1000))
        assert self.server.accepted == accepted, "the stream ended"
        assert cost < limit

    @test
    def a_wide_stanza_costs_little(self):
        self.costs("60,000 elements", message("<a/>" * 60000), 1)

    @test
    def a_deep_stanza_costs_little(self):
        self.costs("150,000 levels", message("<a>" * 150000 + "</a>" * 150000), 1)

    @test
    def a_stanza_with_many_line_feeds_costs_little(self):
        self.costs("400,000 line feeds", message("<body>%s</body>" % ("\n" * 400000)), 1)

    @test
    def a_body_of_8_megabytes_costs_little(self):
        self.costs("8 MB of body", message("<body>%s</body>" % ("x" * (8 << 20))), 2)

    @test
    def a_stanza_with_many_attributes_costs_little(self):
        attributes = " ".join("a%d='x'" % i for i in range(10000))
        self.costs("10,000 attributes", message("<a %s/>" % attributes), 1)

    @test
    def a_stanza_in_many_writes_is_taken_when_its_last_byte_comes(self):
        data = message("<body>in pieces</body>", "id='pieces'").encode()
        for i in range(len(data)):
            self.server.send(data[i : i + 1])
        self.gateway.wait_frame("reply", text="in pieces")

    def ends_the_stream(self, data):
        self.restart()
        self.gateway.forget()
        accepted = self.server.accepted
        try:
            self.server.send(data)
        except OSError:
            pass
        self.gateway.wait_frame("status", up=False)
        self.server.wait(lambda: self.server.accepted > accepted, "a new stream")
        self.gateway.wait_up()
        self.assert_alive()

    @test
    def an_attribute_of_8_megabytes_ends_the_stream_and_it_comes_back(self):
        self.ends_the_stream(message("<a b='%s'/>" % ("x" * (8 << 20))))
        note("8 MB of attribute: %.0f ms" % (self.gateway.cpu() * 1000))

    @test
    def malformed_xml_ends_the_stream_and_it_comes_back(self):
        for data in (b"<message></iq>", b"<message>\xff\xfe</message>", b"<a>&nobody;</a>"):
            self.ends_the_stream(data)

    @test
    def a_stream_error_ends_the_stream_and_it_comes_back(self):
        self.ends_the_stream(
            "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            "</stream:error></stream:stream>"
        )

    @test
    def messages_in_doubt_when_the_stream_ends_fail_for_now(self):
        self.restart()
        self.server.pings = False
        numbers = [
            self.send("doubt_%d" % i)
            for i in range(10)
        ]
        self.server.wait(lambda: self.server.text.count("<body>x</body>") == 10, "ten messages")
        self.server.wait(lambda: "<ping " in self.server.text, "the question behind them")
        assert self.server.text.count("<ping ") == 1
        assert not any(number in self.gateway.answers for number in numbers)
        self.server.cut()
        for number in numbers:
            answer = self.gateway.wait_answer(number)
            assert answer["type"] == "failed" and answer["permanent"] is False
            assert answer["reason"] == "stream-closed" and answer["retry_after"] >= 1
        self.server.pings = True
        self.gateway.wait_up()

    @test
    def a_receipt_that_comes_first_settles_the_doubt(self):
        self.restart()
        self.server.pings = False
        number = self.gateway.ask("send", message="early", kind="notice", to=BOB, text="early")
        self.server.wait(lambda: "<body>early</body>" in self.server.text, "the message")
        self.server.send(
            message("<received xmlns='urn:xmpp:receipts' id='early'/>", sender="eve@hotel.test/x")
        )
        self.assert_alive()
        assert number not in self.gateway.answers
        self.server.send(message("<received xmlns='urn:xmpp:receipts' id='early'/>"))
        self.gateway.wait_frame("delivered", message="early")
        assert self.gateway.wait_answer(number)["type"] == "sent"
        self.server.pings = True

    def lost(self):
        return {f["message"]: f for f in self.gateway.frames("failed") if "message" in f}

    @test
    def what_was_sent_and_shows_no_sign_may_be_lost_with_the_stream(self):
        self.restart()
        names = ["received", "displayed", "bounced", "quoted", "answered", "forged", "silent"]
        for number in [self.send(name) for name in names]:
            assert self.gateway.wait_answer(number)["type"] == "sent"
        received = "<received xmlns='urn:xmpp:receipts' id='%s'/>"
        quotes = "<body>%s</body><reply xmlns='urn:xmpp:reply:0' id='%s'/>"
        for stanza in (
            message(received % "received"),
            message("<displayed xmlns='urn:xmpp:chat-markers:0' id='displayed'/>"),
            "<message from='bob@hotel.test' to='%s' type='error' id='bounced'><error type='wait'>"
            "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>" % US,
            message(quotes % ("1", "quoted"), "id='q1'"),
            message("<body>2</body>", "id='q2'"),
            message(received % "forged", sender="eve@hotel.test/x"),
            message(quotes % ("3", "forged"), "id='q3'", sender="eve@hotel.test/x"),
        ):
            self.server.send(stanza)
        self.assert_alive()
        assert list(self.lost()) == ["bounced"]
        self.gateway.forget()
        self.server.cut()
        self.gateway.wait_frame("status", up=False)
        assert list(self.lost()) == ["answered", "forged", "silent"]
        for frame in self.lost().values():
            assert frame["permanent"] is False and frame["reason"] == "stream-closed"
        self.gateway.wait_up()

        # Once, unless it is sent again.
        self.gateway.forget()
        assert self.gateway.wait_answer(self.send("silent"))["type"] == "sent"
        self.server.cut()
        self.gateway.wait_frame("status", up=False)
        assert list(self.lost()) == ["silent"]
        self.gateway.wait_up()

    @test
    def a_server_that_stops_answering_is_left(self):
        self.restart(self.impatient)
        self.gateway.forget()
        self.server.pings = False
        number = self.gateway.ask("send", message="mute", kind="notice", to=BOB, text="mute")
        self.gateway.wait_frame("status", up=False, reason="no-answer")
        assert self.gateway.wait_answer(number)["type"] == "failed"
        assert self.gateway.cpu() < 1, "it was not idle while it waited"
        self.server.pings = True
        self.gateway.wait_up()

    @test
    def replies_that_the_gateway_does_not_take_are_bounded_and_get_no_receipt(self):
        self.restart()
        self.gateway.on_request = lambda frame: None
        for i in range(3000):
            self.server.send(
                message(
                    "<body>flood %d</body><request xmlns='urn:xmpp:receipts'/>" % i, "id='f%d'" % i
                )
            )
        # A question that is answered shows that all before it has been read.
        self.server.send(
            "<iq from='bob@hotel.test/x' to='%s' type='get' id='last'>"
            "<ping xmlns='urn:xmpp:ping'/></iq>" % US
        )
        self.server.wait(lambda: 'id="last"' in self.server.text, "the last answer")
        assert "urn:xmpp:receipts" not in self.server.text
        self.gateway.wait_frame("reply")
        replies = self.gateway.frames("reply")
        assert 0 < len(replies) <= 1024
        self.gateway.on_request = lambda frame: {"type": "ack"}
        for frame in replies:
            self.gateway.answer(frame, {"type": "ack"})
        self.server.wait(
            lambda: self.server.text.count("urn:xmpp:receipts") == 1024, "1,024 receipts"
        )
        self.assert_alive()
        note("the plugin has used %.2f s" % self.gateway.cpu())

    @test
    def a_tls_handshake_that_never_ends_is_left(self):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)

        def serve():
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(
                b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' "
                b"xmlns='jabber:client' version='1.0' id='x'><stream:features><starttls "
                b"xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
            )
            connection.recv(4096)
            connection.sendall(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            while connection.recv(4096):
                pass
            ended.set()

        ended = threading.Event()
        threading.Thread(target=serve, daemon=True).start()
        other = Gateway(
            self.impatient,
            "xmpp",
            {
                "mode": "client",
                "jid": "front@hotel.test",
                "host": "127.0.0.1",
                "port": str(listener.getsockname()[1]),
            },
            {"xmpp-password": "front password"},
        )
        other.start()
        try:
            other.wait(
                lambda: [
                    f for _, f in other.log if f["type"] == "status" and f["reason"] != "connecting"
                ],
                PATIENCE,
                "it gives up",
            )
            assert ended.wait(PATIENCE)
            assert other.cpu() < 1, "it was not idle while it waited"
        finally:
            listener.close()
            assert other.stop() == 0
            other.remove()

    @test
    def what_was_sent_ten_seconds_ago_is_not_called_lost(self):
        time.sleep(max(0, self.elder_since + 10.5 - time.monotonic()))
        number = self.elder.ask("send", message="new", kind="notice", to=BOB, text="x")
        assert self.elder.wait_answer(number)["type"] == "sent"
        self.elder_server.cut()
        self.elder.wait_frame("status", up=False, reason="stream-closed")
        assert [f["message"] for f in self.elder.frames("failed")] == ["new"]
        assert self.elder.stop() == 0
        self.elder.remove()
        self.elder_server.listener.close()


def main():
    tests = Tests(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    only = sys.argv[3:]
    tests.open_elder()
    tests.open()
    chosen = [pair for pair in tests_of(tests) if not only or pair[0] in only]
    return run(chosen + [("it ends in order", tests.close)])


if __name__ == "__main__":
    sys.exit(main())
