"""docs/revocation.md as it stands: lists, delta lists and a responder keep revoked devices out, on the local stack."""

import os
import shutil
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from testkit.stack.page_reader import PageReader, sections
from testkit.stack.plant import Plant

from jitr.addresses import in_private_network, off_limits
from jitr_local.cli import variables_of
from jitr_local.stack import CHECKOUT, LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.docs]

PAGE = CHECKOUT / "docs" / "revocation.md"
BY_HAND = "Where this works"  # starts a stack of its own
TYPED = ["A CA with an index", "A list, and a delta list", "A responder"]


def own_address() -> str | None:
    """An address of this machine in a private network, as an address on the web has it."""
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            try:
                asking.connect((somewhere, 9))  # nothing is sent
            except OSError:
                continue
            address = ip_address(asking.getsockname()[0])
        if in_private_network(address) and not off_limits(address):
            return f"[{address}]" if address.version == 6 else str(address)
    return None


def test_every_command_of_the_page_is_run_here() -> None:
    assert list(sections(PAGE, "sh")) == [BY_HAND, *TYPED]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no openssl")
def test_a_revoked_device_stays_out_by_list_delta_list_and_responder(
    local_stack: LocalStack, plant: Plant, tmp_path: Path
) -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine is in no private network, where a function could ask it")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    own = {"PATH": path, "HOME": str(tmp_path), "RESPONDER": address}
    reader = PageReader(PAGE, tmp_path, own | variables_of(local_stack, {}))
    for heading in TYPED:
        reader.follow(heading)
    reasons = {"valve-0002": "keyCompromise", "valve-0003": "superseded", "valve-0004": "by OCSP the CA revoked"}
    for name, told in reasons.items():
        record = plant.table.record_and_heads(reader.id_of(name))[0]
        assert record is not None
        assert [each["code"] for each in record.reasons] == ["revocation.revoked"]
        assert told in record.reasons[0]["message"]
        found = plant.iot.describe_certificate(certificateId=reader.id_of(name))["certificateDescription"]
        assert found["status"] == "INACTIVE"
    admitted = plant.iot.describe_certificate(certificateId=reader.id_of("valve-0001"))["certificateDescription"]
    assert admitted["status"] == "ACTIVE"
