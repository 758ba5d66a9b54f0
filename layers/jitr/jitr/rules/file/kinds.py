# ruff: noqa: D102 -- the protocol ScalarKind says what the methods mean
"""The kinds of text in a rules file: how each is read, how tables name it, and its JSON Schema.

Each turns a text into a value or raises :class:`Wrong`. How values are put together is in ``jitr.rules.file.shapes``.
"""

import re
from datetime import date, datetime
from ipaddress import ip_address
from typing import Any, Protocol

from jitr.addresses import off_limits
from jitr.facts import ATTRIBUTE_NAMES, KeyFacts
from jitr.iot_names import ATTRIBUTE_NAME, Syntax
from jitr.rules.conditions import Glob, SerialRange, Window
from jitr.rules.file.problems import did_you_mean, quoted
from jitr.rules.policy_variables import VARIABLES
from jitr.times import parse_time
from jitr.values import dataclass

Schema = dict[str, Any]

LONGEST_TEXT = 1024  # characters of a pattern, a reason, a note


class Wrong(ValueError):
    """A text that is not of its kind: what is wrong, a way out, and which part of the text is meant."""

    def __init__(self, message: str, hint: str | None = None, span: tuple[int, int] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.span = span


class ScalarKind(Protocol):
    """A kind whose values are written as one text."""

    @property
    def told(self) -> str:
        """How tables name the kind."""
        ...

    def parse(self, text: str) -> Any:
        """Read the value. Raises Wrong."""
        ...

    def schema(self) -> Schema:
        """Return the JSON Schema of the text."""
        ...


def _text_schema(**more: Any) -> Schema:
    # An unquoted 0123 or true is a text to the reader, but a number or a truth value to an editor.
    return {"type": ["string", "number", "boolean"], **more}


@dataclass(frozen=True, slots=True)
class Name:
    """A name of letters, digits and a few signs. ``first`` and ``rest`` are the insides of character classes."""

    what: str
    first: str = "A-Za-z0-9"
    rest: str = "A-Za-z0-9_.-"
    longest: int = 64

    @classmethod
    def of(cls, what: str, syntax: Syntax) -> "Name":
        """Return a name of AWS IoT's."""
        return cls(what, syntax.characters, syntax.characters, syntax.most)

    @property
    def told(self) -> str:
        return self.what.partition(" ")[2]

    def parse(self, text: str) -> str:
        if not text:
            raise Wrong(f"{self.what} cannot be empty")
        if "{" in text:
            hint = "templates have their place in `thing` and in the values of `attributes`"
            raise Wrong(f"{self.what} cannot have a template in it", hint)
        allowed = f"{self.what} is [{self.rest}]{{1,{self.longest}}}"
        if re.match(f"[{self.first}]", text) is None:
            raise Wrong(f"{self.what} cannot begin with {quoted(text[0])}", allowed, (0, 1))
        bad = re.search(f"[^{self.rest}]", text)
        if bad:
            raise Wrong(f"{self.what} cannot have {quoted(bad[0])} in it", allowed, bad.span())
        if len(text) > self.longest:
            raise Wrong(f"{self.what} cannot be longer than {self.longest} characters; this has {len(text)}")
        return text

    def schema(self) -> Schema:
        return _text_schema(pattern=f"^[{self.first}][{self.rest}]{{0,{self.longest - 1}}}$")


@dataclass(frozen=True, slots=True)
class Text:
    """Any text on one line."""

    what: str
    longest: int = LONGEST_TEXT
    told: str = "text"

    def parse(self, text: str) -> str:
        if not text:
            raise Wrong(f"{self.what} cannot be empty")
        if len(text) > self.longest:
            raise Wrong(f"{self.what} cannot be longer than {self.longest} characters; this has {len(text)}")
        return text

    def schema(self) -> Schema:
        return _text_schema(minLength=1, maxLength=self.longest)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words."""

    what: str
    words: tuple[str, ...]
    told_as: str | None = None

    @property
    def told(self) -> str:
        return self.told_as or " or ".join(f"`{each}`" for each in self.words)

    def parse(self, text: str) -> str:
        if text in self.words:
            return text
        hint = did_you_mean(text, self.words)
        if hint is None and len(self.words) <= 10:
            hint = f"it is one of: {', '.join(self.words)}"
        raise Wrong(f"{quoted(text)} is not {self.what}", hint)

    def schema(self) -> Schema:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number in decimal."""

    what: str
    least: int
    most: int

    @property
    def told(self) -> str:
        return "number"

    def parse(self, text: str) -> int:
        if re.fullmatch(r"0|[1-9][0-9]{0,11}", text) is None:
            raise Wrong(f"{quoted(text)} is not {self.what}: digits only, such as {self.least}")
        if not self.least <= int(text) <= self.most:
            raise Wrong(f"{self.what} is from {self.least} to {self.most}, not {text}")
        return int(text)

    def schema(self) -> Schema:
        number = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return {"anyOf": [number, {"type": "string", "pattern": "^(0|[1-9][0-9]{0,11})$"}]}


@dataclass(frozen=True, slots=True)
class FormatVersion:
    """The version of the file's format, a whole number."""

    known: int

    @property
    def told(self) -> str:
        return f"`{self.known}`"

    def parse(self, text: str) -> int:
        if text != str(self.known):
            raise Wrong(f"the format is {self.known}, not {quoted(text)}", f"write `format: {self.known}`")
        return self.known

    def schema(self) -> Schema:
        return {"enum": [self.known, str(self.known)]}


@dataclass(frozen=True, slots=True)
class YesNo:
    """``true`` or ``false``."""

    told: str = "`true` or `false`"

    def parse(self, text: str) -> bool:
        if text in ("true", "false"):
            return text == "true"
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text.lower(), text.lower())
        hint = f"did you mean {meant}?" if meant in ("true", "false") else None
        raise Wrong(f"{quoted(text)} is neither true nor false", hint)

    def schema(self) -> Schema:
        return {"enum": [True, False, "true", "false"]}


