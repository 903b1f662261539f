"""Times of calls, measured in turns."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence

from mpnas_kit.space.latency_file import Time

Clock = Callable[[], float]
"""A function that returns a time in seconds."""

SAMPLE = 0.002  # seconds that a sample takes at least
MOST_CALLS = 1000  # per sample
TRIES = 5  # calls from which their number per sample is estimated; one alone may be disturbed


def time_in_turns(calls: Sequence[Callable[[], object]], rounds: int, clock: Clock) -> list[Time]:
    """Return the time of every call.

    In every round, each call gives one sample, in turn. So a machine that is busy for a while slows
    all calls, and no call alone. A sample is the mean of as many calls as take about 2 ms. Of the
    samples of a call, the smallest counts: other work on the machine only adds time.

    calls: functions without arguments. Each is called a few times before, to warm up.
    rounds: number of rounds, at least 1.
    clock: returns the time, seconds.
    """
    repeats = [_repeats(call, clock) for call in calls]
    samples: list[list[float]] = [[] for _ in calls]
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for call, count, own in zip(calls, repeats, samples, strict=True):
                begin = clock()
                for _ in range(count):
                    call()
                own.append(1000 * (clock() - begin) / count)
    finally:
        if collects:
            gc.enable()
    return [Time(min(own), statistics.median(own) - min(own)) for own in samples]


def _repeats(call: Callable[[], object], clock: Clock) -> int:
    """Return how many calls take about as long as a sample."""
    call()  # the first call prepares memory
    took = math.inf
    for _ in range(TRIES):
        begin = clock()
        call()
        took = min(took, clock() - begin)
    return max(1, math.ceil(SAMPLE / max(took, SAMPLE / MOST_CALLS)))


def clock_for(threads: int) -> Clock:
    """Return the clock for work in `threads` threads.

    The time of one thread is its CPU time: other work on the machine does not count. Of several
    threads it is the time that passes.
    """
    return time.thread_time if threads == 1 else time.perf_counter
