"""The first samples of the corpus: ``python -m fuzz.seeds`` writes them anew, all of them or those of the
folders that are named. No private key is among them.

The keys that sign them are made each time and forgotten, so all of a folder's samples are written together.
"""

import base64
import json
import re
import sys
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from tarfile import USTAR_FORMAT
from zipfile import ZIP_STORED

from cryptography import x509
from testkit import manifests, pki
from testkit import ocsp as answers
from testkit.crls import CrlDraft, delta, entry, extension, pem

from fuzz.targets import CORPUS
from jitr.x509.certificate import read_ca
from jitr.x509.ocsp import question_about

ROOT = Path(__file__).resolve().parents[1]


def certificates() -> Mapping[str, bytes]:
    """CAs and devices of the kinds that there are."""
    factory, classic = pki.ca("Factory A"), pki.make(pki.ca_draft("Factory B", kind="RSA-2048"))
    names = (x509.DNSName("a.example"), x509.IPAddress(IPv4Address("10.0.0.1")), pki.tlv(0x87, bytes(16)))
    directory = pki.tlv(0xA4, pki.distinguished_name(("CN", "a"), ("O", "b")))
    other = pki.tlv(0xA0, pki.oid("1.3.6.1.4.1.311.20.2.3"), pki.tlv(0xA0, pki.string("a")))
    policies = pki.sequence(pki.sequence(pki.oid("1.2.3")))
    subject = (("CN", "a", "BMPString"), ("O", "b", "TeletexString"), ("C", "TR", "PrintableString"))
    return {
        "ca": factory.der,
        "ca-rsa": classic.der,
        "usual": factory.usual_device().issue().der,
        "v1": factory.device().v1().issue().der,
        "rsa": classic.usual_device(kind="RSA-2048").issue().der,
        "rsa-pss": classic.device().signed_with("sha256", pss=True).issue().der,
        "ed25519": factory.device(kind="Ed25519").issue().der,
        "names": factory.usual_device().alternative_names(*names, directory, other).issue().der,
        "policies": factory.usual_device().extension("certificatePolicies", policies, critical=True).issue().der,
        "strings": factory.device().subject(*subject).issue().der,
        "pem": factory.usual_device().issue().pem,
        "bundle": factory.usual_device().issue().pem + factory.pem,
    }


def crls() -> Mapping[str, bytes]:
    """Lists of the first CA, good ones and those that are refused."""
    factory = pki.ca("Factory A")
    entries = tuple(entry(each, reason) for each, reason in enumerate(("keyCompromise", "certificateHold", None), 1))
    good = CrlDraft(factory, entries).issue()
    point = pki.sequence(pki.tlv(0xA0, pki.tlv(0xA0, pki.tlv(0x86, b"https://crl.example.com/7.crl"))))
    return {
        "good": good,
        "pem": pem(good),
        "empty": CrlDraft(factory).issue(),
        "v1": CrlDraft(factory, (entry(5),), version=None, number=None).issue(),
        "delta": CrlDraft(factory, extensions=(extension("deltaCRLIndicator", pki.integer(1), critical=True),)).issue(),
        "changes": delta(factory, [entry(1, "removeFromCRL"), entry(2, "removeFromCRL"), entry(9)]),
        "partition": CrlDraft(
            factory, extensions=(extension("issuingDistributionPoint", point, critical=True),)
        ).issue(),
        "users": CrlDraft(
            factory, extensions=(extension("issuingDistributionPoint", b"\x30\x03\x81\x01\xff"),)
        ).issue(),
        "indirect": CrlDraft(factory, (entry(5, None, extension("certificateIssuer", pki.sequence())),)).issue(),
        "rsa": CrlDraft(pki.make(pki.ca_draft("Factory B", kind="RSA-2048")), entries).issue(),
    }


def ocsp_answers() -> Mapping[str, bytes]:
    """Answers of a CA and of those who may answer for it, about the serial number 1001; and the CA."""
    factory = pki.ca("Factory A")
    question = question_about(read_ca(factory.pem, status=""), 0x1001)
    certificate, _ = answers.asked(question.encoded)
    good = answers.ResponseDraft(factory, certificate)
    signer = answers.delegate(factory)
    return {
        "ca": factory.pem,
        "good": good.issue(),
        "by-key": good.but(by_key=True, nonce=pki.tlv(0x04, b"n" * 32)).issue(),
        "revoked": good.but(status=answers.revoked(1), next_update=None).issue(),
        "unknown": good.but(status=answers.UNKNOWN).issue(),
        "delegate": good.but(responder=signer, certificates=(factory.der, signer.der)).issue(),
        "two": good.but(answers=(good.single(), good.single())).issue(),
        "try-later": answers.refusal(3),
    }


def events() -> Mapping[str, bytes]:
    """The bodies in events/, and what AWS IoT is known to write otherwise."""
    found = {}
    for path in sorted((ROOT / "events").glob("*.json")):
        for record in json.loads(path.read_text())["Records"]:
            found[path.stem] = record["body"].encode()
    return found


def uploads() -> Mapping[str, bytes]:
    """The records in events/publish."""
    found = {}
    for path in sorted((ROOT / "events" / "publish").glob("*.json")):
        for record in json.loads(path.read_text()).get("Records", []):
            found[path.stem] = json.dumps(record).encode()
    return found


