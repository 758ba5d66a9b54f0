"""Tables of devices as Espressif and Nordic's nRF Cloud have them: a certificate in a cell."""

import base64
import hashlib
import textwrap
from collections.abc import Callable

import pytest
from testkit import manifests, pki
from testkit.manifests import opened, problems, rows

CA = pki.ca("Modules")
MACS = ("70B3D5000001", "70B3D5000002")


def device(name: str) -> pki.Issued:
    return CA.usual_device(name).key("P-256", name).issue()


MODULES = [(mac, device(f"module-{mac}")) for mac in MACS]
BOARDS = [(name, device(name)) for name in ("nrf-351358811124484", "50363154-3931-44f0-8022-121b6401627d")]
KEYS = [[hashlib.sha256(pki.public_key(each.key)).hexdigest() for _, each in some] for some in (MODULES, BOARDS)]


def test_espressif_s_modules_are_devices_by_their_public_keys() -> None:
    reader = opened(manifests.espressif(MODULES), name="modules.csv")
    found = [each.row for each in reader]
    assert [each.public_key_sha256 for each in found] == KEYS[0]
    assert [each.attributes for each in found] == [{"mac": mac} for mac in MACS]
    line = 3 + MODULES[0][1].pem.count(b"\n")
    assert found[1].note == f"modules.csv, line {line}"
    assert reader.said == ("read as Espressif's list of pre-provisioned modules, which its content shows",)


def test_nrf_cloud_s_devices_are_devices_by_their_public_keys() -> None:
    reader = opened(manifests.nrf_cloud(BOARDS))
    found = [each.row for each in reader]
    assert [each.public_key_sha256 for each in found] == KEYS[1]
    assert found[0].attributes == {"device_id": "nrf-351358811124484", "sub_type": "tracker", "tags": "red|blue"}


def test_a_row_whose_certificate_has_another_name_is_refused_with_its_line() -> None:
    data = manifests.espressif([MODULES[0], (MACS[1], MODULES[0][1])])
    (told,) = problems(data)
    assert told.startswith("lot.json: line ")
    assert f"its cn is 'module-{MACS[1]}', and the common name of its certificate is 'module-{MACS[0]}'" in told
    (told,) = problems(manifests.nrf_cloud([("another", BOARDS[0][1])]))
    assert "its device id is 'another'" in told


@pytest.mark.parametrize("mac", ["", "70:B3:D5:00:00:01", "70B3D500001G", "7.0B3E+11"])
def test_a_mac_is_12_hex_digits(mac: str) -> None:
    (told,) = problems(manifests.espressif([(mac, device(f"module-{mac}"))]))
    assert "is not 12 hex digits" in told


def test_a_device_that_is_there_twice_is_named_with_both_lines() -> None:
    (told,) = problems(manifests.nrf_cloud([*BOARDS, BOARDS[0]]))
    assert told.endswith("is in line 1 already")


@pytest.mark.parametrize(
    "damage",
    [
        lambda each: each.replace("MII", "M!!"),
        lambda each: each[:-80],
        lambda each: each + ',,,"',
        lambda each: each.replace("CERTIFICATE", "PRIVATE KEY"),
    ],
)
def test_a_damaged_row_is_an_error_and_no_exception(damage: object) -> None:
    for data in (manifests.espressif(MODULES), manifests.nrf_cloud(BOARDS)):
        kind = "espressif" if data.startswith(b"MAC") else "nrfcloud"
        broken: str = damage(data.decode())  # type: ignore[operator]
        assert problems(broken.encode(), kind=kind)


def test_a_thing_can_be_named_after_the_mac() -> None:
    assert [each.thing_name for each in rows(manifests.espressif(MODULES), thing_name="esp-{mac}")] == [
        f"esp-{mac}" for mac in MACS
    ]


# --- a certificate in a cell of any table


def table_of(header: str, *rows: str) -> bytes:
    return "\n".join([header, *rows]).encode()


def cell(number: int) -> str:
    return f'"{BOARDS[number][1].pem.decode()}"'


def test_csv_with_a_certificate_in_a_cell_is_devices_by_their_public_keys() -> None:
    data = table_of("Pos;PEM;attr.batch;thing_name;note", f"1;{cell(0)};7;board-1;on the roof", f"2;{cell(1)};;;")
    reader = opened(data, name="boards.csv")
    found = [each.row for each in reader]
    assert [each.public_key_sha256 for each in found] == KEYS[1]
    assert (found[0].attributes, found[0].thing_name, found[0].note) == ({"batch": "7"}, "board-1", "on the roof")
    assert found[1].note is not None
    assert found[1].note.startswith("boards.csv, line ")
    assert reader.said == (
        "read as CSV with a certificate in a cell of each row, which its content shows",
        "columns that are left out: 'Pos'",
    )


