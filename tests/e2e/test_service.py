"""What the service manager and the clock are told, and what they can do."""

import http.client
import os
import signal
import socket
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import Process, Site, options_of_test, wait_until  # noqa: E402


class Tests:
    def __init__(self, options):
        self.build = options.build

    @tap.test
    def the_service_manager_hears_of_every_turn(self):
        with Site(self.build) as site:
            site.stop_gateway()
            path = site.path("manager")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(path)
                manager.settimeout(20)
                site.gateway = Process(site.vestibuled(), site.log, site.environment(
                    NOTIFY_SOCKET=path, WATCHDOG_USEC="600000"))

                def hear(word):
                    while True:
                        told = manager.recv(4096)
                        if word in told:
                            return told

                hear(b"READY=1")
                assert b"plugins connected" in hear(b"STATUS=")
                hear(b"WATCHDOG=1")
                os.kill(site.gateway.pid, signal.SIGHUP)
                hear(b"RELOADING=1")
                hear(b"READY=1")
                os.kill(site.gateway.pid, signal.SIGTERM)
                hear(b"STOPPING=1")
                assert site.gateway.popen.wait(20) == 0
                site.start_gateway()

    @tap.test
    def a_store_from_the_future_confirms_nothing_until_the_clock_is_accepted(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            site.wait_state(share, "invited")
            site.stop_gateway()
            with sqlite3.connect(os.path.join(site.state, "vestibule.sqlite")) as store:
                store.execute("INSERT OR REPLACE INTO meta VALUES ('time', ?)", [int(time.time()) + 7200])
            store.close()
            site.start_gateway(wait_plugins=False)

            def told_and_down():
                try:
                    told, parts = (site.tenant.raw("GET", "/readyz").status,
                                   site.operator("GET", "/readyz").json["parts"])
                except (OSError, http.client.HTTPException):  # a front that is not there yet
                    return None
                return told, {part["name"] for part in parts if not part["up"]}

            wait_until(lambda: told_and_down() == (503, {"clock"}), 20, "the clock alone is in the way")
            phone.say(share["code"], wait=0)
            assert site.show(share)["state"] in ("invited", "expired")
            assert site.operator("POST", "/v1/clock/accept").status == 200
            wait_until(lambda: told_and_down() == (200, set()), 20, "the clock is accepted")
            site.wait_event(share, "confirmed", timeout=60)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
