"""Manifests of secure elements: an element is a row only if a signer that is known signed all of what it says."""

import base64
import hashlib
import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any

import pytest
from testkit import manifests, pki
from testkit.manifests import SIGNER, Lot, base64url, date, manifest, opened, problems, rows, signed

from jitr.devicelists.csv.reader import ListError, Row
from jitr.devicelists.csv.serials import UNDECIDED
from jitr.devicelists.manifests.jws import Signers, read_signer
from jitr.devicelists.manifests.microchip import AT_ONCE
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import Options, ParallelMap, one_by_one, signers_of
from jitr.devicelists.manifests.strict_json import MAX_ELEMENT
from jitr.errors import InputError

LOT = Lot()
OTHER = manifests.signer("Somebody Else")


def one(**changes: Any) -> bytes:
    """A manifest of one chip, with its payload changed."""
    return manifest([LOT.element(1, **changes)])


def with_key(**changes: Any) -> bytes:
    """A manifest of one chip, with its slot 0 changed; None takes a member away."""
    key = {name: value for name, value in (LOT.key(1) | changes).items() if value is not None}
    return one(publicKeySet={"keys": [key]})


def why(data: bytes, *signers: pki.Issued, **options: Any) -> str:
    """The one thing that is wrong with a file."""
    found = problems(data, *(signers or (SIGNER,)), **options)
    assert len(found) == 1, found
    return found[0]


# --- what is taken


def test_an_element_is_a_row_with_the_digest_of_its_slot_s_public_key() -> None:
    (row,) = rows(one(), SIGNER)
    key = pki.public_key(LOT.certificate(1).key)
    assert row.public_key_sha256 == hashlib.sha256(key).hexdigest()
    assert (row.certificate_sha256, row.common_name, row.thing_name) == (None, None, None)


def test_a_row_says_what_the_element_says_of_the_device_and_who_signed_it() -> None:
    (row,) = rows(one(), SIGNER)
    assert row.attributes == {
        "unique_id": "0123000000000001ee",
        "part_number": "ATECC608B-TNGTLSS-G",
        "model": "ATECC608B",
        "group_id": "359SCE55NV38H3CB",
        "manufacturer": "Chips Inc",
        "distributor": "Parts Ltd",
    }
    assert row.note == f"lot.json, signed by Lot Signer (sha256 {SIGNER.sha256[:16]})"


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_manifest_is_read_in_pieces_of_any_size(size: int, indent: int | None) -> None:
    data = manifest((LOT.element(each) for each in range(20)), indent=indent)
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    assert len(rows(pieces, SIGNER)) == 20


@pytest.mark.parametrize("data", [b"[]", b" [ ] \n", b"\xef\xbb\xbf[]"])
def test_an_empty_manifest_is_an_empty_list(data: bytes) -> None:
    assert rows(data, SIGNER) == []


def test_an_element_alone_is_a_manifest_of_one() -> None:
    assert len(rows(json.dumps(LOT.element(1)).encode(), SIGNER)) == 1


def test_a_manifest_of_several_signers_is_read_where_all_are_known() -> None:
    data = manifest([LOT.element(1), LOT.element(2, by=OTHER)])
    assert len(rows(data, SIGNER, OTHER)) == 2
    assert "element 2: its signer" in why(data)


def test_a_device_without_a_certificate_is_listed_by_the_key_of_slot_0() -> None:
    keys = [{"kid": str(slot), **manifests.jwk(pki.key("P-256", f"s{slot}"))} for slot in (1, 0, 2)]
    (row,) = rows(one(publicKeySet={"keys": keys}), SIGNER)
    assert row.public_key_sha256 == hashlib.sha256(pki.public_key(pki.key("P-256", "s0"))).hexdigest()


def test_the_slot_with_the_only_certificate_is_the_device() -> None:
    zero = {"kid": "0", **manifests.jwk(pki.key("P-256", "s0"))}
    (row,) = rows(one(publicKeySet={"keys": [zero, LOT.key(1) | {"kid": "device"}]}), SIGNER)
    assert row.public_key_sha256 == hashlib.sha256(pki.public_key(LOT.certificate(1).key)).hexdigest()


@pytest.mark.parametrize("kind", ["P-384", "P-521", "RSA-2048"])
def test_keys_of_other_kinds_have_the_digest_of_their_usual_form(kind: str) -> None:
    key = pki.key(kind, "a chip")
    (row,) = rows(one(publicKeySet={"keys": [{"kid": "0", **manifests.jwk(key)}]}), SIGNER)
    assert row.public_key_sha256 == hashlib.sha256(pki.public_key(key)).hexdigest()


