"""What tests ask the kernel about a process, and how they wait for what nobody announces."""

import os
import time

PATIENCE = 120  # seconds for what is certain to come: only a failure takes as long


def wait_until(condition, timeout, what, pause=0.01):
    """For conditions that nobody announces, such as a line in a file. Returns what the condition has."""
    limit = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise AssertionError("not within %g s: %s" % (timeout, what))
        time.sleep(pause)


def wait_for(condition, what, timeout=PATIENCE):
    return wait_until(condition, timeout, what, 0.02)


def scheduled(pid):
    """Seconds that the threads of a process have run, to the nanosecond, and how often they were begun."""
    tasks = "/proc/%d/task" % pid
    lines = []
    for task in os.listdir(tasks):
        with open("%s/%s/schedstat" % (tasks, task)) as file:
            lines.append([int(word) for word in file.read().split()])
    return sum(line[0] for line in lines) / 1e9, sum(line[2] for line in lines)


def at_rest(pid, seconds):
    """What a process costs while nothing happens: seconds that it ran, and how often it was begun, from when it has
    come to rest after what was asked before."""
    before = scheduled(pid)
    while True:
        time.sleep(0.1)
        now = scheduled(pid)
        if now == before:
            break
        before = now
    time.sleep(seconds)  # not for something to happen, but to see that nothing does
    after = scheduled(pid)
    return after[0] - before[0], after[1] - before[1]
