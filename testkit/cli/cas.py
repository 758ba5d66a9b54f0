"""CA files and registered CAs, for tests of `jitr ca`."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from testkit import pki as drafts
from testkit.cli.command_line import REGION, Aws, Openssl, Run

TODAY = datetime.now(UTC)
LONG = timedelta(days=300)


def create(run: Run, *arguments: object) -> Any:
    """Run `jitr ca create`, which must succeed."""
    result = run("ca", "create", *arguments)
    assert result.exit_code == 0, result.stderr
    return result


def text_of(openssl: Openssl, file: Path | str) -> str:
    """A certificate as openssl prints it, in one line."""
    printed = openssl("x509", "-in", file, "-noout", "-text", "-nameopt", "utf8,sep_comma_plus")
    return re.sub(r"\s+", " ", printed)


def write_ca(draft: drafts.CertificateDraft, name: str = "ca") -> drafts.CA:
    """A CA's files, valid today unless the draft says otherwise."""
    if (draft.not_before, draft.not_after) == (drafts.NOT_BEFORE, drafts.NOT_AFTER):
        draft = draft.valid(TODAY - LONG, TODAY + LONG)
    made = drafts.make(draft)
    Path(f"{name}.pem").write_bytes(made.pem)
    Path(f"{name}.key").write_bytes(made.issued.private_pem)
    return made


def sound() -> drafts.CertificateDraft:
    """A CA without fault."""
    return drafts.ca_draft().basic_constraints(ca=True).key_usage("keyCertSign", "cRLSign").identifiers()


def described(ca: drafts.CA, **changes: Any) -> Callable[[dict[str, Any]], Any]:
    """AWS IoT's answer about a CA."""
    configuration = changes.pop("registrationConfig", {})
    description = {
        "certificateId": ca.id,
        "certificateArn": f"arn:aws:iot:{REGION}:123456789012:cacert/{ca.id}",
        "certificatePem": ca.pem.decode(),
        "status": "ACTIVE",
        "autoRegistrationStatus": "ENABLE",
        "certificateMode": "DEFAULT",
    }
    return lambda _: {"certificateDescription": description | changes, "registrationConfig": configuration}


def of_one_subject(aws: Aws, count: int, new: drafts.CA | None = None) -> None:
    """So many CAs of the classic subject are registered, on pages of four; ``new`` is what can be registered."""
    cas = {each.id: each for each in (drafts.classic_ca(f"Owner {n}", kind="P-256") for n in range(count))}
    ids = list(cas)

    def page(given: dict[str, Any]) -> Any:
        start = int(given.get("marker", 0))
        more = {"nextMarker": str(start + 4)} if start + 4 < len(ids) else {}
        return {"certificates": [{"certificateId": each} for each in ids[start : start + 4]]} | more

    known = dict(cas)

    def describe(given: dict[str, Any]) -> Any:
        found = known.get(given["certificateId"])
        if found is None:
            raise ClientError(
                {"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "DescribeCACertificate"
            )
        return described(found)(given)

    def register(_: dict[str, Any]) -> Any:
        if new is not None:
            known[new.id] = new
        return {"certificateId": "x", "certificateArn": "y"}

    aws.overrides |= {"ListCACertificates": page, "DescribeCACertificate": describe, "RegisterCACertificate": register}


def refusing(code: str, operation: str, message: str = "no") -> Callable[[dict[str, Any]], Any]:
    """AWS's refusal of an operation."""

    def refuse(_: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    return refuse
