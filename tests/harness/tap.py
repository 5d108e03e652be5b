"""Runs functions as tests and reports in the Test Anything Protocol."""

import inspect
import sys
import threading
import time
import traceback


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


class Skip(Exception):
    """This machine cannot run the test; the text says why."""


def run(tests, only=()):
    """Runs (name, function) pairs, or functions by their own names, or those alone that are named; returns an exit
    status."""
    failed = 0
    tests = [test if isinstance(test, tuple) else (test.__name__, test) for test in tests]
    unknown = set(only) - {name for name, _ in tests}
    if unknown:
        print("there is no test %s" % ", ".join(sorted(unknown)), file=sys.stderr)
        return 2
    tests = [pair for pair in tests if not only or pair[0] in only]
    print("1..%d" % len(tests), flush=True)
    for number, (name, function) in enumerate(tests, 1):
        start = time.monotonic()
        skip = ""
        try:
            function()
            verdict = "ok"
        except Skip as reason:
            verdict, skip = "ok", " # SKIP %s" % reason
        except Exception:  # a test's failure, whatever it is, is reported and the next one runs
            note(traceback.format_exc())
            verdict = "not ok"
            failed += 1
        took = time.monotonic() - start
        if took > 2:
            note("%.1f s" % took)
        print("%s %d - %s%s" % (verdict, number, name.replace("_", " "), skip), flush=True)
    return 1 if failed else 0


class Begun:
    """A test that runs in a thread of its own; to call it is to wait for its end."""

    def __init__(self, function):
        self.function, self.error = function, None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.function()
        except BaseException as error:
            self.error = error

    def __call__(self):
        self.thread.join()
        if self.error:
            raise self.error


def side_by_side(tests, only=()):
    """Begins (name, function) pairs, or those alone that are named, all at once, for tests that wait more than they
    work and share nothing. Returns the pairs, as run() takes them."""
    return [(name, Begun(function) if not only or name in only else function) for name, function in tests]


def aside(tests, functions, only=()):
    """Some tests are begun at once, by the function that `functions` has under their names, while the others run one
    after another. Returns the pairs of all, as run() takes them."""
    return [side_by_side([(name, functions[name])], only)[0] if name in functions else (name, function)
            for name, function in tests]


def tests_of(instance):
    """The public methods of an object that are marked by @test, in the order of their lines."""
    found = [getattr(instance, name) for name in dir(instance) if not name.startswith("_")]
    marked = [method for method in found if getattr(method, "is_test", False)]
    marked.sort(key=lambda method: method.__func__.__code__.co_firstlineno)
    return [(method.__name__, method) for method in marked]


def functions_below(first):
    """The functions without arguments that stand below `first` in its module, so far."""
    return [value for value in list(first.__globals__.values())
            if inspect.isfunction(value) and value.__code__.co_argcount == 0
            and value.__code__.co_filename == first.__code__.co_filename
            and value.__code__.co_firstlineno > first.__code__.co_firstlineno]


def test(function):
    function.is_test = True
    return function


if __name__ == "__main__":
    sys.exit("this is a module")