@dataclass(frozen=True, slots=True)
class Sha256:
    """A SHA-256 as 64 hex digits; upper case and colons are allowed."""

    what: str
    told: str = "64 hex digits"

    def parse(self, text: str) -> str:
        plain = text.replace(":", "").lower()
        bad = re.search("[^0-9A-Fa-f:]", text)
        if bad:
            raise Wrong(f"{self.what} is 64 hex digits; {quoted(bad[0])} is none", None, bad.span())
        if len(plain) != 64:
            raise Wrong(f"{self.what} is 64 hex digits, not {len(plain)}")
        return plain

    def schema(self) -> Schema:
        return _text_schema(pattern="^:*([0-9A-Fa-f]:*){64}$")


_HEX = r"-?(?:0[xX])?[0-9A-Fa-f]+(?::[0-9A-Fa-f]+)*"
_LONGEST_SERIAL = 40  # hex digits: RFC 5280 section 4.1.2.2, 20 octets


def _serial(text: str, offset: int = 0) -> int:
    bare = text.removeprefix("-")
    bad = re.search("[^0-9A-Fa-f:]", bare[2:] if bare[:2] in ("0x", "0X") else bare)
    if re.fullmatch(_HEX, text) is None:
        hint = "write hex digits, with 0x in front or colons between bytes if you like; a range is first..last"
        if bad and bad[0] == "-":
            hint = f"for a range write {bare.replace('-', '..')}"
        raise Wrong(f"{quoted(text)} is not a serial number in hex", hint, (offset, offset + len(text)))
    digits = bare.removeprefix("0x").removeprefix("0X").replace(":", "")
    if len(digits) > _LONGEST_SERIAL:
        message = f"a serial number cannot be longer than {_LONGEST_SERIAL} hex digits; this has {len(digits)}"
        raise Wrong(message, None, (offset, offset + len(text)))
    return int(digits, 16) if bare == text else -int(digits, 16)


@dataclass(frozen=True, slots=True)
class Serial:
    """One serial number, always in hex."""

    told: str = "hex"

    def parse(self, text: str) -> str:
        return f"{_serial(text):x}"

    def schema(self) -> Schema:
        return _text_schema(pattern=f"^{_HEX}$")


