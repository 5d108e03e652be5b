"""The LMTP route on its socket: what a mail server, a slow one and a bad one get from it.

usage: mail-lmtp.py MAIL-ROUTE IMPATIENT [TEST…]
"""

import os
import smtplib
import socket
import stat
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from harness.frames import PATIENCE
from harness.lmtp_client import FROM, Client
from harness.mail_route import MailRoute, digest
from harness.tap import note, run, side_by_side, test, tests_of

BOB = "bob@hotel.test"
MAIL = b"From: anna@example.org\r\nSubject: x\r\n\r\n"
SIZE_MAX = 10 * 1024 * 1024
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})
"""


class Tests:
    def __init__(self, program, impatient):
        self.program, self.impatient = program, impatient

    def route(self, program=None):
        return MailRoute(program or self.program, {"from": "keys@hotel.test"})

    def started(self, program=None):
        route = self.route(program)
        route.start("lmtp:" + route.path("lmtp.sock"))
        route.socket = route.path("lmtp.sock")
        return route

    @test
    def a_mail_is_handed_in_as_it_was_written_and_answered_when_it_is_settled(self):
        with self.started() as route, Client(route.socket) as client:
            route.say("policy hold")
            content = MAIL + b"..one dot\r\nend\r\n"
            client.send(b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (FROM.encode(), BOB.encode()))
            assert client.codes(3) == [250, 250, 354]
            client.send(content + b".\r\n")
            [arrival] = route.wait_arrivals(1)
            assert arrival["digest"] == digest(content.replace(b"..one", b".one"))
            assert (arrival["path"], arrival["recipient"]) == (FROM, BOB)
            client.socket.settimeout(0.2)
            try:
                raise AssertionError("answered before it was settled: %s" % (client.answer(),))
            except TimeoutError:
                pass
            client.close()

    @test
    def python_s_own_client_is_served(self):
        with self.started() as route:
            with smtplib.LMTP(route.socket, local_hostname="mx.test") as client:
                assert client.sendmail(FROM, [BOB], MAIL + b"hello\r\n") == {}
                for name, code in (("refused", 550), ("later", 451), ("nobody", 550)):
                    try:
                        client.sendmail(FROM, [name + "@hotel.test"], MAIL)
                        raise AssertionError(name + " was taken")
                    except smtplib.SMTPDataError as error:
                        assert error.smtp_code == code
                    except smtplib.SMTPRecipientsRefused as error:
                        assert error.recipients[name + "@hotel.test"][0] == code
                assert client.sendmail(FROM, [BOB], MAIL + b"again\r\n") == {}
            texts = [a["text"].split("\r\n")[-2] for a in route.wait_arrivals(4)]
            assert (texts[0], texts[3], len(texts)) == ("hello", "again", 4)

    @test
    def each_recipient_has_its_own_answer_whatever_order_they_come_in(self):
        with self.started() as route, Client(route.socket) as client:
            client.send("MAIL FROM:<>\r\n")
            names = ["hold1", "later", "refused", "bob", "hold2", "nobody"]
            for name in names:
                client.send("RCPT TO:<%s@hotel.test>\r\n" % name)
            client.send("DATA\r\n")
            assert client.codes(8) == [250, 250, 250, 250, 250, 250, 550, 354]
            client.send(MAIL + b".\r\n")
            arrivals = route.wait_arrivals(5)
            assert [a["path"] for a in arrivals] == [""] * 5
            route.settle(arrivals[4], "later")
            route.settle(arrivals[0], "taken")
            assert client.codes(5) == [250, 451, 550, 250, 451]

    @test
    def pipelined_mails_are_all_answered_in_order(self):
        with self.started() as route, Client(route.socket) as client:
            one = "MAIL FROM:<a@b.test>\r\nRCPT TO:<%s@hotel.test>\r\nDATA\r\n"
            text = "".join(
                one % name + MAIL.decode() + "%d\r\n.\r\n" % i
                for i, name in enumerate(["bob", "later", "refused"] * 100))
            sender = threading.Thread(target=client.send, args=(text + "QUIT\r\n",))
            sender.start()
            codes = client.codes(1201)
            sender.join()
            assert codes == [250, 250, 354, 250, 250, 250, 354, 451, 250, 250, 354, 550] * 100 + [221]
            assert client.answer()[0] == 0
            texts = [a["text"] for a in route.wait_arrivals(300)]
            assert [text.split("\r\n")[-2] for text in texts] == [str(i) for i in range(300)]

    @test
    def more_answers_than_are_kept_at_once_all_come(self):
        with self.started() as route, Client(route.socket) as client:
            client.send("LHLO mx.test\r\n" * 900)
            assert client.codes(900) == [250] * 900
            assert client.deliver(MAIL, BOB) == [250]

    @test
    def no_mail_comes_of_data_after_all_recipients_were_refused(self):
        with self.started() as route, Client(route.socket) as client:
            client.send(
                "MAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@hotel.test>\r\nDATA\r\n" + MAIL.decode()
                + "phantom\r\n.\r\nRSET\r\n")
            assert client.codes(9) == [250, 550, 503] + [500] * 5 + [250]
            assert client.deliver(MAIL + b"real\r\n", BOB) == [250]
            assert not [a for a in route.wait_arrivals(1) if "phantom" in a["text"]]

    @test
    def a_cut_in_the_middle_of_a_mail_leaves_nothing(self):
        with self.started() as route:
            text = "MAIL FROM:<a@b.test>\r\nRCPT TO:<bob@hotel.test>\r\nDATA\r\n" + MAIL.decode() + "cut\r\n.\r"
            for size in range(1, len(text) + 1, 3):
                with Client(route.socket) as client:
                    client.send(text[:size])
            with Client(route.socket) as client:
                assert client.deliver(MAIL + b"whole\r\n", BOB) == [250]
            [arrival] = route.wait_arrivals(1)
            assert arrival["text"].endswith("whole\r\n")

    @test
    def who_goes_before_the_answer_costs_nothing_but_the_repetition(self):
        with self.started() as route:
            for _ in range(20):
                client = Client(route.socket)
                client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<hold@hotel.test>\r\nDATA\r\n")
                client.send(MAIL + b".\r\n")
                assert client.codes(3) == [250, 250, 354]
                client.close()
            arrivals = route.wait_arrivals(20)
            for arrival in arrivals:
                route.settle(arrival, "taken")
            with Client(route.socket) as client:
                assert client.deliver(MAIL, BOB) == [250]

    @test
    def who_only_stops_sending_still_gets_the_answer(self):
        with self.started() as route, Client(route.socket) as client:
            client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<hold@hotel.test>\r\nDATA\r\n")
            client.send(MAIL + b".\r\n")
            client.socket.shutdown(socket.SHUT_WR)
            [arrival] = route.wait_arrivals(1)
            route.settle(arrival, "later")
            assert client.codes(5) == [250, 250, 354, 451, 0]

    @test
    def a_line_feed_alone_smuggles_nothing(self):
        evil = [b"\n.\r\n", b"\r\n.\n", b"\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\x00.\r\n"]
        with self.started() as route:
            for end in evil:
                inner = b"MAIL FROM:<evil@b.test>\r\nRCPT TO:<bob@hotel.test>\r\nDATA\r\nsmuggled\r\n"
                with Client(route.socket) as client:
                    assert client.deliver(MAIL + b"a" + end + inner, BOB) == [554], end
                    assert client.deliver(MAIL + b"after\r\n", BOB) == [250]
            arrivals = route.wait_arrivals(len(evil))
            assert len(arrivals) == len(evil)
            assert all(a["text"].endswith("after\r\n") and a["path"] == FROM for a in arrivals)

    @test
    def a_mail_of_ten_megabytes_is_taken_and_a_larger_one_refused(self):
        line = b"x" * 998 + b"\r\n"
        with self.started() as route, Client(route.socket) as client:
            largest = MAIL + line * ((SIZE_MAX - len(MAIL)) // 1000)
            assert client.deliver(largest, BOB) == [250]
            assert client.deliver(largest + line, BOB) == [552]
            assert client.ask("MAIL FROM:<a@b.test> SIZE=%d" % (SIZE_MAX + 1))[0] == 552
            [arrival] = route.wait_arrivals(1)
            assert arrival["digest"] == digest(largest)

    @test
    def while_the_channel_is_busy_nothing_is_read_and_nothing_is_lost(self):
        with self.started() as route:
            route.say("limit 3")
            clients = [Client(route.socket) for _ in range(10)]
            for i, client in enumerate(clients):
                client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<hold@hotel.test>\r\nDATA\r\n")
                client.send(MAIL + b"%d\r\n.\r\n" % i)
            for count in range(3, 11):
                arrivals = route.wait_arrivals(count)
                assert len(arrivals) == count
                route.settle(arrivals[count - 3], "taken")
            for arrival in route.wait_arrivals(10)[8:]:
                route.settle(arrival, "taken")
            for client in clients:
                assert client.codes(4) == [250, 250, 354, 250]
                client.close()
            assert len({a["text"] for a in route.arrivals()}) == 10

    @test
    def what_waits_too_long_for_a_busy_channel_is_given_back(self):
        with self.started(self.impatient) as route:
            route.say("limit 1")
            with Client(route.socket) as first, Client(route.socket) as second:
                for client in (first, second):
                    client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<hold@hotel.test>\r\n"
                                "RCPT TO:<hold2@hotel.test>\r\nDATA\r\n")
                    client.send(MAIL + b".\r\n")
                    if client is first:
                        route.wait_arrivals(1)
                assert second.codes(6) == [250, 250, 250, 354, 451, 451]
                [arrival] = route.wait_arrivals(1)
                route.settle(arrival, "taken")
                assert first.codes(6) == [250, 250, 250, 354, 250, 451]

    @test
    def who_says_nothing_is_told_and_left(self):
        with self.started(self.impatient) as route:
            silent = Client(route.socket)
            inside = Client(route.socket)
            inside.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<bob@hotel.test>\r\nDATA\r\nfrom: x\r\n")
            assert inside.codes(3) == [250, 250, 354]
            for client in (silent, inside):
                assert client.answer()[0] == 421
                assert client.answer()[0] == 0
            assert not route.arrivals()

    @test
    def who_drips_has_an_end_as_well(self):
        with self.started(self.impatient) as route, Client(route.socket) as client:
            client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<bob@hotel.test>\r\nDATA\r\n")
            assert client.codes(3) == [250, 250, 354]
            start = time.monotonic()
            try:
                while time.monotonic() - start < PATIENCE:
                    client.send("x")
                    client.socket.settimeout(0.3)
                    try:
                        if client.answer()[0] in (421, 0):
                            break
                    except TimeoutError:
                        client.reader = client.socket.makefile("rb")
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert time.monotonic() - start < PATIENCE, "it was never ended"
            assert not route.arrivals()

    @test
    def who_does_not_read_its_answers_costs_little_memory(self):
        with self.started() as route:
            before = route.memory()
            clients = [Client(route.socket) for _ in range(20)]
            for client in clients:
                client.socket.settimeout(0.5)
                try:
                    client.send("VRFY x\r\nNOOP\r\n" * 100000)
                except OSError:
                    pass
            with Client(route.socket) as other:
                assert other.deliver(MAIL, BOB) == [250]
            grown = route.memory() - before
            note("20 that do not read: %d KiB each" % (grown // 20480))
            assert grown < 20 * 512 * 1024
            for client in clients:
                client.close()

    @test
    def many_large_mails_at_once_stay_within_the_bound_and_all_arrive(self):
        line = b"y" * 998 + b"\r\n"
        content = MAIL + line * 6000
        with self.started() as route:
            route.say("policy hold")
            before = route.memory()
            clients = [Client(route.socket) for _ in range(24)]
            for client in clients:
                client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<bob@hotel.test>\r\nDATA\r\n")
                assert client.codes(3) == [250, 250, 354]
            answers, peak = [], 0

            def deliver(client):
                client.send(content + b".\r\n")
                answers.append(client.answer()[0])

            threads = [threading.Thread(target=deliver, args=(client,), daemon=True) for client in clients]
            for thread in threads:
                thread.start()
            route.wait_arrivals(1)
            last, grown = 0, time.monotonic()  # nothing is settled until it has what it wants to have
            while time.monotonic() < grown + 1:
                if route.memory() - before > last + (1 << 20):
                    last, grown = route.memory() - before, time.monotonic()
                time.sleep(0.02)
            for i in range(24):
                settled = route.wait_arrivals(i + 1)[i]
                peak = max(peak, route.memory() - before)
                route.settle(settled, "taken")
            for thread in threads:
                thread.join()
            note("24 mails of 6 MB at once: %d MiB at most" % (peak >> 20))
            assert answers == [250] * 24
            assert peak < 110 << 20
            for client in clients:
                client.close()

    @test
    def hundreds_of_connections_are_served_and_more_wait(self):
        with self.started() as route:
            clients = [Client(route.socket) for _ in range(500)]
            late = [Client(route.socket, greet=False) for _ in range(50)]
            for client in clients:
                client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<bob@hotel.test>\r\nDATA\r\n")
                client.send(MAIL + b".\r\nQUIT\r\n")
            for client in clients:
                assert client.codes(5) == [250, 250, 354, 250, 221]
                client.close()
            for client in late:
                assert client.answer()[0] == 220
                assert client.ask("LHLO late.test")[0] == 250
                assert client.deliver(MAIL, BOB) == [250]
                client.close()
            assert len(route.wait_arrivals(550)) == 550

    @test
    def who_leaves_says_so_to_everybody(self):
        with self.started() as route:
            clients = [Client(route.socket) for _ in range(3)]
            clients[1].send("MAIL FROM:<a@b.test>\r\nRCPT TO:<hold@hotel.test>\r\nDATA\r\n")
            clients[1].send(MAIL + b".\r\n")
            clients[2].send("MAIL FROM:<a@b.test>\r\nRCPT TO:<bob@hotel.test>\r\nDATA\r\nsubject: y\r\n")
            assert clients[1].codes(3) == [250, 250, 354]
            assert clients[2].codes(3) == [250, 250, 354]
            route.wait_arrivals(1)
            route.leave()
            for client in clients:
                assert client.codes(2) == [421, 0]
                client.close()

    @test
    def the_socket_is_for_owner_and_group_and_goes_with_the_program(self):
        with self.started() as route:
            assert stat.S_IMODE(os.stat(route.socket).st_mode) == 0o660
            assert route.stop() == 0
            assert not os.path.exists(route.socket)

    @test
    def a_socket_that_a_crash_left_is_replaced_and_one_in_use_is_not(self):
        with self.started() as route:
            route.kill()
            assert os.path.exists(route.socket)
            route.start(route.place)
            with Client(route.socket) as client:
                assert client.deliver(MAIL, BOB) == [250]
            second = subprocess.run(
                [self.program, route.place], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
            assert second.returncode == 78, second
            with Client(route.socket) as client:
                assert client.deliver(MAIL, BOB) == [250]

    @test
    def what_is_no_socket_is_never_removed(self):
        with self.route() as route:
            path = route.path("precious")
            with open(path, "w") as file:
                file.write("x")
            route.start("lmtp:" + path, wait=False)
            assert route.process.wait(PATIENCE) == 78
            with open(path) as file:
                assert file.read() == "x"
            route.process = None

    @test
    def a_socket_of_systemd_is_used_and_stays(self):
        with self.route() as route:
            path = route.path("passed.sock")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(8)
            route.wrapper = [sys.executable, "-c", AS_SYSTEMD, str(listener.fileno())]
            route.start("lmtp:" + path, pass_fds=(listener.fileno(),))
            listener.close()
            with Client(path) as client:
                assert client.deliver(MAIL, BOB) == [250]
            assert route.stop() == 0
            assert os.path.exists(path)

    @test
    def a_route_without_visitors_costs_no_processor_time(self):
        with self.started() as route, Client(route.socket):
            before = route.cpu()
            time.sleep(3)
            assert route.cpu() - before < 0.003


def main():
    tests = Tests(sys.argv[1], sys.argv[2])
    return run(side_by_side(tests_of(tests), sys.argv[3:]), sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
