"""A diagnosis from beginning to end: look at the files, connect, go on for a while as devices do, and tell what it was.

What a device sees where it is turned away is nearly always the same: the connection ends. So each cause is looked for
where it can be told: in the files, in the TLS alert, by another client id, in what the account says.
"""

import ipaddress
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jitr_operations.diagnose.account import AccountView, View
from jitr_operations.diagnose.attempt import Attempt, AttemptOutcome, ConnectionParameters, attempt
from jitr_operations.diagnose.files import Identity, look_at_clock, look_at_files
from jitr_operations.diagnose.findings import Findings
from jitr_operations.diagnose.stand_in import SENTENCE, why_refused
from jitr_operations.local_state import is_this_machine

FIRST_WAIT = 1.0  # seconds between attempts; doubled each time, as devices do
ENDPOINT = "`aws iot describe-endpoint --endpoint-type iot:Data-ATS` prints the account's"
_ROOTS = "https://www.amazontrust.com/repository/AmazonRootCA1.pem"

_TURNED_AWAY = (AttemptOutcome.HUNG_UP, AttemptOutcome.REFUSED)
_OF_TIME = {"expired", "not-yet-valid"}


@dataclass(frozen=True, slots=True)
class Destination:
    """The endpoint and client id of a visit. ``wait``: how many seconds the device keeps trying."""

    host: str
    port: int
    roots: Path | None
    client_id: str
    topic: str | None
    wait: float