@dataclass(frozen=True, slots=True)
class SerialNumbers:
    """A serial number or a range of them, always in hex, both ends inclusive."""

    told: str = "hex or hex..hex"

    def parse(self, text: str) -> SerialRange:
        first_text, dots, last_text = text.partition("..")
        if dots and not (first_text and last_text):
            raise Wrong(f"{quoted(text)} is not a range of serial numbers: it needs both ends")
        first = _serial(first_text)
        last = _serial(last_text, len(first_text) + 2) if dots else first
        if last < first:
            raise Wrong(f"the range {text} ends before it begins", f"did you mean {last_text}..{first_text}?")
        return SerialRange(first, last)

    def schema(self) -> Schema:
        return _text_schema(pattern=rf"^{_HEX}(\.\.{_HEX})?$")


def _day(text: str, offset: int) -> date:
    span = offset, offset + len(text)
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is None:
        raise Wrong(f"{quoted(text)} is not a day: YYYY-MM-DD", None, span)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Wrong(f"there is no day {text} in the calendar", None, span) from error


@dataclass(frozen=True, slots=True)
class Days:
    """A span of UTC days, both inclusive."""

    told: str = "day..day"

    def parse(self, text: str) -> Window:
        first_text, dots, last_text = text.partition("..")
        if not dots or not first_text or not last_text:
            day = (first_text or last_text).strip()
            hint = "both days are needed; for a window of one day repeat it, for one without an end write 9999-12-31"
            if re.fullmatch(r"[0-9-]{10}", day) is None:
                hint = "write first..last, such as 2026-01-01..2026-06-30"
            raise Wrong(f"{quoted(text)} is not a window of days: YYYY-MM-DD..YYYY-MM-DD", hint)
        first, last = _day(first_text, 0), _day(last_text, len(first_text) + 2)
        if last < first:
            raise Wrong(f"the window {text} closes before it opens", f"did you mean {last_text}..{first_text}?")
        return Window(first, last)

    def schema(self) -> Schema:
        day = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
        return _text_schema(pattern=rf"^{day}\.\.{day}$")


_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?"


@dataclass(frozen=True, slots=True)
class Moment:
    """A day (its first second, UTC) or a time as in RFC 3339; without an offset it is UTC."""

    what: str = "a time"
    told: str = "day or time"

    def parse(self, text: str) -> datetime:
        if re.fullmatch(_TIME, text) is None:
            hint = "write 2026-03-01 or 2026-03-01T12:00:00Z"
            raise Wrong(f"{quoted(text)} is not {self.what}", hint)
        try:
            return parse_time(text)
        except (ValueError, OverflowError) as error:
            raise Wrong(f"there is no time {text} in the calendar") from error

    def schema(self) -> Schema:
        return _text_schema(pattern=f"^{_TIME}$")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern for a whole value of a subject attribute."""

    told: str = "pattern"

    def parse(self, text: str) -> Glob:
        problem = Glob.problem(text)
        if problem:
            raise Wrong(problem, None if text else 'for any value write "*"')
        if len(text) > LONGEST_TEXT:
            raise Wrong(f"a pattern cannot be longer than {LONGEST_TEXT} characters; this has {len(text)}")
        return Glob(text)

    def schema(self) -> Schema:
        return _text_schema(minLength=1, maxLength=LONGEST_TEXT)


def _own_address(host: str) -> bool:
    return _is_address(host) and off_limits(ip_address(host.strip("[]")))


def _is_address(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).version == (6 if host.startswith("[") else 4)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Url:
    """The address of a revocation list, or of whatever ``what`` names."""

    what: str = "a revocation list"
    in_s3: bool = True
    # Printable ASCII; what would be cut off before it is asked for (a fragment, a query in S3) is no part of it.
    _s3 = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[!-\"$->@-~]+"
    _web = r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/[!-\"$-~]*"

    @property
    def told(self) -> str:
        """As tables name it."""
        return "s3://, https:// or http://" if self.in_s3 else "https:// or http://"

    @property
    def _pattern(self) -> str:
        return f"{self._s3}|{self._web}" if self.in_s3 else self._web

    def parse(self, text: str) -> str:
        if re.fullmatch(self._pattern, text) is None or len(text) > LONGEST_TEXT:
            hint = f"write {'s3://bucket/key, ' if self.in_s3 else ''}https://host/path or http://host/path"
            raise Wrong(f"{quoted(text)} is not an address of {self.what}", hint)
        host = re.sub(r"^https?://(\[[^]]*\]|[^:/]*).*$", r"\1", text)
        if host.startswith("[") and not _is_address(host):
            raise Wrong(f"{quoted(host)} is no IPv6 address (RFC 3986 section 3.2.2)")
        if text.startswith("http") and (_own_address(host) or host.lower() == "localhost"):
            hint = "nothing is fetched from loopback, link-local and reserved addresses"
            raise Wrong(f"{quoted(host)} is no host of {self.what}", hint)
        return text

    def schema(self) -> Schema:
        return _text_schema(pattern=f"^({self._pattern})$")


_EC = {"P-256": 256, "P-384": 384, "P-521": 521}


@dataclass(frozen=True, slots=True)
class Key:
    """A device's key, as the tests in a rules file name it."""

    told: str = "`P-256`, `P-384`, `P-521` or `RSA-bits`"

    def parse(self, text: str) -> KeyFacts:
        if text in _EC:
            return KeyFacts("EC", _EC[text], text)
        if re.fullmatch(r"RSA-[1-9][0-9]{2,4}", text):
            return KeyFacts("RSA", int(text.removeprefix("RSA-")))
        raise Wrong(f"{quoted(text)} is not a key", "write P-256, P-384, P-521 or RSA-2048")

    def schema(self) -> Schema:
        return _text_schema(pattern="^(P-(256|384|521)|RSA-[1-9][0-9]{2,4})$")


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """A value of a device that an IoT policy can use, by its name in ``jitr.rules.policy_variables``."""

    told: str = "[policy value](#iot-policies)"
    _attribute = rf"attributes\.{ATTRIBUTE_NAME}"

    def parse(self, text: str) -> str:
        if text in VARIABLES or re.fullmatch(self._attribute, text):
            return text
        hint = did_you_mean(text, VARIABLES) or "an attribute of the thing is named attributes.NAME"
        raise Wrong(f"{quoted(text)} is nothing that an IoT policy can go by", hint)

    def schema(self) -> Schema:
        return {"anyOf": [{"enum": list(VARIABLES)}, _text_schema(pattern=f"^{self._attribute}$")]}