def test_certificates_that_cryptography_refuses_are_read() -> None:
    """Trust&GO certificates have an underscore in a PrintableString of their alternative name."""
    directory = pki.tlv(0xA4, pki.distinguished_name(("serialNumber", "eui48_0004A3", "PrintableString")))
    chip = LOT.maker.usual_device("sn1").key("P-256", "odd chip").alternative_names(directory).issue()
    chain = [base64.b64encode(each).decode() for each in (chip.der, LOT.maker.der)]
    assert len(rows(with_key(**manifests.jwk(chip.key), x5c=chain), SIGNER)) == 1


def test_a_thing_is_named_by_a_template_of_what_the_element_says() -> None:
    (row,) = rows(one(), SIGNER, thing_name="board-{unique_id}")
    assert row.thing_name == "board-0123000000000001ee"
    (row,) = rows(one(), SIGNER, thing_name="{common_name}-{attr.model}")
    assert row.thing_name == "sn0123000000000001EE-ATECC608B"


def test_a_template_that_names_what_is_not_there_says_what_is() -> None:
    told = why(one(), thing_name="{serial}")
    assert "element 1 (0123000000000001ee): --thing-name: it has no 'serial'; there are: common_name, " in told


def test_a_thing_s_name_that_aws_iot_would_not_take_is_an_error() -> None:
    assert "thing_name: 'a b' is not a thing name" in why(one(), thing_name="a b")


# --- signatures


def tampered(element: dict[str, Any], **changes: Any) -> bytes:
    payload = json.loads(_decoded(element["payload"])) | changes
    return manifest([element | {"payload": base64url(json.dumps(payload).encode())}])


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_an_element_that_was_changed_after_it_was_signed_is_refused() -> None:
    told = why(tampered(LOT.element(1), partNumber="another"))
    assert "lot.json: element 1: the key of its signer Lot Signer" in told
    assert "does not verify its signature" in told


def test_one_bad_element_refuses_the_file_and_is_named() -> None:
    elements = [LOT.element(each) for each in range(5)]
    elements[3] = elements[3] | {"signature": elements[2]["signature"]}
    told = why(manifest(elements))
    assert told.startswith("lot.json: element 4: the key of its signer")
    with pytest.raises(ListError):
        rows(manifest(elements), SIGNER)


def test_bad_elements_are_left_out_and_listed_where_that_is_asked_for() -> None:
    elements = [LOT.element(each) for each in range(5)]
    elements[3] = elements[3] | {"signature": elements[2]["signature"]}
    reader = opened(manifest(elements), SIGNER, skip_bad=True)
    assert len(list(reader)) == 4
    assert reader.problem_count == 0
    assert "1 element is left out (--skip-bad):" in reader.said
    assert any(each.startswith("element 4: the key of its signer") for each in reader.said)


def test_nothing_is_believed_where_no_signer_is_known() -> None:
    told = problems(one())
    assert len(told) == 1
    assert "no signer of manifests is known" in told[0]
    assert "jitr lists signers add FILE" in told[0]


def test_a_signer_is_known_by_the_digest_of_its_certificate_and_not_by_its_name() -> None:
    same_name = manifests.signer("Lot Signer", serial_number=7)
    assert "is none of the 1 that are known" in why(manifest([LOT.element(1, by=same_name)]))


def test_a_kid_that_is_not_that_of_the_signer_is_refused() -> None:
    data = manifest([signed(LOT.payload(1), kid=base64url(b"another"))])
    assert "is not that of the signer that its x5t#S256 names" in why(data)


@pytest.mark.parametrize("missing", ["kid", "x5t#S256"])
def test_one_of_the_two_names_of_the_signer_is_enough(missing: str) -> None:
    assert len(rows(manifest([signed(LOT.payload(1), SIGNER, **{missing: None})]), SIGNER)) == 1


def test_an_element_that_names_no_signer_is_refused() -> None:
    assert "is none of the 1" in why(manifest([signed(LOT.payload(1), SIGNER, **{"kid": None, "x5t#S256": None})]))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "es256", "RS256", None, ["ES256"], 1])
def test_no_algorithm_but_es256_is_taken(algorithm: Any) -> None:
    assert "only ES256 is taken" in why(manifest([signed(LOT.payload(1), alg=algorithm)]))


