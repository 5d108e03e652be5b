"""Counts test cases in the log of a `meson test` run, or shows what failed in it. A program that
speaks TAP counts by its cases, any other as one. Usage: count.py count|show TESTLOG.json"""

import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b(.*)$", re.MULTILINE)
BAD = ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS")
TAIL_LINES = 60


def count(test):
    passed = failed = skipped = 0
    for match in CASE.finditer(test.get("stdout") or ""):
        if re.search(r"#\s*SKIP", match[2], re.IGNORECASE):
            skipped += 1
        elif match[1]:
            failed += 1
        else:
            passed += 1
    if test["result"] in BAD:
        failed = max(failed, 1)
    elif passed + failed + skipped == 0:
        skipped += test["result"] == "SKIP"
        passed += test["result"] != "SKIP"
    return passed, failed, skipped


def show(test):
    output = (test.get("stdout") or "") + (test.get("stderr") or "")
    print(f"--- {test['name']}: {test['result']}, status {test['returncode']}")
    for match in CASE.finditer(test.get("stdout") or ""):
        if match[1]:
            print(match[0])
    print("\n".join(output.splitlines()[-TAIL_LINES:]))


def main(verb, path):
    try:
        with open(path, encoding="utf-8") as log:
            tests = [json.loads(line) for line in log]
    except FileNotFoundError:
        tests = []
    if verb == "count":
        print(*(sum(numbers) for numbers in zip((0, 0, 0), *map(count, tests))))
    else:
        for test in tests:
            if test["result"] in BAD or count(test)[1]:
                show(test)


main(*sys.argv[1:])