SUBJECT_ATTRIBUTES = tuple(ATTRIBUTE_NAMES.values())
ROW_ATTRIBUTE = r"attr\.[A-Za-z0-9_.-]{1,64}"
_TEMPLATE_NAMES = (*SUBJECT_ATTRIBUTES, "serial_number")


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names in a template that Template accepted."""
    return tuple(re.findall(r"\{([^{}]*)\}", template))


@dataclass(frozen=True, slots=True)
class Template:
    """A text with ``{name}`` in it, filled in for each device, of which AWS IoT takes what ``syntax`` says."""

    what: str
    syntax: Syntax
    told: str = "template"

    def parse(self, text: str) -> str:
        if not text:
            raise Wrong(f"{self.what} cannot be empty")
        literal = 0
        for part in re.finditer(r"\{([^{}]*)\}|[{}]|[^{}]+", text):
            if part[1] is not None:
                self._check_name(part[1], part.span())
            elif part[0] in "{}":
                hint = "a template is {name}; braces stand for nothing else, and AWS IoT takes none in names"
                raise Wrong(f"{quoted(part[0])} without its other half", hint, part.span())
            else:
                self._check_literal(part[0], part.start())
                literal += len(part[0])
        if literal > self.syntax.most:
            raise Wrong(f"{self.what} cannot be longer than {self.syntax.most} characters; this has {literal}")
        return text

    def _check_literal(self, text: str, offset: int) -> None:
        allowed = self.syntax.characters
        bad = re.search(f"[^{allowed}]", text)
        if bad:
            span = offset + bad.start(), offset + bad.end()
            raise Wrong(f"{self.what} cannot have {quoted(bad[0])} in it", f"AWS IoT takes [{allowed}]", span)

    def _check_name(self, name: str, span: tuple[int, int]) -> None:
        if name in _TEMPLATE_NAMES or re.fullmatch(ROW_ATTRIBUTE, name):
            return
        hint = did_you_mean(name, (*_TEMPLATE_NAMES, "attr.NAME"))
        if hint is None:
            hint = "a template names a subject attribute, serial_number or attr.NAME of the list row"
        raise Wrong(f"{quoted('{' + name + '}')} is not a template", hint, span)

    def schema(self) -> Schema:
        names = "|".join((*_TEMPLATE_NAMES, ROW_ATTRIBUTE))
        return _text_schema(pattern=rf"^([{self.syntax.characters}]|\{{({names})\}})+$")