def in_base64(form: str, number: int) -> str:
    """A certificate as a cell: of its DER or its PEM, on one line or wrapped."""
    board = BOARDS[number][1]
    text = base64.b64encode(board.pem if "PEM" in form else board.der).decode()
    return '"' + "\n".join(textwrap.wrap(text, 64)) + '"' if "wrapped" in form else text


FORMS = ["DER", "PEM", "DER, wrapped", "PEM, wrapped"]


@pytest.mark.parametrize("form", FORMS)
def test_a_certificate_in_a_cell_may_be_the_base64_of_der_or_pem(form: str) -> None:
    data = table_of("n,certificate,attr.batch", f"1,{in_base64(form, 0)},7", f"2,{in_base64(form, 1)},")
    found = rows(data)
    assert [each.public_key_sha256 for each in found] == KEYS[1]
    assert found[0].attributes == {"batch": "7"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("heading", ["certificate", "Zertifikat", "public key"])
def test_lines_of_base64_under_a_heading_are_csv_of_one_column(form: str, heading: str) -> None:
    found = rows(table_of(heading, in_base64(form, 0), in_base64(form, 1)))
    assert [each.public_key_sha256 for each in found] == KEYS[1]


def test_base64_under_a_column_of_a_list_is_that_column_s_text() -> None:
    """A row is known by the keys that its file names, and an attribute may be any text."""
    data = table_of("common_name,attr.certificate", f"a,{in_base64('DER', 0)}")
    (row,) = rows(data)
    assert (row.common_name, row.public_key_sha256) == ("a", None)


def test_a_cell_that_is_not_the_base64_of_a_certificate_is_told_as_that() -> None:
    for cell_of in ("abcd", "no base64", base64.b64encode(b"x" * 300).decode()):
        (told,) = problems(table_of("n,cert", f"1,{in_base64('DER', 0)}", f"2,{cell_of}"))
        assert "line 3: its certificate is neither in PEM nor the base64 of a certificate" in told


@pytest.mark.parametrize("wrap", [bytes, base64.b64encode], ids=["PEM", "base64"])
def test_a_private_key_beside_a_certificate_in_its_cell_is_refused(wrap: Callable[[bytes], bytes]) -> None:
    """Private keys are refused wherever they are found; nothing of them is repeated."""
    for key in (pki.private_pem(BOARDS[1][1].key), BOARDS[1][1].pem + pki.private_pem(BOARDS[1][1].key)):
        (told,) = problems(table_of("n,cert", f"1,{cell(0)}", f'2,"{wrap(key).decode()}"'))
        assert "it has a private key in it, which no list needs" in told
        assert "MI" not in told


def test_a_private_key_in_base64_of_der_is_no_certificate() -> None:
    key = "".join(pki.private_pem(BOARDS[1][1].key).decode().splitlines()[1:-1])
    (told,) = problems(table_of("n,cert", f"1,{cell(0)}", f"2,{key}"))
    assert "a private key, not a certificate" in told


def test_what_it_calls_its_columns_is_said_as_for_other_csv() -> None:
    data = table_of("Cert,Charge", f"{cell(0)},7")
    (row,) = rows(data, headings={"Charge": "attr.batch"})
    assert row.attributes == {"batch": "7"}


def test_a_common_name_beside_a_certificate_is_the_certificate_s_own() -> None:
    good = table_of("common_name,cert", f"{BOARDS[0][0]},{cell(0)}")
    assert [each.public_key_sha256 for each in rows(good)] == KEYS[1][:1]
    (told,) = problems(table_of("common_name,cert", f"another,{cell(0)}"))
    assert "its common_name is 'another', and the common name of its certificate is" in told


def test_a_row_without_a_certificate_is_an_error() -> None:
    (told,) = problems(table_of("n,cert", f"1,{cell(0)}", "2,"))
    assert "the input is empty" in told
    (told,) = problems(table_of("n,cert", f"1,{cell(0)}", "2"))
    assert "there is no certificate in its row" in told
    (told,) = problems(table_of("n,cert,x", f"1,{cell(0)},", f"2,,{cell(1)}"))
    assert "the input is empty" in told