class Visit:
    """One diagnosis."""

    def __init__(self, identity: Identity, goal: Destination, view: AccountView, findings: Findings) -> None:
        self._identity = identity
        self._goal = goal
        self._view = view
        self.findings = findings
        self.attempts = 0
        self.last: Attempt | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        published = self.last is not None and self.last.outcome is AttemptOutcome.PUBLISHED
        return {
            "endpoint": self._goal.host,
            "port": self._goal.port,
            "certificate_id": self._view.id,
            "client_id": self._goal.client_id,
            "attempts": self.attempts,
            "connected": self.last is not None and self.last.connected,
            "published": published if self._goal.topic is not None else None,
            "findings": [each.to_json() for each in self.findings.found],
        }

    def make(self, now: datetime) -> None:
        """Find out, and note it."""
        can_try = look_at_files(self._identity, now, self.findings)
        if self._has(_OF_TIME):
            look_at_clock(self._goal.host, now, self.findings)
        if not can_try:
            if self._identity.key is None:
                self._ask_account()
            return
        self._say_server_name()
        with self._line() as line:
            try:
                self.last = self._persist(line)
            except ssl.SSLError as problem:
                self.findings.bad(
                    "files",
                    f"TLS on this machine does not take the device's files ({problem.reason})",
                    "Have the key and the certificate made anew: RSA of 2048 bits, or EC P-256, and SHA-256.",
                )
                self._tell_stand_in(now)
                return
            self._interpret(line, self.last, now)

    def _ask_account(self) -> None:
        """Note what AWS IoT holds of the certificate, which takes no key."""
        view = self._view.look()
        if view is None:
            self._say_not_asked()
            return
        self._view.tell(view, self.findings)
        if view.status == "ACTIVE" and not self.findings.problems:
            self.findings.good("account", "AWS IoT holds the certificate as ACTIVE, with an IoT policy")

    # --- trying

    @contextmanager
    def _line(self) -> Iterator[ConnectionParameters]:
        """Return the line, with the certificates in a file of the form that OpenSSL takes."""
        ders = (self._identity.reading.der, *self._identity.following)
        with tempfile.TemporaryDirectory(prefix="jitr-") as folder:
            chain = Path(folder) / "chain.pem"
            chain.write_text("".join(map(ssl.DER_cert_to_PEM_cert, ders)))
            goal, identity = self._goal, self._identity
            yield ConnectionParameters(goal.host, goal.port, chain, identity.key_file, identity.passphrase, goal.roots)

    def _persist(self, line: ConnectionParameters) -> Attempt:
        """Try, and again while it could be that the device is just being admitted."""
        deadline, pause, seen_active = time.monotonic() + self._goal.wait, FIRST_WAIT, False
        while True:
            last = self._try(line, self._goal.client_id, self._goal.topic)
            if last.outcome not in _TURNED_AWAY:
                return last
            view = self._view.look()
            if view is not None and view.settled and (view.status != "ACTIVE" or seen_active):
                return last
            if view is not None and view.status == "ACTIVE":
                seen_active = True  # perhaps only since a moment ago: once more, at once
                continue
            if time.monotonic() + pause > deadline:
                return last
            time.sleep(pause)
            pause *= 2

    def _try(self, line: ConnectionParameters, client_id: str, topic: str | None) -> Attempt:
        self.attempts += 1
        return attempt(line, client_id, topic)

    def _say_server_name(self) -> None:
        host = self._goal.host
        if _is_address(host):
            self.findings.say(
                "sni",
                f"{host} is an address, so that no server name is sent (SNI)",
                f"Connect by the endpoint's name, as AWS IoT wants it: {ENDPOINT}.",
            )
        else:
            self.findings.say(
                "sni", f"the server name {host} is sent (SNI); see that the device's own software does so"
            )

    def _has(self, codes: set[str]) -> bool:
        return any(each.code in codes for each in self.findings.problems)

    # --- telling

    def _interpret(self, line: ConnectionParameters, last: Attempt, now: datetime) -> None:
        match last.outcome:
            case AttemptOutcome.TLS_REFUSED:
                self._tell_refused_in_tls(last, now)
            case AttemptOutcome.HUNG_UP | AttemptOutcome.REFUSED:
                self._tell_turned_away(line, last)
            case AttemptOutcome.CONNECTED | AttemptOutcome.PUBLISHED | AttemptOutcome.PUBLISH_REFUSED:
                self._tell_connected(last)
            case AttemptOutcome.SERVER_TIME:
                self._tell_server_time(last, now)
            case _:
                self._tell_not_reached(last)

    def _tell_not_reached(self, last: Attempt) -> None:
        host, port = self._goal.host, self._goal.port
        code, message, remedy = {
            AttemptOutcome.UNKNOWN_HOST: (
                "endpoint",
                f"there is no host {host}",
                f"Check the endpoint ({ENDPOINT}), and that names are resolved here.",
            ),
            AttemptOutcome.UNREACHABLE: (
                "unreachable",
                f"{host} does not take connections on port {port}",
                f"Let the network pass TCP to {host}:{port}; where 8883 is closed, AWS IoT takes MQTT on 443, too.",
            ),
            AttemptOutcome.SERVER_NAME: (
                "endpoint-name",
                f"what answers at {host} has a certificate for another name",
                f"Connect by the endpoint's own name: {ENDPOINT}.",
            ),
            AttemptOutcome.SERVER_UNTRUSTED: (
                "endpoint-ca",
                f"the endpoint's certificate is not trusted with {self._goal.roots or 'what this machine trusts'}",
                f"Give the device the endpoint's root as what it trusts, for AWS IoT {_ROOTS} (--ca-file), and an "
                f"endpoint with -ats in its name: {ENDPOINT}.",
            ),
            AttemptOutcome.SILENT: (
                "silent",
                f"{host}:{port} takes the connection and does not answer",
                f"Check that port {port} is that of MQTT over TLS: 8883, or 443.",
            ),
            AttemptOutcome.NOT_MQTT: (
                "not-mqtt",
                f"{host}:{port} speaks TLS, but not MQTT",
                f"Check that port {port} is that of MQTT over TLS: 8883, or 443.",
            ),
        }[last.outcome]
        self.findings.bad(code, f"{message} ({last.detail})", remedy)

    def _tell_server_time(self, last: Attempt, now: datetime) -> None:
        if not self._has({"clock"}):
            look_at_clock(self._goal.host, now, self.findings)
        if not self._has({"clock"}):
            self.findings.bad(
                "clock",
                f"by this machine's clock the endpoint's own certificate is out of its time ({last.detail})",
                "Set the clock, and have it kept (NTP). If it is right, the endpoint needs a new certificate.",
            )

    def _tell_refused_in_tls(self, last: Attempt, now: datetime) -> None:
        self.findings.say("symptom", f"the endpoint ended the TLS handshake ({last.detail})")
        self._tell_stand_in(now)
        if self.findings.problems:
            return  # the files say why, or the stand-in's limits
        if "EXPIRED" in last.detail:
            look_at_clock(self._goal.host, now, self.findings)
            self.findings.bad(
                "expired",
                "the endpoint says that the certificate is out of its time, and by this machine's clock it is not",
                "Compare this machine's clock with the time.",
            )
            return
        view = self._view.look()
        if view is not None and view.status != "ACTIVE":
            self._view.tell(view, self.findings)
        if self._identity.following:
            message, remedy = (
                "its certificates are in the file",
                "See that the CA that signed the device is registered.",
            )
        else:
            message = "no CA comes with it"
            remedy = (
                "See that the CA that signed the device is registered (`jitr ca ls`), and try a file that has the CA "
                "after the device's own certificate (`jitr device issue --chain`)."
            )
        self.findings.bad("chain-missing", f"the endpoint does not take the device's certificate; {message}", remedy)
        self._say_not_asked()

    def _tell_stand_in(self, now: datetime) -> None:
        """Note what only the local stack may refuse. AWS IoT is at no address of this machine."""
        refused = why_refused(self._identity.reading.facts, now) if is_this_machine(self._goal.host) else None
        if refused is not None:
            note = self.findings.say if self.findings.problems else self.findings.bad
            note(
                "stand-in",
                f"the certificate {refused}: {SENTENCE}",
                "`jitr explain` says what the functions decide about a certificate that AWS IoT takes; "
                "docs/local-stack.md lists what the local stack does differently.",
            )

    def _tell_turned_away(self, line: ConnectionParameters, last: Attempt) -> None:
        what = "hung up on after CONNECT" if last.outcome is AttemptOutcome.HUNG_UP else f"refused: {last.detail}"
        times = f", {self.attempts} times" if self.attempts > 1 else ""
        self.findings.say("symptom", f"TLS is done, and the device is {what}{times}")
        before = len(self.findings.problems)
        view = self._view.found
        if view is not None:
            self._view.tell(view, self.findings)
        if len(self.findings.problems) > before:
            return
        if view is None or view.status == "ACTIVE":
            if self._try_other_ids(line, view):
                return
            self._tell_no_more(view)

    def _try_other_ids(self, line: ConnectionParameters, view: View | None) -> bool:
        mine = self._goal.client_id
        candidates = [self._identity.common_name, *(view.things if view else ())]
        for other in dict.fromkeys(each for each in candidates if each and each != mine):
            if self._try(line, other, None).connected:
                self.findings.bad(
                    "client-id",
                    f"as client id {mine} the device is turned away, and as {other} it is let in",
                    f"Have the device connect as {other}, or have an IoT policy allow iot:Connect on client/{mine}.",
                )
                return True
        return False

    def _tell_no_more(self, view: View | None) -> None:
        mine = self._goal.client_id
        if view is not None:
            things = f", and the thing {', '.join(view.things)}" if view.things else ", and no thing"
            self.findings.bad(
                "client-id",
                f"the certificate is ACTIVE, with IoT policy {', '.join(view.iot_policies)}{things}; still client id "
                f"{mine} is turned away",
                f"See whether that allows iot:Connect on client/{mine}. One with ${{iot:Connection.Thing.ThingName}} "
                "wants the thing's name as client id, and the thing attached. A change takes some minutes to be seen.",
            )
            return
        self.findings.bad(
            "hung-up",
            "AWS IoT hangs up on a device that is new or on hold (pending), INACTIVE, REVOKED, without IoT policy, or "
            f"not allowed the client id {mine}; from the device's side that looks the same",
            "Run this with access to the account (--profile, --region, --stack), or there: "
            f"`jitr device show {self._view.id[:12]}`.",
        )
        self._say_not_asked()

    def _say_not_asked(self) -> None:
        if self._view.why_not:
            self.findings.say("account", f"what AWS IoT holds is not known: {self._view.why_not}")

    def _tell_connected(self, last: Attempt) -> None:
        goal = self._goal
        when = f" at attempt {self.attempts}" if self.attempts > 1 else ""
        self.findings.good("connected", f"the device is let in as client id {goal.client_id}{when}")
        if self._has(_OF_TIME) and not self._has({"clock"}):
            self.findings.bad(
                "clock",
                "the endpoint takes the certificate as valid now: this machine's clock is wrong",
                "Set the clock.",
            )
        if last.outcome is AttemptOutcome.PUBLISHED:
            self.findings.good("published", f"its message on {goal.topic} has arrived")
        elif last.outcome is AttemptOutcome.PUBLISH_REFUSED:
            self.findings.bad(
                "publish",
                f"it is hung up on when it publishes on {goal.topic}",
                f"Have an IoT policy allow iot:Publish on topic/{goal.topic} for this device, or use a topic that is "
                "allowed. A change takes some minutes to be seen.",
            )
        elif last.outcome is AttemptOutcome.CONNECTED and goal.topic is None:
            self.findings.say("publish", "publishing was not tried: --topic names a topic")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
