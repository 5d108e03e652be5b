"""That messages to Kannel go over kept connections: as many as are under way at a time, and no more; and that none
is lost or doubled when Kannel has closed one meanwhile. Against a double, which counts them.

usage: kannel-keepalive.py VESTIBULE_SMS [TEST…]
"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from harness.frames import PATIENCE, Gateway  # noqa: E402
from harness.smsbox import Smsbox  # noqa: E402
from harness.tap import note, run, test, tests_of  # noqa: E402

GUEST = "+4915112345678"
WINDOW = 4
BESIDE = 1  # a connection for what is asked beside the window: whether Kannel is there


class Tests:
    def __init__(self, program):
        self.program = program
        self.number = 0

    def _open(self, decide=lambda part: 202):
        self.smsbox = Smsbox(decide)
        settings = {
            "driver": "kannel", "sender": "+4930901820", "countries": ["DE"], "quiet_hours": "",
            "per_minute": "1000000", "burst": "1000", "window": str(WINDOW), "username": "gateway",
            "url": "http://127.0.0.1:%d/" % self.smsbox.server_port,
            "listen": "127.0.0.1:0", "callback_url": "http://127.0.0.1:1",
        }
        credentials = {"kannel-password": "a password", "callback-path": "p" * 22}
        self.gateway = Gateway(self.program, "sms", settings, credentials).start()
        self.gateway.wait_up()

    def _close(self):
        status = self.gateway.stop()
        self.gateway.remove()
        self.smsbox.close()
        assert status == 0, "the plugin ended with status %s" % status

    def _ask(self):
        self.number += 1
        return self.gateway.ask("send", message="msg_%d" % self.number, kind="notice", to="sms:" + GUEST,
                                text="Nachricht %d" % self.number, expires=int(time.time()) + 3600)

    def _send(self, count):
        """All at once; returns when all are with Kannel, each once."""
        before = len(self.smsbox.texts)
        for number in [self._ask() for _ in range(count)]:
            answer = self.gateway.wait_answer(number)
            assert answer["type"] == "sent", answer
        texts = self.smsbox.texts[before:]
        assert len(texts) == count == len(set(texts)), "%d of %d, %d of them different" % (
            len(texts), count, len(set(texts)))

    @test
    def messages_one_after_another_share_a_connection(self):
        self._open()
        for _ in range(100):
            self._send(1)
        note("%d connections for 100 messages one after another" % self.smsbox.accepted)
        self._close()
        assert self.smsbox.accepted == 1, self.smsbox.accepted

    @test
    def messages_at_once_take_no_more_connections_than_the_window(self):
        lock, all_there = threading.Lock(), threading.Event()
        under_way, most = [0], [0]

        def decide(part):
            with lock:
                under_way[0] += 1
                most[0] = max(most[0], under_way[0])
                if under_way[0] == WINDOW:
                    all_there.set()
            is_full = all_there.wait(PATIENCE)
            with lock:
                under_way[0] -= 1
            return 202 if is_full else 500

        self._open(decide)
        self._send(200)
        note("%d connections for 200 messages at once, %d of them under way at a time" % (self.smsbox.accepted, most[0]))
        self._close()
        assert most[0] == WINDOW and WINDOW <= self.smsbox.accepted <= WINDOW + BESIDE, (most, self.smsbox.accepted)

    @test
    def a_connection_that_kannel_has_closed_costs_no_message(self):
        self._open()
        for _ in range(20):
            self._send(1)
            self.smsbox.end_connections()
        self._send(1)
        note("%d connections, each closed after a message, for 21 messages" % self.smsbox.accepted)
        self._close()
        assert self.smsbox.accepted == 21, self.smsbox.accepted


if __name__ == "__main__":
    sys.exit(run(tests_of(Tests(sys.argv[1])), sys.argv[2:]))
