"""Ctrl-C while a job runs: it waits until the driver asks, wherever Python was when it came."""

import signal
from types import SimpleNamespace

import pytest

from minicaffe.distributed.spark.supervision.interrupts import heard_here_alone

WITHOUT_JVM = SimpleNamespace(_jvm=None)


class Finalized:
    """Ctrl-C is typed while one is thrown away, where Python forgets an exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_a_ctrl_c_in_a_finalizer_is_not_lost() -> None:
    with heard_here_alone(WITHOUT_JVM) as interrupts:
        Finalized()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()  # one is answered once


def test_a_ctrl_c_that_nobody_has_asked_for_is_raised_at_the_end() -> None:
    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), heard_here_alone(WITHOUT_JVM):
        Finalized()
    assert signal.getsignal(signal.SIGINT) is former


def test_another_error_comes_before_a_ctrl_c_that_nobody_has_asked_for() -> None:
    with pytest.raises(ValueError), heard_here_alone(WITHOUT_JVM):
        Finalized()
        raise ValueError
