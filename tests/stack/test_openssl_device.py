"""A CA and a device made by hand with openssl's classic commands get in like any other."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from testkit.stack.plant import Factory, Plant, until

from jitr.reasons import Verdict
from jitr_local.device import Fate

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no openssl"),
]

# No common name, and basicConstraints that are not critical: common in CAs made by hand.
ROOT_CONFIGURATION = """\
[ req ]
distinguished_name       = req_distinguished_name
extensions               = v3_ca
req_extensions           = v3_ca

[ v3_ca ]
basicConstraints         = CA:TRUE

[ req_distinguished_name ]
countryName              = Country Name (2 letter code)
countryName_default      = TR
countryName_min          = 2
countryName_max          = 2
organizationName         = Organization Name (eg, company)
organizationName_default = OKIDA
"""


class Openssl:
    """A terminal in a folder, for openssl commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, command: str, *, typed: str = "") -> None:
        """Run one; ``typed`` is what a person answers to its questions."""
        ended = subprocess.run(
            ["openssl", *command.split()], cwd=self.folder, input=typed, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, f"openssl {command}: {ended.stderr}"

    def make_ca(self) -> Path:
        """A CA whose subject is what the configuration proposes."""
        (self.folder / "rootConfig.conf").write_text(ROOT_CONFIGURATION)
        self("genrsa -out ca.key 2048")
        self(
            "req -x509 -new -nodes -key ca.key -sha256 -days 365 -out ca.pem -config rootConfig.conf -extensions v3_ca",
            typed="\n\n",  # Enter, Enter: the defaults
        )
        return self.folder / "ca.pem"

    def make_certificate(self, name: str, subject: str) -> Path:
        """A key, a request, and the certificate that the CA signs for it: without a single extension."""
        self(f"genrsa -out {name}.key 2048")
        self(f"req -new -key {name}.key -out {name}.csr -subj {subject}")
        self(f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.crt -days 365 -sha256")
        return self.folder / f"{name}.crt"


def test_a_device_made_with_the_openssl_command_line_gets_in(plant: Plant) -> None:
    """The CA has C and O only, and basicConstraints that are not critical; its possession is proven by a verification
    certificate made with openssl; the device's certificate comes from `openssl x509 -req`, usually X.509 v1. `jitr ca
    register`, `jitr rules publish`, and the device connects and publishes.
    """
    openssl = Openssl(plant.folder)
    ca = openssl.make_ca()
    code = plant.iot.get_registration_code()["registrationCode"]
    verification = openssl.make_certificate("verification", f"/CN={code}")
    registered = plant.json("ca", "register", ca, "--verification-certificate", verification)
    assert registered["subject"] == "O=OKIDA,C=TR"
    assert (registered["status"], registered["auto_registration"]) == ("ACTIVE", True)

    leaf = openssl.make_certificate("okida-0001", "/O=OKIDA/CN=okida-0001")
    plant.publish(plant.rules(Factory("okida", ca, registered["ca_certificate_id"])))
    made = plant.made("okida-0001", leaf, leaf.with_suffix(".key"))
    with made.knocking() as device:
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")

    assert device.fate is Fate.PUBLISHED
    assert plant.status(made) == "ACTIVE"
    record = plant.record(made)
    assert record is not None
    assert record.facts is not None
    certificate = x509.load_pem_x509_certificate(leaf.read_bytes())
    assert record.facts["version"] == certificate.version.value + 1
    assert record.facts["serial_number"] == f"{certificate.serial_number:x}"
    assert (record.decision, record.rule) == (Verdict.ADMIT, "okida")


def test_proof_of_possession_that_another_ca_signed_is_refused(plant: Plant) -> None:
    """A verification certificate that the CA's key did not sign proves nothing: exit code 2, nothing is registered."""
    openssl = Openssl(plant.folder)
    ca = openssl.make_ca().rename(plant.folder / "first.pem")
    openssl.make_ca()  # the second, of the same subject: only its key tells them apart
    code = plant.iot.get_registration_code()["registrationCode"]
    verification = openssl.make_certificate("verification", f"/CN={code}")
    before = plant.iot.list_ca_certificates()["certificates"]
    refused = plant.jitr("ca", "register", ca, "--verification-certificate", verification, code=2)
    assert "was not signed with the key of" in refused.stderr
    assert plant.iot.list_ca_certificates()["certificates"] == before
