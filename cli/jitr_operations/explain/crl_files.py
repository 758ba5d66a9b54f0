"""Revocation lists from files, each put where the rules have a list: files say themselves what they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jitr.errors import InputError, UnusableCrl
from jitr.rules.model import Crl, Rules
from jitr.x509.crl import MAX_INPUT, CrlReading, read_any_crl, read_crl
from jitr_operations import telling
from jitr_operations.files import read_bytes


@dataclass(frozen=True, slots=True)
class GivenCrl:
    """The list that the rules name in one place, and its delta list; one that cannot be used is its problem."""

    complete: CrlReading | UnusableCrl | None = None
    delta: CrlReading | None = None


def read_crl_files(rules: Rules, given: Mapping[str, list[Path]]) -> dict[str, GivenCrl]:
    """Read the files given for each alias, by the key of the list in the rules that each is.

    A delta list is known by its deltaCRLIndicator, a partition by its issuingDistributionPoint. Raises InputError for a
    file that may be any of several.
    """
    found: dict[str, GivenCrl] = {}
    for alias, files in given.items():
        configured = rules.cas[alias].crls
        if not configured:
            telling.warn(f"--crl {alias}: {rules.source} gives that CA no crl, so its list decides nothing")
        elif len(configured) == 1 and configured[0].delta is None and len(files) == 1:
            found[configured[0].key] = GivenCrl(_only(files[0]))
        else:
            found |= _sorted(rules, alias, files)
    return found


def given_for(rules: Rules, configured: Crl, given: Mapping[str, GivenCrl]) -> GivenCrl:
    """Return the files of a list that counts. Raises InputError where one is missing."""
    found = given.get(configured.key, GivenCrl())
    delta_is_missing = configured.delta is not None and found.delta is None
    if found.complete is not None and not delta_is_missing:
        return found
    alias = next(each for each, crls in sorted(rules.crls.items()) if configured in crls)
    what = "a revocation list" if found.complete is None else "a delta revocation list"
    where = "" if configured.point is None else f" for {configured.point}"
    raise InputError(f"{rules.source} gives {alias} {what}{where}, which is not given: --crl {alias}=FILE")


def _only(file: Path) -> CrlReading | UnusableCrl:
    try:
        return read_crl(read_bytes(file, MAX_INPUT))
    except UnusableCrl as error:
        return error


def _sorted(rules: Rules, alias: str, files: list[Path]) -> dict[str, GivenCrl]:
    found: dict[str, GivenCrl] = {}
    for file in files:
        try:
            reading = read_any_crl(read_bytes(file, MAX_INPUT))
        except UnusableCrl as error:
            raise InputError(f"--crl {alias}: {file}: {error}") from error
        place = _place(rules, alias, reading, file)
        before = found.get(place.key, GivenCrl())
        is_delta = reading.base_number is not None
        if (before.delta if is_delta else before.complete) is not None:
            raise InputError(f"--crl {alias}: {file} is a second {'delta list' if is_delta else 'list'} of {place.url}")
        delta, complete = (reading, before.complete) if is_delta else (before.delta, reading)
        found[place.key] = GivenCrl(complete, delta)
    return found


def _place(rules: Rules, alias: str, reading: CrlReading, file: Path) -> Crl:
    """Return the list in the rules that a file is. Raises InputError where it is none of them."""
    configured = rules.cas[alias].crls
    fitting = [each for each in configured if each.point is None or each.is_for(reading.points)]
    if not fitting:
        named = ", ".join(reading.points or ()) or "none"
        raise InputError(
            f"--crl {alias}: {file} is for the distribution point {named}, of which {rules.source} has no partition"
        )
    if reading.base_number is not None and fitting[0].delta is None:
        raise InputError(f"--crl {alias}: {file} is a delta list, and {rules.source} gives that CA no `delta`")
    return fitting[0]
