"""What operations tell goes to whoever called them, and to nobody else."""

import threading

import pytest

from jitr_cli.console.output import TerminalListener
from jitr_operations import telling


def test_without_a_listener_operations_work_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    telling.note("worth knowing")
    telling.warn("to be regretted")
    with telling.progress("Working", 2) as advance:
        advance(2)
    assert telling.secret("Passphrase") is None
    assert capsys.readouterr() == ("", "")


def test_a_listener_hears_its_own_thread_for_the_time_of_its_call(capsys: pytest.CaptureFixture[str]) -> None:
    with telling.heard_by(TerminalListener()):
        other = threading.Thread(target=telling.note, args=("of another thread",))
        other.start()
        other.join()
        telling.note("of this one\x1b[2J")
    telling.note("afterwards")
    assert capsys.readouterr() == ("", "of this one\\x1b[2J\n")
