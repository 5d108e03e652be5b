"""Does each unit load the credentials that its program reads, and no others? What a program reads is taken from its
source: the literal names, and for those that it picks by its settings, any literal or argument.

Usage: check-credentials.py SOURCE_FOLDER      prints TAP
"""

import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import tap  # noqa: E402

SOURCE = sys.argv[1]
PROGRAMS = {
    "vestibuled": "gateway/*.c",
    "vestibule-api@": "plugins/api/api-*.c",
    "vestibule-relay-client@": "relay-client/*.c",
    "vestibule-relay": "relay-client/server/*.c",
    "vestibule-xmpp@": "plugins/xmpp/*.c",
    "vestibule-sms@": "plugins/sms/*.c",
    "vestibule-email@": "plugins/email/*.c",
}


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


def loaded(unit):
    return set(re.findall(r"^LoadCredential=([^:]+):", read(f"systemd/{unit}.service.in"), re.MULTILINE))


def text_of(unit):
    return "".join(read(path) for path in sorted(glob.glob(os.path.join(SOURCE, PROGRAMS[unit]))))


def every_unit_with_credentials_is_looked_at():
    units = {os.path.basename(path).removesuffix(".service.in")
             for path in glob.glob(os.path.join(SOURCE, "systemd", "*.service.in"))}
    assert units == set(PROGRAMS), units


def what_a_program_reads_its_unit_loads():
    found = {unit: set(re.findall(r'\bcredential_read(?:_line)?\("([^"]+)"', text_of(unit))) for unit in PROGRAMS}
    assert sum(map(len, found.values())) > 6, found
    for unit, names in found.items():
        assert names <= loaded(unit), (unit, names - loaded(unit))


def what_a_unit_loads_its_program_knows():
    for unit in PROGRAMS:
        command = re.search(r"^ExecStart=(.*(?:\\\n.*)*)", read(f"systemd/{unit}.service.in"), re.MULTILINE)[1].split()
        assert loaded(unit), unit
        for name in loaded(unit):
            assert f'"{name}"' in text_of(unit) or name in command, (unit, name)


TESTS = [every_unit_with_credentials_is_looked_at, what_a_program_reads_its_unit_loads,
         what_a_unit_loads_its_program_knows]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
