"""The SMS channel over a modem: the program against a stand-in for ModemManager on a bus of its own.

Usage: modem-server.py VESTIBULE_SMS MODEM_IMPATIENT [TEST...]      prints TAP; MODEM_IMPATIENT waits for seconds
where the other waits for minutes
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from harness import tap  # noqa: E402
from harness.frames import Gateway  # noqa: E402
from harness.modem_manager import (  # noqa: E402
    IDENTITIES, RECEIVED, REGISTERED, SEARCHING, ModemManager)
from harness.process import at_rest, wait_for  # noqa: E402

PROGRAM, IMPATIENT = sys.argv[1:3]
INCOMPLETE_SECONDS = 3  # for which IMPATIENT waits for parts
ANNA = "+4915112345678"
BERT = "+4915187654321"
INCOMPATIBLE, EXPIRED, DELIVERED = 0x41, 0x46, 0x00


class Channel(Gateway):
    """The program, with a state folder that outlives it."""

    def __init__(self, service, on_request=None, program=PROGRAM, **changes):
        self.service = service
        self.state = tempfile.mkdtemp(prefix="vestibule-sms-state-")
        self.numbers = 0
        settings = {"driver": "modem", "countries": ["DE"], "per_minute": "60000", "burst": "1000",
                    "country_code": "49", **changes}
        super().__init__(
            program, "sms", settings, on_request=on_request,
            wrapper=["/usr/bin/env", "STATE_DIRECTORY=" + self.state,
                     "DBUS_SYSTEM_BUS_ADDRESS=" + service.address])

    def send(self, text, to=ANNA, message=None, seconds=3700):
        """Asks for a message; returns the question's number and the message's id."""
        self.numbers += 1
        message = message or "msg_%d" % self.numbers
        return self.ask("send", message=message, kind="notice", to="sms:" + to, text=text,
                        expires=int(time.time()) + seconds), message

    def sends(self, text, **members):
        """Asks for a message and returns the answer."""
        return self.wait_answer(self.send(text, **members)[0])

    def replies(self):
        return self.frames("reply")

    def wait_replies(self, count):
        return self.wait(lambda: [frame for _, frame in self.log if frame["type"] == "reply"][count - 1 :]
                         and [frame for _, frame in self.log if frame["type"] == "reply"],
                         60, "%d replies" % count)

    def wait_down(self, reason):
        return self.wait_frame("status", up=False, reason=reason)

    def kill_and_start(self):
        self.kill()
        self.forget()
        return self.start().wait_up()

    def remove(self):
        super().remove()
        shutil.rmtree(self.state, ignore_errors=True)


class World:
    """A service, and a channel on it."""

    def __init__(self, start=True, **options):
        self.service = ModemManager()
        self.start_channel = start
        self.options = options

    def __enter__(self):
        self.service.start()
        self.channel = Channel(self.service, **self.options)
        if self.start_channel:
            self.channel.start().wait_up()
        return self.service, self.channel

    def __exit__(self, kind, value, trace):
        if kind:
            tap.note(self.channel.errors_text() if self.channel.process else "")
            with open(os.path.join(self.service.folder, "service.log")) as file:
                tap.note(file.read())
        status = self.channel.stop() if self.channel.process else None
        errors = self.channel.errors_text() if self.channel.process else ""
        self.channel.remove()
        self.service.remove()
        assert kind or status in (0, None), status
        assert "Cannot" not in errors, errors
        for secret in (ANNA[1:], BERT[1:], "Grüße", "geheim"):
            assert secret not in errors, "an address or a text is in the log"


def nothing_left(service, modem=0):
    """Whether neither the SIM nor the service has any message any more."""
    return not service.do("on_sim", modem=modem) and not service.do("objects", modem=modem)


def a_message_is_sent_and_its_object_deleted():
    with World() as (service, channel):
        assert channel.sends("Ihr Zimmer ist fertig.")["type"] == "sent"
        sent = service.wait_event("sent")
        assert sent["number"] == ANNA and sent["text"] == "Ihr Zimmer ist fertig.", sent
        assert sent["report"] is True and sent["minutes"] == 60, sent
        assert nothing_left(service)


def long_texts_with_umlauts_and_emoji_arrive_whole():
    long = "Grüße aus dem Café: " + "Schlüssel für Zimmer 12 – " * 9 + "🔑"
    with World() as (service, channel):
        assert channel.sends("ä" * 153 + "ö" * 20)["type"] == "sent"
        assert channel.sends(long)["type"] == "sent"
        first, second = service.wait_event("sent", count=2) and service.events("sent")
        assert (first["text"], first["parts"], first["alphabet"]) == ("ä" * 153 + "ö" * 20, 2, "gsm7")
        assert second["text"] == long and second["alphabet"] == "ucs2" and second["parts"] >= 4, second


def reports_find_their_messages():
    with World() as (service, channel):
        service.do("set", report=DELIVERED)
        _, first = channel.send("eins")
        channel.wait_report("delivered", message=first)
        service.do("set", report=INCOMPATIBLE)
        _, second = channel.send("zwei", to=BERT)
        assert channel.wait_report("failed", message=second)["permanent"] is True
        service.do("set", report=EXPIRED)
        _, third = channel.send("drei")
        assert "expired" in channel.wait_report("failed", message=third)["reason"]
        wait_for(lambda: nothing_left(service), "reports are deleted from the modem")


def reports_of_others_and_nonsense_mean_nothing():
    with World() as (service, channel):
        _, message = channel.send("eins")
        reference = service.wait_event("sent")["reference"]
        # The same reference, another recipient; then another reference; then no final state.
        service.do("report", reference=reference, number=BERT, state=DELIVERED)
        service.do("report", reference=(reference + 7) % 256, number=ANNA, state=DELIVERED)
        service.do("report", reference=reference, number="Vodafone", state=DELIVERED)
        service.do("report", reference=reference, number=ANNA, state=0x30)
        service.do("report", reference=reference, number=ANNA, state=0xFFFFFFFF)
        wait_for(lambda: nothing_left(service), "they are deleted")
        assert not channel.reports() and not channel.frames("failed")
        # The number as the country has it.
        service.do("report", reference=reference, number="0" + ANNA[3:], state=DELIVERED)
        channel.wait_report("delivered", message=message)


def a_report_stays_on_the_modem_until_the_gateway_has_it():
    answers = iter([{"type": "again"}])
    with World(on_request=lambda frame: next(answers, None)) as (service, channel):
        service.do("set", report=DELIVERED)
        _, message = channel.send("eins")
        reports = channel.wait(lambda: len(channel.frames("report")) == 2 and channel.frames("report"), 60, "two reports")
        assert [(report["message"], report["says"]) for report in reports] == [(message, "delivered")] * 2, reports
        assert service.do("objects") and not service.events("deleted", handle="report")
        channel.kill()
        channel.forget()
        channel.on_request = lambda frame: {"type": "ack"}
        channel.start()
        assert channel.wait_frame("report")["message"] == message
        service.wait_event("deleted", handle="report")
        wait_for(lambda: nothing_left(service), "it is deleted")


def a_report_finds_its_message_after_a_restart():
    with World() as (service, channel):
        number, message = channel.send("eins")
        assert channel.wait_answer(number)["type"] == "sent"
        channel.kill_and_start()
        service.do("report", reference=service.wait_event("sent")["reference"], number=ANNA, state=DELIVERED)
        channel.wait_report("delivered", message=message)


def a_reply_is_handed_in_and_deleted_after_the_acknowledgement():
    with World(on_request=lambda frame: None) as (service, channel):
        handle = service.do("receive", number=ANNA, text="Grüße 🔑 K7Q2 123456", time_text="2026-11-22T17:00:05+01:00")
        reply = channel.wait_frame("reply")
        assert reply["from"] == "sms:" + ANNA and reply["text"] == "Grüße 🔑 K7Q2 123456", reply
        assert reply["authentic"] == "weak", reply
        assert service.do("on_sim") == 1, "it is deleted before the gateway has it"
        channel.answer(reply, {"type": "ack"})
        service.wait_event("deleted", handle=handle)
        wait_for(lambda: nothing_left(service), "it is deleted")


def parts_are_waited_for_and_give_one_reply():
    with World() as (service, channel):
        service.do("receive", number=ANNA, text="Zimmer", concat=[77, 2, 2], handle="b")
        service.do("receive", number=BERT, text="dazwischen")
        assert [reply["text"] for reply in channel.wait_replies(1)] == ["dazwischen"]
        assert [one["state"] for one in service.do("objects")].count(RECEIVED) <= 1
        service.do("receive", number=ANNA, text="Mein ", concat=[77, 2, 1], handle="a")
        assert channel.wait_replies(2)[1]["text"] == "Mein Zimmer"
        service.wait_event("deleted", handle="a")
        service.wait_event("deleted", handle="b")


def what_was_there_before_is_read_at_the_start():
    with World(start=False) as (service, channel):
        for number in range(12):
            service.do("receive", number=ANNA, text="Nachricht %d" % number)
        channel.start()
        replies = channel.wait_replies(12)
        assert sorted(reply["text"] for reply in replies) == sorted("Nachricht %d" % i for i in range(12))
        wait_for(lambda: nothing_left(service), "they are deleted")


def national_numbers_are_completed_and_nameless_ones_deleted():
    with World() as (service, channel):
        service.do("receive", number="0" + ANNA[3:], text="national")
        service.do("receive", number="Vodafone", text="Werbung", handle="name")
        service.do("receive", number="", text="niemand", handle="nobody")
        service.do("receive", number=BERT, data="00ff10", handle="binary")
        reply = channel.wait_frame("reply")
        assert reply["from"] == "sms:" + ANNA, reply
        for handle in ("name", "nobody", "binary"):
            service.wait_event("deleted", handle=handle)
        assert len(channel.replies()) == 1


def what_the_gateway_cannot_take_now_comes_again_with_the_same_id():
    answers = iter([{"type": "again"}, {"type": "again"}])
    with World(on_request=lambda frame: next(answers, {"type": "ack"})) as (service, channel):
        service.do("receive", number=ANNA, text="Ja", handle="x")
        replies = channel.wait_replies(3)
        assert len({reply["inbound"] for reply in replies}) == 1
        service.wait_event("deleted", handle="x")
        # The same words at another time are another message.
        service.do("receive", number=ANNA, text="Ja", time_text="2026-11-22T17:00:05+01:00")
        assert channel.wait_replies(4)[3]["inbound"] != replies[0]["inbound"]


def a_reply_is_the_same_one_after_kill_9_of_both():
    with World(on_request=lambda frame: None) as (service, channel):
        service.do("receive", number=ANNA, text="eins", handle="x")
        service.do("receive", number=ANNA, text="zwei, ", concat=[5, 2, 1])
        service.do("receive", number=ANNA, text="drei", concat=[5, 2, 2])
        first = {reply["text"]: reply["inbound"] for reply in channel.wait_replies(2)}
        channel.kill()
        service.kill()
        service.start()
        channel.forget()
        channel.on_request = lambda frame: {"type": "ack"}
        channel.start()
        again = {reply["text"]: reply["inbound"] for reply in channel.wait_replies(2)}
        assert first == again and set(first) == {"eins", "zwei, drei"}, (first, again)
        service.wait_event("deleted", handle="x")
        wait_for(lambda: nothing_left(service), "they are deleted")


def kill_9_between_acknowledgement_and_deletion_gives_the_same_id():
    with World() as (service, channel):
        service.do("fail", error="Core.Failed", method="Delete", count=1000)
        service.do("receive", number=ANNA, text="eins", handle="x")
        service.do("receive", number=ANNA, text="zwei, ", concat=[6, 2, 1])
        service.do("receive", number=ANNA, text="drei", concat=[6, 2, 2])
        first = {reply["text"]: reply["inbound"] for reply in channel.wait_replies(2)}
        service.wait_event("call", method="Delete", count=2)
        channel.kill()
        service.do("forgive", method="Delete")
        channel.forget()
        channel.start()
        again = {reply["text"]: reply["inbound"] for reply in channel.wait_replies(2)}
        assert first == again and set(first) == {"eins", "zwei, drei"}, (first, again)
        wait_for(lambda: nothing_left(service), "they are deleted")


def a_modem_that_is_pulled_takes_no_reply_with_it():
    with World(on_request=lambda frame: None) as (service, channel):
        service.do("unplug", modem=1)
        service.do("receive", number=ANNA, text="eins", handle="x")
        before = channel.wait_frame("reply")
        service.do("hold")
        number, _ = channel.send("unterwegs", message="msg_pulled")
        service.wait_event("held")
        service.do("unplug")
        channel.wait_down("no-modem")
        assert channel.wait_answer(number)["type"] == "later"
        channel.answer(before, {"type": "ack"})
        channel.forget()
        channel.on_request = lambda frame: {"type": "ack"}
        service.do("plug")
        channel.wait_up()
        assert channel.wait_frame("reply")["inbound"] == before["inbound"]
        service.wait_event("deleted", handle="x")
        assert channel.sends("unterwegs", message="msg_pulled")["type"] == "sent"
        assert len(service.events("sent")) == 1
        wait_for(lambda: nothing_left(service), "all is deleted")


def any_modem_takes_the_place_of_one_that_is_pulled():
    with World() as (service, channel):
        assert channel.sends("hallo")["type"] == "sent"
        first = service.wait_event("sent")["modem"]
        other = 1 - first
        service.do("receive", modem=other, number=ANNA, text="an den anderen")
        service.do("unplug", modem=first)
        assert channel.wait_frame("reply")["text"] == "an den anderen"
        wait_for(lambda: channel.sends("wieder")["type"] == "sent", "the other sends")
        assert service.wait_event("sent", count=2)["modem"] == other
        # One that comes is not one to change to.
        service.do("receive", modem=first, number=ANNA, text="an den ersten")
        service.do("plug", modem=first)
        assert channel.sends("noch einmal")["type"] == "sent"
        assert service.wait_event("sent", count=3)["modem"] == other
        assert len(channel.replies()) == 1


def a_service_that_goes_and_comes_back_loses_nothing():
    with World(on_request=lambda frame: None) as (service, channel):
        service.do("receive", number=ANNA, text="vorher")
        before = channel.wait_frame("reply")
        service.kill()
        channel.wait_down("modem-manager-away")
        answer = channel.sends("niemand da")
        assert answer["type"] == "later" and answer["reason"] == "modem-manager-away", answer
        # Its question is still open: the answer is about an object that is no more.
        channel.answer(before, {"type": "ack"})
        channel.forget()
        channel.on_request = lambda frame: {"type": "ack"}
        service.start()
        channel.wait_up()
        assert channel.wait_frame("reply")["inbound"] == before["inbound"]
        assert channel.sends("wieder da")["type"] == "sent"
        wait_for(lambda: nothing_left(service), "all is deleted")


def a_modem_may_be_unplugged_and_out_of_range():
    with World() as (service, channel):
        service.do("unplug", modem=1)
        service.do("unplug")
        channel.wait_down("no-modem")
        assert channel.sends("weg")["type"] == "later"
        channel.forget()
        service.do("receive", number=ANNA, text="währenddessen")
        service.do("plug")
        channel.wait_up()
        assert channel.wait_frame("reply")["text"] == "währenddessen"
        channel.forget()
        service.do("state", state=SEARCHING)
        channel.wait_down("no-network")
        answer = channel.sends("kein Netz")
        assert answer["type"] == "later" and answer["reason"] == "no-network", answer
        channel.forget()
        for state, reason in ((3, "modem-disabled"), (2, "sim-locked"), (-1, "modem-failed")):
            service.do("state", state=state)
            wait_for(lambda: channel.sends("nicht jetzt")["reason"] == reason, reason)
        service.do("state", state=REGISTERED)
        channel.wait_up()
        assert channel.sends("da")["type"] == "sent"


def the_modem_with_the_configured_identity_is_used():
    with World(modem=IDENTITIES[1]) as (service, channel):
        assert channel.sends("hallo")["type"] == "sent"
        assert service.wait_event("sent")["modem"] == 1
        service.do("receive", modem=0, number=ANNA, text="an den anderen")
        service.do("receive", modem=1, number=ANNA, text="an diesen")
        assert channel.wait_frame("reply")["text"] == "an diesen"
        service.do("unplug", modem=1)
        channel.wait_down("no-modem")
        assert service.do("on_sim") == 1 and len(channel.replies()) == 1


def any_modem_is_one_that_works():
    with World(start=False) as (service, channel):
        service.do("state", modem=0, state=2)
        service.do("set", modem=0, messaging=False)
        channel.start().wait_up()
        assert channel.sends("hallo")["type"] == "sent"
        assert service.wait_event("sent")["modem"] == 1


def a_full_sim_slows_down_and_loses_nothing():
    with World() as (service, channel):
        service.do("set", capacity=3)
        service.do("fail", error="Message.MemoryFull", count=2)
        answer = channel.sends("voll")
        assert answer["type"] == "later" and answer["reason"] == "memory-full", answer
        assert 1 <= answer["retry_after"] <= 600, answer
        assert channel.sends("voll")["type"] == "later"
        assert channel.sends("voll")["type"] == "sent"
        service.do("fail", error="Message.MemoryFull", count=1)
        rest = ["zwei", "drei", "vier"]
        while rest:
            rest = [text for text in rest if channel.sends(text, message="msg_" + text)["type"] == "later"]
        sent = [event["text"] for event in service.events("sent")]
        assert sorted(sent) == ["drei", "vier", "voll", "zwei"], sent
        for number in range(20):
            service.do("receive", number=ANNA, text="Nachricht %d" % number)
        replies = channel.wait_replies(20)
        assert {reply["text"] for reply in replies} == {"Nachricht %d" % i for i in range(20)}
        wait_for(lambda: nothing_left(service) and service.do("at_centre") == 0, "all came")
        assert len(channel.replies()) == 20, "some came twice"


def a_sim_that_parts_have_filled_is_emptied_message_by_message():
    with World(program=IMPATIENT) as (service, channel):
        service.do("set", capacity=3)
        for part in (1, 2):
            service.do("receive", number=ANNA, text="Teil %d " % part, concat=[1, 3, part], handle="anna")
        service.do("receive", number=BERT, text="Zimmer ", concat=[2, 2, 1])
        # There is no room for any of these before something is given up.
        service.do("receive", number=BERT, text="12", concat=[2, 2, 2])
        service.do("receive", number=BERT, text="Ja")
        assert service.do("at_centre") == 2
        replies = channel.wait_replies(2)
        assert {reply["text"] for reply in replies} == {"Zimmer 12", "Ja"}, replies
        assert len(service.events("deleted", handle="anna")) == 2
        wait_for(lambda: nothing_left(service) and service.do("at_centre") == 0, "all is deleted")
        assert len(channel.replies()) == 2


def parts_that_never_come_take_no_time_from_another_message():
    with World(program=IMPATIENT) as (service, channel):
        service.do("receive", number=ANNA, text="Mein ", concat=[4, 2, 1], handle="anna")
        time.sleep(INCOMPLETE_SECONDS * 0.7)  # so that one is given up while the other waits
        begun = time.monotonic()
        service.do("receive", number=BERT, text="Zimmer ", concat=[5, 2, 1], handle="bert")
        assert not service.events("deleted", handle="anna"), "both have to wait at once"
        service.wait_event("deleted", handle="anna")
        service.wait_event("deleted", handle="bert")
        waited = time.monotonic() - begun
        tap.note("another message is waited for %.1f s of %d" % (waited, INCOMPLETE_SECONDS))
        assert waited >= INCOMPLETE_SECONDS, waited


def without_a_network_nothing_is_given_up():
    with World(program=IMPATIENT) as (service, channel):
        service.do("receive", number=ANNA, text="Mein ", concat=[3, 2, 1])
        service.do("state", state=SEARCHING)
        channel.wait_down("no-network")
        time.sleep(INCOMPLETE_SECONDS + 2)  # not for something to happen, but to see that nothing does
        assert service.do("on_sim") == 1
        service.do("state", state=REGISTERED)
        service.do("receive", number=ANNA, text="Zimmer", concat=[3, 2, 2])
        assert channel.wait_frame("reply")["text"] == "Mein Zimmer"


def refusals_are_told_for_what_they_are():
    with World() as (service, channel):
        for error, text, kind, permanent in (
                ("Message.NetworkTimeout", "", "failed", False),
                ("Message.SmscAddressUnknown", "", "failed", False),
                ("Message.Unknown", "Unknown message error: 1", "failed", True),
                ("Message.InvalidPduParameter", "", "failed", True),
                ("Core.Unauthorized", "", "failed", False),
                ("Message.SimBusy", "", "later", None),
                ("org.freedesktop.libqmi.Error.Protocol.Internal", "", "failed", False)):
            service.do("fail", error=error, text=text)
            answer = channel.sends("Versuch " + error)
            assert answer["type"] == kind, (error, answer)
            assert kind == "later" or answer["permanent"] is permanent, (error, answer)
        service.do("fail", error="Core.WrongState", method="Create")
        assert channel.sends("angelegt")["type"] == "later"


def a_repeated_message_uses_its_first_object():
    text = "Grüße " * 40
    with World() as (service, channel):
        service.do("fail", error="Message.NetworkTimeout")
        assert channel.sends(text, message="msg_again")["type"] == "failed"
        objects = service.do("objects")
        assert channel.sends(text, message="msg_again")["type"] == "sent"
        assert len(objects) == 1 and len(service.events("call", method="Create")) == 1
        assert nothing_left(service)


def a_message_that_was_sent_before_kill_9_is_not_sent_twice():
    with World() as (service, channel):
        service.do("hold")
        channel.send("Ihr Code: geheim 1", message="msg_held")
        service.wait_event("held")
        channel.kill()
        service.do("release")
        service.wait_event("sent")
        channel.kill_and_start()
        assert channel.sends("Ihr Code: geheim 1", message="msg_held")["type"] == "sent"
        assert len(service.events("sent")) == 1
        assert nothing_left(service)
        # That was one message. The next one with the same words is another.
        assert channel.sends("Ihr Code: geheim 1", message="msg_next")["type"] == "sent"
        assert len(service.events("sent")) == 2


def a_message_that_is_being_sent_at_kill_9_is_waited_for():
    with World() as (service, channel):
        service.do("hold")
        channel.send("Ihr Code: geheim 2", message="msg_held")
        service.wait_event("held")
        channel.kill_and_start()
        answer = channel.sends("Ihr Code: geheim 2", message="msg_held")
        assert answer["type"] == "later" and answer["reason"] == "being-sent", answer
        assert 1 <= answer["retry_after"] <= 5, answer
        # It alone waits for its end.
        service.do("hold", on=False)
        assert channel.sends("inzwischen", to=BERT)["type"] == "sent"
        service.do("release")
        service.wait_event("sent", number=ANNA)
        wait_for(lambda: channel.sends("Ihr Code: geheim 2", message="msg_held")["type"] == "sent", "it is sent")
        assert len(service.events("sent", number=ANNA)) == 1
        assert len(service.events("held")) == 1
        wait_for(lambda: nothing_left(service), "it is deleted")


def a_message_that_kill_9_left_behind_is_sent_in_the_end():
    with World(program=IMPATIENT) as (service, channel):
        service.do("hold")
        channel.send("Ihr Code: geheim 3", message="msg_held")
        service.wait_event("held")
        channel.kill_and_start()
        service.do("hold", on=False)
        assert channel.sends("Ihr Code: geheim 3", message="msg_held")["reason"] == "being-sent"
        wait_for(lambda: channel.sends("Ihr Code: geheim 3", message="msg_held")["type"] == "sent", "it is sent")
        assert len(service.events("call", method="Create")) == 1
        wait_for(lambda: nothing_left(service), "it is deleted")


def an_object_that_somebody_deleted_is_made_again():
    with World() as (service, channel):
        service.do("fail", error="Message.NetworkTimeout")
        assert channel.sends("gelöscht", message="msg_gone")["type"] == "failed"
        service.do("forget")
        wait_for(lambda: channel.sends("gelöscht", message="msg_gone")["type"] == "sent", "it is sent")
        assert len(service.events("sent")) == 1 and len(service.events("call", method="Create")) == 2
        assert nothing_left(service)


def a_service_that_dies_while_it_sends_is_no_try():
    with World() as (service, channel):
        service.do("hold")
        number, _ = channel.send("unterwegs")
        service.wait_event("held")
        service.kill()
        assert channel.wait_answer(number)["type"] == "later"
        channel.forget()
        service.start()
        channel.wait_up()
        assert channel.sends("unterwegs")["type"] == "sent"


def the_bus_may_go_and_come_back():
    with World() as (service, channel):
        service.stop_bus()
        channel.wait_down("no-system-bus")
        assert channel.sends("kein Bus")["type"] == "later"
        service.stop()
        channel.forget()
        service.start()
        channel.wait_up()
        assert channel.sends("Bus")["type"] == "sent"


def it_waits_for_a_bus_and_a_service_that_are_not_there_yet():
    with World(start=False) as (service, channel):
        service.stop()
        channel.start()
        wait_for(lambda: channel.sends("kein Bus")["reason"] == "no-system-bus", "there is no bus")
        service.start_bus()
        wait_for(lambda: channel.sends("nur ein Bus")["reason"] == "modem-manager-away", "there is no service")
        service.start()
        channel.wait_up()


def deleting_is_tried_again():
    with World() as (service, channel):
        service.do("fail", error="Core.Failed", method="Delete", count=2)
        handle = service.do("receive", number=ANNA, text="bleibt")
        service.wait_event("deleted", handle=handle)
        assert len(channel.replies()) == 1
        # And of what was sent.
        service.do("fail", error="Core.Failed", method="Delete", count=1)
        assert channel.sends("gesendet")["type"] == "sent"
        wait_for(lambda: nothing_left(service), "it is deleted")


def kill_9_at_any_moment_loses_no_reply():
    with World() as (service, channel):
        taken = []
        channel.on_request = lambda frame: (taken.append((frame["inbound"], frame["text"])), {"type": "ack"})[1]
        service.do("set", capacity=5)
        for round_number in range(4):
            for number in range(10):
                service.do("receive", number=ANNA, text="Runde %d Nachricht %d" % (round_number, number))
            wait_for(lambda: len(set(taken)) > round_number * 10, "some of it is taken")
            channel.kill()
            if round_number % 2:
                service.kill()
                service.start()
            channel.start()
        everything = {"Runde %d Nachricht %d" % (r, n) for r in range(4) for n in range(10)}
        wait_for(lambda: {text for _, text in list(taken)} == everything, "all came")
        wait_for(lambda: nothing_left(service) and service.do("at_centre") == 0, "all is deleted")
        # What came twice came with the same id.
        assert len(set(taken)) == len(everything), taken


def idle_it_does_nothing():
    seconds = 3
    with World() as (service, channel):
        assert channel.sends("hallo")["type"] == "sent"
        # A message that failed waits for its repetition, a part for the others: both have their timers.
        service.do("fail", error="Message.NetworkTimeout")
        assert channel.sends("vergebens")["type"] == "failed"
        service.do("receive", number=ANNA, text="Teil", concat=[4, 2, 1])
        used, begun = at_rest(channel.process.pid, seconds)
        tap.note("%.4f %% of a core" % (100 * used / seconds))
        assert used < 0.001 * seconds, "more than 0.1 % of a core"
        assert begun == 0, "it was woken"


def a_wrong_identity_is_refused_at_the_start():
    for wrong in ("35000000000001", "350000000000017"):
        with World(start=False, modem=wrong) as (service, channel):
            channel.start()
    for wrong in ("modem0", "12", "3500000000000171717", ""):
        service = ModemManager()
        channel = Channel(service, modem=wrong)
        channel.start()
        assert channel.process.wait(60) == os.EX_CONFIG, wrong
        channel.stop()
        assert "modem" in channel.errors_text()
        channel.remove()
        service.remove()


if __name__ == "__main__":
    if shutil.which("dbus-daemon") is None or subprocess.run(
            ["/usr/bin/python3", "-c", "import dbus, gi"], stderr=subprocess.DEVNULL, check=False).returncode:
        print("1..0 # SKIP no dbus-daemon, python3-dbus or python3-gi")
        sys.exit(0)
    sys.exit(tap.run(tap.functions_below(nothing_left), sys.argv[3:]))