@pytest.mark.parametrize("extension", [{"crit": ["exp"]}, {"b64": False}])
def test_an_extension_that_would_change_what_is_signed_is_refused(extension: dict[str, Any]) -> None:
    assert "asks for an extension" in why(manifest([signed(LOT.payload(1), **extension)]))


@pytest.mark.parametrize("name", ["payload", "protected", "signature"])
@pytest.mark.parametrize("value", [None, 1, "", "=", "a", "ü", "\ud800", "AA==", "a b", "W10", "bnVsbA"])
def test_what_is_no_jws_is_refused(name: str, value: Any) -> None:
    assert why(manifest([LOT.element(1) | {name: value}])).startswith("lot.json: element 1: ")


def test_a_signature_in_der_is_refused() -> None:
    assert "its signature has 70 octets" in why(manifest([LOT.element(1) | {"signature": base64url(bytes(70))}]))


def test_the_header_that_nobody_signed_may_say_nothing_else() -> None:
    element = LOT.element(1) | {"header": {"uniqueId": "0123000000000002ee"}}
    assert "its header, which is not signed, has another 'uniqueId' than its payload" in why(manifest([element]))


def test_a_general_serialization_is_refused() -> None:
    assert "it has several signatures" in why(manifest([LOT.element(1) | {"signatures": []}]))


# --- when


@pytest.mark.parametrize("made", ["2025-12-31T23:59:59.999Z", "2036-01-01T00:00:00.001Z"])
def test_an_element_made_when_its_signer_was_not_valid_is_refused_unless_that_is_said(made: str) -> None:
    data = one(provisioningTimestamp=made)
    told = why(data)
    assert f"it was made at {made}" in told
    assert "--any-date" in told
    reader = opened(data, SIGNER, any_date=True)
    assert len(list(reader)) == 1
    assert any("when that signer's certificate was not valid" in each for each in reader.said)


def test_a_signer_that_has_expired_since_is_normal() -> None:
    old = manifests.signer("Log Signer 2019", not_before=date("2019-01-22"), not_after=date("2019-07-22"))
    element = LOT.element(1, by=old, provisioningTimestamp="2019-02-01T00:00:00.000Z")
    assert len(rows(manifest([element]), old)) == 1


@pytest.mark.parametrize(
    "made", [None, 1, "", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "2" * 99]
)
def test_an_element_that_does_not_say_when_it_was_made_is_refused(made: Any) -> None:
    assert "its provisioningTimestamp is not a time" in why(one(provisioningTimestamp=made))


# --- keys and certificates


def test_a_certificate_of_another_key_is_refused() -> None:
    assert "slot '0': its certificate (x5c) is of another key" in why(with_key(x5c=LOT.key(2)["x5c"]))


def test_a_certificate_that_its_signer_did_not_sign_is_refused() -> None:
    impostor = pki.make(pki.ca_draft("Chip Signer 1").but(key_pair=pki.key("P-256", "x"), signer=pki.key("P-256", "x")))
    x5c = [LOT.key(1)["x5c"][0], Lot(impostor).key(1)["x5c"][1]]
    assert "is not signed by the next one in its x5c" in why(with_key(x5c=x5c))


def test_a_certificate_that_names_another_issuer_is_refused() -> None:
    x5c = [LOT.key(1)["x5c"][0], Lot(pki.ca("Chip Signer 2")).key(1)["x5c"][1]]
    assert "names another issuer" in why(with_key(x5c=x5c))


def test_certificates_of_other_slots_are_looked_at_as_well() -> None:
    bad = LOT.key(2) | {"kid": "3", "x5c": LOT.key(4)["x5c"]}
    assert "slot '3': its certificate (x5c) is of another key" in why(one(publicKeySet={"keys": [LOT.key(1), bad]}))


@pytest.mark.parametrize(
    "x5c", [[], ["?"], [1], "text", {}, ["TUlJ"], ["MIIB"], ["ü"], ["MAA="] * 9, [LOT.key(1)["x5c"][0], "MAA="]]
)
def test_what_is_no_chain_of_certificates_is_refused(x5c: Any) -> None:
    assert "element 1 (0123000000000001ee): slot '0': " in why(with_key(x5c=x5c))


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "oct"}, {"kty": None}, {"crv": "P-192"}, {"crv": ["P-256"]}, {"x": base64url(bytes(32))}, {"x": "AA"},
        {"y": 1}, {"x": base64url(bytes(33))}, {"kty": "RSA"}, {"kty": "RSA", "n": "AA", "e": "AQAB"},
        {"kty": "RSA", "n": base64url(b"\xff" * 2000), "e": "AQAB"}, {"kty": {}},
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused(change: dict[str, Any]) -> None:
    assert "element 1 (0123000000000001ee): slot '0': its " in why(with_key(x5c=None, **change))


