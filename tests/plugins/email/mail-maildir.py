"""The Maildir route: what lies in new/, whatever it is, and what becomes of it.

usage: mail-maildir.py MAIL-ROUTE IMPATIENT [TEST…]
"""

import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from harness.frames import PATIENCE
from harness.mail_route import MailRoute, digest
from harness.tap import Skip, note, run, side_by_side, test, tests_of

SIZE_MAX = 10 * 1024 * 1024


class Maildir(MailRoute):
    """The route with its folder."""

    def __init__(self, program, make=True):
        super().__init__(program)
        self.maildir = self.path("Maildir")
        self.number = 0
        if make:
            self.make()

    def make(self):
        for name in ("tmp", "new", "cur"):
            os.makedirs(os.path.join(self.maildir, name))

    def start(self, **options):
        return super().start("maildir:" + self.maildir, **options)

    def file(self, *names):
        return os.path.join(self.maildir, *names)

    def deliver(self, content, name=None, link=False):
        """As a mail server does."""
        self.number += 1
        name = name or "%d.M1P%d.mx" % (self.number, os.getpid())
        with open(self.file("tmp", name), "wb") as file:
            file.write(content)
        if link:
            os.link(self.file("tmp", name), self.file("new", name))
            os.unlink(self.file("tmp", name))
        else:
            os.rename(self.file("tmp", name), self.file("new", name))
        return name

    def names(self, folder):
        return sorted(os.listdir(self.file(folder)))

    def wait_names(self, folder, names):
        limit = time.monotonic() + PATIENCE
        while self.names(folder) != sorted(names):
            assert time.monotonic() < limit, (folder, self.names(folder), names)
            time.sleep(0.01)


