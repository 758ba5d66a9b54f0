"""Digests as mails: what SNS takes, whatever the stack and the devices are called, and nothing that misleads."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from testkit.knocks import CA_ID, NOW

from jitr.records.digest_mail import harmless, mail_of
from jitr.records.digests import Digest, Digests, HeldGroup, HeldKind, NewlyHeld
from jitr.records.notices import NoticeOrigin
from jitr.unseen import first_unseen
from jitr_cli.main import jitr

HERE = NoticeOrigin("plant", "aws", "eu-central-1", "123456789012")
KIND = HeldKind("allow.unmatched", CA_ID, "line-a")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
TRICKS = [
    "https://evil.example/now",
    "www.evil.example",
    "evil。example",
    "mailto:boss@evil.example",
    "snr\r\nSubject: all is well",
    "snr\u2028--\u2029",
    "\u202eelpmaxe",
    "a\u200bb",
    "<a href=x>",
    "\x1b[2J",
]


def digest(name: str | None = "snr-0001", count: int = 1, number: int = 7) -> Digest:
    return Digest(number, {KIND: HeldGroup(count, NOW, NOW + timedelta(minutes=3), (("ab" * 32, name),))})


@given(name=TEXT, stack=st.from_regex(r"\A[A-Za-z][A-Za-z0-9-]{0,127}\Z"), count=st.integers(1, 10**9))
def test_whatever_devices_and_stacks_are_called_sns_takes_the_mail(name: str, stack: str, count: int) -> None:
    mail = mail_of(digest(name, count), replace(HERE, stack=stack))
    assert mail.subject.isascii()
    assert mail.subject.isprintable()
    assert len(mail.subject) < 100
    for line in mail.text.splitlines():
        assert first_unseen(line) is None


@given(TEXT)
def test_a_name_makes_neither_a_line_nor_a_link_nor_another_lines_end(name: str) -> None:
    lines = mail_of(digest(name), HERE).text.splitlines()
    assert len(lines) == len(mail_of(digest("plain"), HERE).text.splitlines())
    assert not re.search(r"[^\[][.:@\u3002\uff0e\uff61]|[.:@]\w", harmless(name))


@pytest.mark.parametrize("trick", TRICKS)
def test_a_name_that_looks_like_more_than_a_name_is_shown_for_what_it_is(trick: str) -> None:
    text = mail_of(digest(trick), HERE).text
    assert trick not in text
    assert text.count("https://") == text.count("https://eu-central-1.console.aws.amazon.com/") == 1


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("snr-0001", "Halle Süd #3", "台北-01", "C=DE, O=OKIDA", "SN'1 (new)"):
        assert harmless(name) == name
    assert harmless("pump.example.com") == "pump[.]example[.]com"


def test_each_command_of_a_mail_is_one_that_the_command_line_takes() -> None:
    """Whoever reads it at night copies it: a command holds nothing that a device chose."""
    text = mail_of(replace(digest("$(reboot)"), others=3), HERE).text
    commands = re.findall(r"^  (jitr .*)$", text, re.M)
    assert len(commands) == 4
    for each in commands:
        words = each.split()[1:]
        assert "reboot" not in each
        assert CliRunner().invoke(jitr, [*words, "--help"]).exit_code == 0
        known: Any = CliRunner().invoke(jitr, [*words[:2], "--help"] if words[0] == "held" else [words[0], "--help"])
        for option in (word for word in words if word.startswith("--")):
            assert option in known.output


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-central-1", "eu-central-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_a_link_leads_to_the_certificate_in_the_console_of_the_partition(
    partition: str, region: str, host: str
) -> None:
    text = mail_of(digest(), replace(HERE, partition=partition, region=region)).text
    assert f"https://{host}/iot/home?region={region}#/certificate/{'ab' * 32}\n" in text


def test_a_digest_that_may_have_been_sent_before_says_so() -> None:
    once, again = (mail_of(digest(), HERE, attempts=each) for each in (1, 2))
    assert "broke off before" in again.text
    assert "broke off before" not in once.text
    assert once.subject == again.subject


KINDS = st.builds(HeldKind, st.sampled_from(["a.b", "c.d"]), st.sampled_from([CA_ID]), st.none() | st.just("l"))
DEVICES = st.builds(NewlyHeld, st.integers(1, 9).map(str), st.integers(1, 5), KINDS, st.none() | TEXT, st.just(NOW))


@given(st.lists(st.lists(DEVICES, max_size=5), max_size=5), st.booleans())
def test_digests_are_read_back_as_they_were_stored(batches: list[list[NewlyHeld]], send: bool) -> None:
    digests = Digests()
    for batch in batches:
        digests = digests.noted(batch, NOW)
        taken = digests.taken(NOW, timedelta(minutes=15)) if send else None
        digests = digests if taken is None else taken
        assert Digests.from_json(digests.to_json()) == digests
