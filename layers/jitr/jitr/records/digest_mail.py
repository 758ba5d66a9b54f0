"""A digest as a mail: plain text, in which nothing that a device calls itself is a link, a line or a command.

Subject and text are what Amazon SNS takes (API reference, Publish: a subject is ASCII, without control characters and
shorter than 100 characters; a message has at most 256 KB).
"""

from typing import Final

from jitr.reasons import CODES
from jitr.records.digests import Digest, HeldGroup, HeldKind
from jitr.records.notices import NoticeOrigin
from jitr.text import cut
from jitr.times import rfc3339
from jitr.unseen import written_out
from jitr.values import dataclass

_MOST_STACK: Final = 40  # characters of the stack's name in a subject
_PLAIN: Final = frozenset(" -_+#=,()/'\\")  # beside letters and digits
# https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
_CONSOLES: Final = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


@dataclass(frozen=True, slots=True)
class DigestMail:
    """A mail, as Amazon SNS takes it."""

    subject: str
    text: str


def mail_of(digest: Digest, origin: NoticeOrigin, *, attempts: int = 1) -> DigestMail:
    """Return a digest as a mail; from the second attempt on it says that it may be a repeat."""
    where = f"--stack {origin.stack} --region {origin.region}"
    lines = [f"Digest {digest.number} of stack {origin.stack} in {origin.region}", ""]
    if attempts > 1:
        lines += ["Sending this digest broke off before: if you have read its number already, this is the same.", ""]
    lines += [f"{_devices(digest.count)} began to wait. Some may be in by now.", ""]
    for kind, group in sorted(digest.groups.items(), key=lambda each: (-each[1].count, str(each[0]))):
        lines += [*_group(kind, group, origin, where), ""]
    if digest.others:
        lines += [f"{_devices(digest.others)} more, of kinds that have no room here:", f"  jitr held ls {where}", ""]
    lines += [
        "All that wait, and what to do about them:",
        f"  jitr page {where}",
        "Why one of them waits:",
        f"  jitr explain CERTIFICATE_ID {where}",
    ]
    subject = f"jitr: {_devices(digest.count)} began to wait ({cut(origin.stack, _MOST_STACK)})"
    return DigestMail(subject, "\n".join(lines) + "\n")


def _group(kind: HeldKind, group: HeldGroup, origin: NoticeOrigin, where: str) -> list[str]:
    code = CODES.get(kind.reason)
    lines = [f"{_devices(group.count)}: {kind.reason}"]
    if code is not None:
        lines += [f"  {code.meaning}", f"  {code.remedy}"]
    if kind.list is not None:
        lines.append(f"  All that they lack is a row on the list {kind.list}.")
    lines.append(f"  CA {kind.ca_certificate_id}, {rfc3339(group.first_at)} to {rfc3339(group.last_at)}")
    for certificate_id, name in group.examples:
        lines += [f"  - {harmless(name) if name else '(no common name)'}", f"    {_console(origin, certificate_id)}"]
    if group.count > len(group.examples):
        lines.append(f"  - and {group.count - len(group.examples):,} more")
    since = rfc3339(group.first_at)
    lines.append(f"  jitr held ls --reason {kind.reason} --ca {kind.ca_certificate_id} --since {since} {where}")
    return lines


def harmless(text: str) -> str:
    """Return hostile text as it may stand in a mail: on one line, visible, and nothing that a mail reader makes a link.

    Everything but letters, digits and a few signs is in brackets, as in ``example[.]com``.
    """
    return "".join(each if each.isalnum() or each in _PLAIN else f"[{each}]" for each in written_out(text))


def _console(origin: NoticeOrigin, certificate_id: str) -> str:
    host = _CONSOLES.get(origin.partition, "console.aws.amazon.com")
    return f"https://{origin.region}.{host}/iot/home?region={origin.region}#/certificate/{certificate_id}"


def _devices(count: int) -> str:
    return f"{count:,} {'device' if count == 1 else 'devices'}"
