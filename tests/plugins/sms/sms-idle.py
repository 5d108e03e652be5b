"""What the drivers cost while nothing happens, of a processor: less than a thousandth, after a message has left, its
report and an answer have come, and with a session that is asked whether it is still there.

usage: sms-idle.py BUILD [TEST…]
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from harness import tap  # noqa: E402
from harness.frames import Gateway  # noqa: E402
from harness.kannel import KannelCarrier  # noqa: E402
from harness.rest_carrier import RestCarrier  # noqa: E402
from harness.smsc import SmppCarrier  # noqa: E402

SECONDS = 5
LIMIT = 0.001


def rests(build, carrier, **changes):
    program = os.path.join(build, "plugins", "sms", "vestibule-sms")
    with carrier:
        gateway = Gateway(program, "sms", {**carrier.common_settings(), **carrier.settings(), **changes},
                          carrier.credentials()).start()
        try:
            gateway.wait_up()
            number = gateway.ask("send", message="msg_1", kind="notice", to="sms:" + carrier.guest, text="Text",
                                 expires=int(time.time()) + 600)
            assert gateway.wait_answer(number)["type"] == "sent"
            gateway.wait_frame("report", message="msg_1")
            carrier.wait_taken(carrier.answer(carrier.guest, "JA"))
            before = gateway.cpu()
            time.sleep(SECONDS)  # not for something to happen, but to see what nothing costs
            used = (gateway.cpu() - before) / SECONDS
            tap.note("%.4f %% of a core" % (100 * used))
            assert 0 <= used < LIMIT, "%.4f %% of a core" % (100 * used)
        finally:
            gateway.stop()
            gateway.remove()


class Tests:
    def __init__(self, build):
        self.build = build

    @tap.test
    def over_smpp_with_a_session_that_is_asked_about_each_second(self):
        carrier = SmppCarrier(self.build)
        rests(self.build, carrier, enquire_seconds="1")
        assert len(carrier.smsc.found("enquired")) >= SECONDS // 2

    @tap.test
    def over_kannel(self):
        rests(self.build, KannelCarrier(self.build))

    @tap.test
    def over_a_rest_service(self):
        rests(self.build, RestCarrier(self.build))


if __name__ == "__main__":
    sys.exit(tap.run(tap.tests_of(Tests(os.path.abspath(sys.argv[1]))), sys.argv[2:]))