class Tests:
    def __init__(self, program, impatient):
        self.program, self.impatient = program, impatient

    @test
    def a_mail_that_comes_is_taken_and_moved_to_cur_as_seen(self):
        with Maildir(self.program).start() as route:
            content = b"From: a@b.test\nSubject: x\n\nhello \xff\n"
            first = route.deliver(content)
            second = route.deliver(b"From: x\n\nlinked\n", link=True)
            arrivals = route.wait_arrivals(2)
            assert {a["digest"] for a in arrivals} == {digest(content), digest(b"From: x\n\nlinked\n")}
            assert all(a["recipient"] is None and a["path"] is None for a in arrivals)
            route.wait_names("cur", [first + ":2,S", second + ":2,S"])
            assert route.names("new") == []
            with open(route.file("cur", first + ":2,S"), "rb") as file:
                assert file.read() == content
            third = route.deliver(b"From: x\n\nlater\n")
            route.wait_names("cur", [name + ":2,S" for name in (first, second, third)])
            route.wait_route(True)

    @test
    def what_lay_there_before_is_taken_as_well(self):
        with Maildir(self.program) as route:
            names = [route.deliver(b"%d\n" % i) for i in range(500)]
            route.start()
            assert len(route.wait_arrivals(500)) == 500
            route.wait_names("cur", [name + ":2,S" for name in names])

    @test
    def a_flood_of_more_than_the_kernel_s_queue_loses_nothing(self):
        with open("/proc/sys/fs/inotify/max_queued_events") as file:
            queue = int(file.read())
        if queue > 100000:
            raise Skip("the kernel's queue is very long here")
        with Maildir(self.program).start() as route:
            route.wait_route(True)
            os.kill(route.process.pid, signal.SIGSTOP)
            with open(route.file("tmp", "ball"), "w"):
                pass
            for _ in range(queue + 1):
                os.rename(route.file("tmp", "ball"), route.file("new", "ball"))
                os.rename(route.file("new", "ball"), route.file("tmp", "ball"))
            for i in range(300):
                route.deliver(b"%d\n" % i)
            os.kill(route.process.pid, signal.SIGCONT)
            texts = [arrival["text"] for arrival in route.wait_arrivals(300)]
            assert sorted(texts) == sorted("%d\n" % i for i in range(300))

    @test
    def a_mail_that_is_refused_is_left_to_be_found(self):
        with Maildir(self.program).start() as route:
            route.say("policy refused")
            name = route.deliver(b"x\n")
            route.wait_names("cur", [name + ":2,F"])

    @test
    def a_mail_that_has_to_wait_stays_and_comes_again(self):
        with Maildir(self.impatient).start() as route:
            route.say("policy later")
            name = route.deliver(b"patience\n")
            arrivals = route.wait_arrivals(2)
            assert arrivals[0]["digest"] == arrivals[1]["digest"]
            assert route.names("new") == [name]
            other = route.deliver(b"other\n")
            route.wait_arrivals(3)
            route.say("policy taken")
            route.wait_names("cur", [name + ":2,S", other + ":2,S"])

    @test
    def nothing_is_moved_before_it_is_settled_and_a_crash_repeats_it(self):
        with Maildir(self.program).start() as route:
            route.say("policy hold")
            name = route.deliver(b"once\n")
            [first] = route.wait_arrivals(1)
            assert route.names("new") == [name]
            route.kill()
            route.start()
            [second] = route.wait_arrivals(1)
            assert first["digest"] == second["digest"]
            route.wait_names("cur", [name + ":2,S"])

    @test
    def a_busy_channel_gets_no_more_than_it_wants_and_in_the_end_all(self):
        with Maildir(self.program).start() as route:
            route.say("policy hold")
            route.say("limit 2")
            names = [route.deliver(b"%d\n" % i) for i in range(10)]
            for i in range(10):
                arrivals = route.wait_arrivals(min(i + 2, 10))
                assert len(arrivals) == min(i + 2, 10)
                route.settle(arrivals[i], "taken")
            route.wait_names("cur", [name + ":2,S" for name in names])

    @test
    def what_another_reader_takes_first_is_no_error(self):
        with Maildir(self.program).start() as route:
            route.say("policy hold")
            name = route.deliver(b"shared\n")
            [arrival] = route.wait_arrivals(1)
            os.rename(route.file("new", name), route.file("cur", name + ":2,RS"))
            route.settle(arrival, "taken")
            route.say("policy taken")
            next_name = route.deliver(b"next\n")
            route.wait_names("cur", [name + ":2,RS", next_name + ":2,S"])
            assert route.errors_text() == ""

    @test
    def what_is_no_regular_file_is_left_alone(self):
        with Maildir(self.program) as route:
            secret = route.path("secret")
            with open(secret, "w") as file:
                file.write("not a mail\n")
            os.symlink(secret, route.file("new", "a-link"))
            os.mkfifo(route.file("new", "b-fifo"))
            os.mkdir(route.file("new", "c-folder"))
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(route.file("new", "d-socket"))
            os.symlink("/dev/zero", route.file("new", "e-device"))
            with open(route.file("new", ".hidden"), "w") as file:
                file.write("x")
            route.start()
            name = route.deliver(b"real\n")
            route.wait_names("cur", [name + ":2,S"])
            assert [a["text"] for a in route.wait_arrivals(1)] == ["real\n"]
            assert len(route.names("new")) == 6
            assert route.errors_text().count("no regular file") == 1
            listener.close()

    @test
    def no_number_of_what_is_no_regular_file_stops_the_mail(self):
        with Maildir(self.program) as route:
            for i in range(12000):  # many more than the mails that are kept in mind
                os.symlink("nowhere", route.file("new", "link-%d" % i))
            route.start()
            taken = []
            for _ in range(3):  # the first may have been found together with the links
                taken.append(route.deliver(b"real\n") + ":2,S")
                route.wait_names("cur", taken)
            assert route.errors_text().count("no regular file") == 1

    @test
    def a_file_that_is_too_large_is_never_read(self):
        with Maildir(self.program).start() as route:
            before = route.memory()
            name = "huge"
            with open(route.file("tmp", name), "wb") as file:
                file.truncate(100 << 30)
            os.rename(route.file("tmp", name), route.file("new", name))
            exact = route.deliver(b"x" * SIZE_MAX)
            over = route.deliver(b"x" * (SIZE_MAX + 1))
            route.wait_names("cur", ["huge:2,F", exact + ":2,S", over + ":2,F"])
            assert [a["size"] for a in route.wait_arrivals(1)] == [SIZE_MAX]
            assert route.memory() - before < 30 << 20

    @test
    def many_large_files_are_held_a_few_at_a_time(self):
        with Maildir(self.program).start() as route:
            route.say("policy hold")
            for _ in range(30):
                route.deliver(b"x" * (8 << 20))
            peak = 0
            for i in range(30):
                arrival = route.wait_arrivals(i + 1)[i]
                peak = max(peak, route.memory())
                route.settle(arrival, "taken")
            note("30 files of 8 MB: %d MiB at most" % (peak >> 20))
            assert peak < 60 << 20

    @test
    def nothing_in_cur_is_ever_replaced(self):
        with Maildir(self.program) as route:
            with open(route.file("cur", "twin:2,S"), "w") as file:
                file.write("precious")
            route.start()
            route.deliver(b"new twin\n", name="twin")
            route.wait_names("cur", ["twin:2,S", "twin-1:2,S"])
            with open(route.file("cur", "twin:2,S")) as file:
                assert file.read() == "precious"

    @test
    def names_of_every_kind_are_moved(self):
        with Maildir(self.program).start() as route:
            names = ["with space", "1.x:2,", "n" * 255, "-rf", "%s%n", "\u00fc\udcff"]
            for name in names:
                route.deliver(b"x\n", name=name)
            expected = ["with space:2,S", "1.x:2,S", "n" * 251 + ":2,S", "-rf:2,S", "%s%n:2,S",
                        "\u00fc\udcff:2,S"]
            route.wait_names("cur", expected)

    @test
    def a_folder_that_is_not_there_yet_is_waited_for(self):
        with Maildir(self.impatient, make=False).start() as route:
            route.wait_route(False, "maildir-is-away")
            route.make()
            name = route.deliver(b"first\n")
            route.wait_route(True)
            route.wait_names("cur", [name + ":2,S"])

    @test
    def a_folder_that_goes_and_comes_is_read_again(self):
        with Maildir(self.impatient).start() as route:
            route.wait_route(True)
            os.rename(route.maildir, route.maildir + ".old")
            os.rename(route.maildir + ".old/new", route.maildir + ".old/newer")
            route.wait_route(False, "maildir-is-away")
            route.make()
            name = route.deliver(b"again\n")
            route.wait_route(True)
            route.wait_names("cur", [name + ":2,S"])

    @test
    def a_place_that_can_never_be_read_ends_the_start(self):
        for place in ("maildir:relative", "maildir:/dev/null", "maildir:"):
            with MailRoute(self.program) as route:
                route.start(place, wait=False)
                assert route.process.wait(PATIENCE) == 78, place
                route.process = None
                assert "Maildir" in route.errors_text()

    @test
    def an_empty_folder_costs_no_processor_time(self):
        with Maildir(self.program).start() as route:
            route.wait_route(True)
            before = route.cpu()
            time.sleep(2)
            assert route.cpu() - before < 0.002

    @test
    def mails_that_wait_for_room_cost_no_processor_time(self):
        with Maildir(self.impatient).start() as route:
            route.say("policy later")
            for n in range(40):
                route.deliver(b"From: a@b.test\r\n\r\n%d\r\n" % n)
            route.wait_arrivals(40)
            route.say("policy hold")

            def held():
                kinds = [event["event"] for event in route.events]
                return kinds[len(kinds) - kinds[::-1].index("obeyed"):].count("arrival")

            route.wait(lambda: held() == 32, "as many as it hands in at once")
            time.sleep(3)  # in which the others come due
            before = route.cpu()
            time.sleep(2)  # not for something to happen, but to see what nothing costs
            assert route.cpu() - before < 0.002, route.cpu() - before
            assert held() == 32

    @test
    def room_that_nobody_tells_of_is_found(self):
        with Maildir(self.impatient) as route:
            route.start()
            route.say("limit 0")
            name = route.deliver(b"From: a@b.test\r\n\r\nx\r\n")
            route.wait(lambda: any(event["event"] == "busy" for event in route.events), "it has looked")
            route.say("quietly 1")
            route.wait_arrivals(1)
            route.wait_names("cur", [name + ":2,S"])


def main():
    tests = Tests(sys.argv[1], sys.argv[2])
    return run(side_by_side(tests_of(tests), sys.argv[3:]), sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