@pytest.mark.parametrize("keys", [None, [], {}, [1], [None], [{}], [{"kid": "1"}, {"kid": "2"}], [{"kid": "0"}] * 65])
def test_an_element_without_a_key_that_could_be_the_device_s_is_refused(keys: Any) -> None:
    assert why(one(publicKeySet={"keys": keys})).startswith("lot.json: element 1 (0123000000000001ee): ")


def test_a_slot_that_cannot_be_told_is_not_guessed() -> None:
    keys = [LOT.key(1) | {"kid": "1"}, LOT.key(2) | {"kid": "2"}]
    assert "cannot be told" in why(one(publicKeySet={"keys": keys}))


@pytest.mark.parametrize("unique_id", [None, 1, "", "0123", "0123000000000001eg", "0" * 19, "\u0660" * 18])
def test_a_unique_id_is_18_hex_digits(unique_id: Any) -> None:
    assert "its uniqueId is not 18 hex digits" in why(one(uniqueId=unique_id))


@pytest.mark.parametrize("version", [None, 0, 4, "1", True, 1.0, [1]])
def test_a_version_that_is_not_known_is_not_guessed(version: Any) -> None:
    assert "1, 2 and 3 are known" in why(one(version=version))


def test_text_that_nobody_sees_is_an_error() -> None:
    assert "attr.part_number: " in why(one(partNumber="A\u202eB"))


def test_a_device_that_is_there_twice_is_named_with_both_places() -> None:
    data = manifest([LOT.element(1), LOT.element(2), LOT.element(1)])
    told = why(data)
    assert told.startswith("lot.json: element 3 (0123000000000001ee): public_key_sha256 ")
    assert told.endswith("is in element 1 already")


# --- lite manifests


def test_a_lite_manifest_says_what_can_be_done() -> None:
    told = why(manifest([manifests.lite(LOT, 1)]))
    assert "which has neither key nor certificate: ask whoever sold the chips for the full one" in told
    assert "take it --by common-name, which is weaker" in told


def test_a_lite_manifest_is_taken_by_name_where_that_is_asked_for_and_said() -> None:
    reader = opened(manifest([manifests.lite(LOT, 1)]), SIGNER, by_common_name=True)
    (row,) = [each.row for each in reader]
    assert (row.common_name, row.public_key_sha256) == ("sn0123000000000001EE", None)
    assert "1 element is taken by common name: any certificate of that name fits" in reader.said


def test_a_full_manifest_is_by_key_all_the_same() -> None:
    (row,) = rows(one(), SIGNER, by_common_name=True)
    assert (row.common_name, row.public_key_sha256 is None) == (None, False)


# --- hostile JSON


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ('{"uniqueId":"a","uniqueId":"b"}', "it has a name twice in one object"),
        ('{"a":NaN}', "NaN is not JSON"),
        ('{"a":-Infinity}', "-Infinity is not JSON"),
        ('{"a":1e999}', "it has a number that is too long or too large"),
        ('{"a":' + "9" * 30 + "}", "it has a number of more than 20 digits"),
        ('{"a":' + "[" * 20_000 + "]" * 20_000 + "}", "it is nested too deep"),
        ("{} {}", "there is more after the end of its JSON"),
        ("{", "it is not JSON"),
        ("[]", "its payload is no JSON object"),
    ],
)
def test_a_payload_that_readers_could_disagree_about_is_refused(payload: str, told: str) -> None:
    assert told in why(manifest([signed(payload)]))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"[", "line 1: element 1 is no object, or is not there"),
        (b"[{}", "line 1: after element 1 comes neither a comma nor ]"),
        (b'[{"a":1', "line 1: element 1 is not JSON from here on: the file is cut short or damaged"),
        (b"[1]", "element 1 is no object"),
        (b"[{},]", "element 2 is no object"),
        (b"[]\n[]", "line 2: there is more after the end of its JSON"),
        (b'[{"a":1,"a":2}]', "element 1: it has a name twice in one object"),
        (b'[\n\n{"a":NaN}]', "line 3: element 1: NaN is not JSON"),
        (b'[{"a":' + b"[" * 60_000, "element 1 is nested too deep"),
        (b'[{"a":"' + b"x" * (1 << 20) + b'"}]', "element 1 has more than 65536 characters"),
        (b'[{"a":"' + b"x" * 66_000 + b'"}]', "element 1 has more than 65536 characters"),
        (b'[{"a":"\xff"}]', "from near here on it is not UTF-8"),
        (b"[" + b" " * 300_000 + b"x", "element 1 is no object"),
    ],
    ids=lambda each: each[:20] if isinstance(each, bytes) else "",
)
def test_a_file_that_is_no_array_of_objects_is_refused_with_its_line(data: bytes, told: str) -> None:
    found = problems(data, SIGNER)
    assert told in found[-1]


