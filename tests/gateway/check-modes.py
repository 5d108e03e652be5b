"""Does vestibule-modes(7) say what policy/factor.c says? Its tables are those of the program that tests play the
attackers by, its levels and sentences those of the source, and its advice is accepted with the classes that it names.

Usage: check-modes.py PAGE SOURCE_FOLDER PRINT_FACTORS VESTIBULED      prints TAP
"""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import tap  # noqa: E402

PAGE, SOURCE, PRINT_FACTORS, VESTIBULED = sys.argv[1:]
PARTS = """\
channel xmpp { jid = keys.example.org  host = "::1" }
channel sms { exec = { /bin/true }  scheme = echo }
"""

with open(PAGE, encoding="utf-8") as page_file:
    PAGE_TEXT = page_file.read()
with open(os.path.join(SOURCE, "policy", "factor.c"), encoding="utf-8") as source_file:
    FACTORS = source_file.read()


def part(title):
    return re.search(r"^\.S[sh] %s\n(.*?)(?=^\.S[sh] |\Z)" % title, PAGE_TEXT, re.S | re.M)[1]


def rows(text):
    table = re.search(r"^\.Bl -column .*?\n(.*?)^\.El", text, re.S | re.M)[1]
    cells = [[cell.strip().strip('"') for cell in row.split(" Ta ")] for row in re.findall(r"^\.It (.*)$", table, re.M)]
    return [row for row in cells[1:] if row[0]]


def modes():
    """(name, level, whether it is there), in the order of the source."""
    table = re.search(r"\} modes\[FACTOR_N\] = \{(.*?)\n\};", FACTORS, re.S)[1]
    found = re.findall(r'"([a-z-]+)", +(\d), (true|false)', table)
    assert len(found) > 5, found
    return found


def stopped_by(*factors):
    answer = subprocess.run([PRINT_FACTORS, *factors], check=True, capture_output=True, text=True, timeout=60).stdout
    return [(name, word == "stopped") for word, name in map(str.split, answer.splitlines())]


def the_modes_have_the_names_and_levels_of_the_source():
    assert [tuple(row[:2]) for row in rows(part("The modes"))] == [(name, level) for name, level, _ in modes()]
    listed = re.findall(r"^\.It Cm ([a-z-]+)$", part("The modes"), re.M)
    assert listed == [name for name, *_ in modes()], listed
    assert [name for name, _, there in modes() if there == "false"] == ["page-code"], "the page says so of page-code alone"


def who_is_stopped_is_who_the_table_stops():
    table = rows(part("Who is stopped"))
    for column, (mode, *_) in enumerate(modes(), 1):
        said = [(row[0], {"yes": True, "no": False}[row[column]]) for row in table]
        assert said == stopped_by(mode), (mode, said)


def several_modes_stop_whom_any_of_them_stops():
    names = [name for name, *_ in modes()]
    for bits in range(1, 1 << len(names)):
        chosen = [name for i, name in enumerate(names) if bits >> i & 1]
        together = [any(column) for column in zip(*([stopped for _, stopped in stopped_by(name)] for name in chosen))]
        assert [stopped for _, stopped in stopped_by(*chosen)] == together, chosen


def each_attacker_is_told_in_the_words_of_the_source():
    texts = re.search(r"attacker_texts\[\w+\] = \{(.*?)\n\};", FACTORS, re.S)[1]
    wanted = ["".join(re.findall(r'"([^"]*)"', text)) for text in re.split(r"\[FACTOR_ATTACKER_\w+\] =", texts)[1:]]
    found = re.findall(r"^\.It Li ([a-z-]+)\n(.*?)(?=^\.It|^\.El)", part("Who is stopped"), re.S | re.M)
    assert [name for name, _ in found] == [name for name, _ in stopped_by("fact")]
    assert [" ".join(text.split()) for _, text in found] == wanted


def check(policy):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vestibule.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(PARTS + policy)
        return subprocess.run([VESTIBULED, "--check", "--config", path], capture_output=True, text=True, timeout=60,
                              env={"VESTIBULE_TEMPLATES": os.path.join(SOURCE, "gateway", "templates")})


def what_is_advised_for_a_class_reaches_its_floor():
    advice = {
        "hotel": (1, "reply-code", "cross-code", "fact, reply-code"), "home-limited": (1, "reply-code"),
        "home": (3, "split, approve"), "car": (3, "split, approve"), "car-unlock": (2, "split"),
        "access": (2, "cross-code", "split"), "fleet": (2, "cross-code", "split")}
    for name, (floor, *sets) in advice.items():
        assert re.search(r"\bLi %s\b" % name, part("Which to choose")), name
        for factors in sets:
            answer = check("policy p { class = %s  factors = { %s }  channels = { xmpp, sms } }\n" % (name, factors))
            assert answer.returncode == 0, (name, factors, answer.stderr)
            assert "this class asks for RAL-%d" % floor in answer.stdout, (name, answer.stdout)
            assert ("too little for" in answer.stdout) == (floor == 3), answer.stdout


def the_example_is_accepted():
    text = re.search(r"^\.Bd [^\n]*\n(.*?)^\.Ed", part("EXAMPLES"), re.S | re.M)[1]
    answer = check(text)
    assert answer.returncode == 0 and "within 5 min" in answer.stdout, answer.stderr


TESTS = [the_modes_have_the_names_and_levels_of_the_source, who_is_stopped_is_who_the_table_stops,
         several_modes_stop_whom_any_of_them_stops, each_attacker_is_told_in_the_words_of_the_source,
         what_is_advised_for_a_class_reaches_its_floor, the_example_is_accepted]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