def rules() -> Mapping[str, bytes]:
    """The examples in the documentation."""
    text = (ROOT / "docs" / "rules.md").read_text() + (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return {f"example-{number}": each.encode() for number, each in enumerate(blocks) if "format:" in each}


def lists() -> Mapping[str, bytes]:
    """The examples in the documentation, and other ways of writing them."""
    text = (ROOT / "docs" / "lists.md").read_text()
    blocks = re.findall(r"^```csv(?: wrong)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = {f"example-{number}": each.encode() for number, each in enumerate(blocks)}
    whole = "common_name,serial_number,ca,certificate_sha256,public_key_sha256,thing_name,expires,note,attr.batch\r\n"
    whole += f'snr-0001,1a2b,factory-a,{"0a" * 32},{"0b" * 32},thing:1,2026-06-30T12:00:00Z,"on, the roof",7\r\n'
    others = 'common_name,serial_number:dec,ca,certificate_sha256,note\n"=""snr-1""",1001,f,SHA256(stdin)= '
    others += f'{"0a" * 32},\n"subject=O = ""A, B"", CN = snr-2",4098 (0x1002),f,{"0b" * 32}  -,#N/A\n'
    found |= {"others": others.encode(), "decimal": f"serial_number,ca\n{10**38 + 7},f\n'{'9' * 45},f\n".encode()}
    return found | {"whole": whole.encode(), "utf-16": whole.encode("utf-16"), "sep": b"sep=;\ncommon_name;note\na;b\n"}


def manifest() -> Mapping[str, bytes]:
    """Manifests of one signer, and elements that are refused."""
    lot, by = manifests.Lot(), manifests.signer("Fuzzed Signer")
    bare = {"keys": [{"kid": "0", **manifests.jwk(pki.key("RSA-2048", "a chip"))}]}
    return {
        "signer": by.der,
        "good-one": manifests.manifest([lot.element(1, by=by)]),
        "good-indented": manifests.manifest([lot.element(2, by=by)], indent=1),
        "good-bare": manifests.manifest([lot.element(3, by=by, publicKeySet=bare)]),
        "lite": manifests.manifest([manifests.signed(lot.payload(4, version=2, publicKeySet={}), by)]),
        "other-signer": manifests.manifest([lot.element(5)]),
        "other-key": manifests.manifest(
            [lot.element(6, by=by, publicKeySet={"keys": [lot.key(7) | {"kid": "0", "x": "AA"}]})]
        ),
    }


def certificate_files() -> Mapping[str, bytes]:
    """Certificates in each way that they lie together."""
    lot = manifests.Lot()
    chips = {f"R_E0E0_Certs/CE600000{each:02}_E0E0.pem": lot.certificate(each).pem for each in range(2)}
    return {
        "pem": lot.certificate(1).pem + lot.maker.pem,
        "der": lot.certificate(2).der,
        "lines": b"\n".join(base64.b64encode(lot.certificate(each).der) for each in range(2)),
        "zip": manifests.zipped(lot.files),
        "stored": manifests.zipped(lot.files, compression=ZIP_STORED),
        "tar": manifests.tarred({"a.pem": lot.certificate(1).pem}, form=USTAR_FORMAT)[:3072],
        "pax": manifests.tarred({"n" * 120 + ".pem": lot.certificate(1).pem})[:5120],
        "tar-gz": manifests.tarred(lot.files, "w:gz"),
        "chips": manifests.zipped(chips),
    }


def bundles() -> Mapping[str, bytes]:
    """7z archives: of certificates, and of archives of them."""
    lot = manifests.Lot()
    chips = {f"CE600000{each:02}_E0E0.pem": lot.certificate(each).pem for each in range(2)}
    bundle = {"R_E0E0_Certs.7z": manifests.seven_zipped(chips), "README.txt": b"x", "R_keys.7z": b"secret"}
    return {
        "flat": manifests.seven_zipped(lot.files),
        "bundle": manifests.seven_zipped(bundle),
        "encrypted": manifests.seven_zipped(chips, "secret"),
    }


def tables() -> Mapping[str, bytes]:
    """Tables of devices as vendors ship them."""
    maker = pki.ca("Modules")
    modules = [(mac, maker.device(f"module-{mac}").issue()) for mac in ("70B3D5000001", "70B3D5000002")]
    boards = [(name, maker.device(name).issue()) for name in ("nrf-351358811124484", "nrf-351358811124485")]
    column = f'Pos,PEM,attr.batch\n1,"{modules[0][1].pem.decode()}",7\n'.encode()
    return {
        "espressif": manifests.espressif(modules),
        "nrf-cloud": manifests.nrf_cloud(boards),
        "column": column,
    }


def main() -> None:
    """Write them all, or those of the folders that are named."""
    made = {
        "certificate": certificates,
        "crl": crls,
        "ocsp": ocsp_answers,
        "event": events,
        "upload": uploads,
        "rules": rules,
        "csv": lists,
    }
    made |= {"ocsp": ocsp_answers, "manifest": manifest, "certificates": certificate_files, "table": tables}
    made |= {"bundle": bundles}
    for name, make in made.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for stem, data in make().items():
            (folder / f"{stem}.sample").write_bytes(data)


if __name__ == "__main__":
    main()