def elsewhere(work: Callable[[Any], Any], things: Iterable[Any]) -> Iterator[Any]:
    """Work as if in another process: what goes there and what comes back is pickled."""
    for each in things:
        again, thing = pickle.loads(pickle.dumps((work, each)))  # noqa: S301 - our own
        yield pickle.loads(pickle.dumps(again(thing)))  # noqa: S301


def test_rows_and_mistakes_are_the_same_where_other_processes_verify() -> None:
    """In the order of the file, up to the place from where nothing can be read."""
    elements = [LOT.element(each % 3) for each in range(600)]
    elements[1]["signature"] = elements[2]["signature"]
    elements[599]["payload"] = "e30"
    data = manifest(elements)[:-1] + b",{"
    known = Signers([read_signer(SIGNER.der, any_date=True)])

    def read(spread: ParallelMap) -> tuple[list[Row], list[str], tuple[str, ...], int]:
        opener = Opener(Options(signers=known, thing_name="chip-{unique_id}"), BytesIO, None, spread)
        reader = opener([data], "lot.json", None, lambda: UNDECIDED)
        found = list(reader)
        return found, [each.at("lot.json") for each in reader.problems], reader.said, len(signers_of(reader))

    found, wrong, said, signers = read(elsewhere)
    assert (found, wrong, said, signers) == read(one_by_one)
    assert (len(found), signers) == (598, 1)
    assert [each.line for each in found[:3]] == [1, 3, 4]
    assert [each.split(": ")[1] for each in wrong[:2]] == ["element 2", "element 600"]
    assert "element 601 is not JSON" in wrong[2]


def test_memory_does_not_grow_with_the_manifest() -> None:
    """No more elements are held than are verified together, and what was read before them is let go of."""
    element = json.dumps(LOT.element(1)).encode() + b","
    given = 0

    def pieces() -> Iterator[bytes]:
        nonlocal given
        yield b"["
        while True:
            given += len(element)
            yield element

    found = iter(opened(pieces(), SIGNER, skip_bad=True))
    next(found)
    assert given <= 3 * MAX_ELEMENT + AT_ONCE * len(element)


# --- signers


def test_a_signer_is_a_certificate_on_p256() -> None:
    with pytest.raises(InputError, match="ES256"):
        read_signer(manifests.signer(kind="P-384").der)
    with pytest.raises(InputError, match="ES256"):
        read_signer(manifests.signer(kind="RSA-2048").der)


@pytest.mark.parametrize("name", ["Log Signer 002", "Microchip Technology Log Signer 004", "Manifest Signer 005"])
def test_a_certificate_that_calls_itself_a_signer_of_microchip_s_has_its_key_identifier_and_days(name: str) -> None:
    with pytest.raises(InputError, match="it is another's"):
        read_signer(manifests.signer(name).der)


def test_a_signer_s_name_does_not_steer_a_terminal() -> None:
    assert "\x1b" not in str(read_signer(manifests.signer("a\x1b[2Jb").der))


def test_a_moment_on_the_signer_s_last_second_counts() -> None:
    assert len(rows(one(provisioningTimestamp="2036-01-01T00:00:00.000Z"), SIGNER)) == 1


@pytest.mark.parametrize("break_", ["\n", "\n\n\n"])
def test_lines_are_counted_over_pieces(break_: str) -> None:
    elements = break_.join(f"{json.dumps(LOT.element(each))}," for each in range(60))
    data = f"[{break_}{elements}{break_}1]".encode()
    line = data.count(b"\n") + 1
    pieces = (data[at : at + 1000] for at in range(0, len(data), 1000))
    assert problems(pieces, SIGNER)[0].startswith(f"lot.json: line {line}: element 61 is no object")
