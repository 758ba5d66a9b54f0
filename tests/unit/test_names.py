"""Distinguished names: compared by RFC 5280 section 7.1, written by RFC 4514."""

import pytest

from jitr.facts import Attribute
from jitr.x509.names import quoted, rfc4514, same_name


def cn(value: str, encoding: str = "UTF8String") -> tuple[Attribute, ...]:
    return (Attribute("common_name", value, encoding),)


def o(value: str) -> tuple[Attribute, ...]:
    return (Attribute("organization", value),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param((), (), id="empty names are equal"),
        pytest.param((cn("a"),), (cn("a", "PrintableString"),), id="the string type does not matter"),
        pytest.param((cn("Factory A"),), (cn("factory a"),), id="case does not matter"),
        pytest.param((cn("STRASSE"),), (cn("straße"),), id="case by Unicode folding"),
        pytest.param((cn(" Factory \t  A "),), (cn("Factory A"),), id="the amount of white space does not matter"),
        pytest.param((cn("ﬁx"),), (cn("fix"),), id="compatibility forms do not matter"),
        pytest.param((cn("a") + o("b"),), (o("b") + cn("a"),), id="order within a relative name does not matter"),
    ],
)
def test_equal_names(one: tuple[tuple[Attribute, ...], ...], other: tuple[tuple[Attribute, ...], ...]) -> None:
    assert same_name(one, other)
    assert same_name(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param((cn("a"),), (), id="one is empty"),
        pytest.param((cn("a"),), (cn("b"),), id="another value"),
        pytest.param((cn("a"),), (o("a"),), id="another attribute"),
        pytest.param((cn("a"), o("b")), (o("b"), cn("a")), id="the order of relative names matters"),
        pytest.param((cn("a"), o("b")), (cn("a") + o("b"),), id="so does how they are grouped"),
        pytest.param((cn("a"),), (cn("a"), cn("a")), id="so does how many there are"),
        pytest.param((cn("FactoryA"),), (cn("Factory A"),), id="white space is not nothing"),
    ],
)
def test_different_names(one: tuple[tuple[Attribute, ...], ...], other: tuple[tuple[Attribute, ...], ...]) -> None:
    assert not same_name(one, other)
    assert not same_name(other, one)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ((), ""),
        ((o("OKIDA"), cn("snr-1")), "CN=snr-1,O=OKIDA"),
        ((cn("a") + o("b"), cn("c")), "CN=c,CN=a+O=b"),
        ((cn('a,b+c"d\\e;f<g>h'),), r"CN=a\,b\+c\"d\\e\;f\<g\>h"),
        ((cn("#1"),), r"CN=\#1"),
        ((cn("a#1"),), "CN=a#1"),
        ((cn(" a "),), r"CN=\ a\ "),
        ((cn(" "),), r"CN=\ "),
        ((cn("  "),), r"CN=\ \ "),
        ((cn(""),), "CN="),
        ((cn("a\0b\nc"),), r"CN=a\00b\0ac"),
        ((cn("Ş"),), "CN=Ş"),
        ((cn("#030200a5", "BitString"),), "CN=#030200a5"),
        (((Attribute("subject_serial_number", "7"),),), "serialNumber=7"),
        (((Attribute("1.2.3.4", "x"),),), "1.2.3.4=x"),
    ],
)
def test_written_names(name: tuple[tuple[Attribute, ...], ...], written: str) -> None:
    """RFC 4514 sections 2.1 to 2.4."""
    assert rfc4514(name) == written


def test_what_is_quoted_is_short_and_harmless() -> None:
    assert quoted("a\n\x1b[31m\u202eb") == r"'a\n\x1b[31m\u202eb'"
    assert quoted("x" * 500) == "'" + "x" * 119 + "…'"
