"""Tables of devices as Espressif and Nordic's nRF Cloud have them: a certificate in a cell."""

import hashlib

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
