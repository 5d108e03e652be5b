"""Runs functions as tests and reports in the Test Anything Protocol."""

import sys
import traceback


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def run(tests):
    """Runs (name, function) pairs; returns an exit status."""
    failed = 0
    print("1..%d" % len(tests), flush=True)
    for number, (name, function) in enumerate(tests, 1):
        try:
            function()
            verdict = "ok"
        except Exception:  # a test's failure, whatever it is, is reported and the next one runs
            note(traceback.format_exc())
            verdict = "not ok"
            failed += 1
        print("%s %d - %s" % (verdict, number, name.replace("_", " ")), flush=True)
    return 1 if failed else 0


def tests_of(instance):
    """The public methods of an object that are marked by @test, in the order of their lines."""
    found = [getattr(instance, name) for name in dir(instance) if not name.startswith("_")]
    marked = [method for method in found if getattr(method, "is_test", False)]
    marked.sort(key=lambda method: method.__func__.__code__.co_firstlineno)
    return [(method.__name__, method) for method in marked]


def test(function):
    function.is_test = True
    return function


if __name__ == "__main__":
    sys.exit("this is a module")
