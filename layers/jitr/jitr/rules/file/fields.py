"""Every key of the rules file, once: its kind, its meaning, its default, an example.

The reader, the JSON Schema and the tables in docs/rules.md are all made from these tables.
"""

from jitr.devicelists.rows import KEY_KINDS
from jitr.iot_names import ATTRIBUTE_NAME, ATTRIBUTE_VALUE, POLICY_NAME, THING_NAME
from jitr.reasons import CODES, Verdict
from jitr.rules.file.kinds import (
    SUBJECT_ATTRIBUTES,
    Days,
    FormatVersion,
    Key,
    Moment,
    Name,
    OneOf,
    Pattern,
    PolicyValue,
    Serial,
    SerialNumbers,
    Sha256,
    Template,
    Text,
    Url,
    Whole,
    YesNo,
)
from jitr.rules.file.shapes import AtLeastOne, Field, Many, Needs, OneOrMany, RecordShape, TableShape
from jitr.rules.model import FORMAT, MAX_POLICIES, Floor

MAX_RULES = 10_000  # deny rules, and as many allow rules
MAX_TESTS = 1000
MAX_CAS = 1000
MAX_IDS = 100  # caCertificateIds of one alias
MAX_ROWS = 100  # of one list in a test
MAX_GROUPS = 10  # AWS IoT Core quotas: thing groups a thing can belong to
MAX_ATTRIBUTES = 50  # AWS IoT Core quotas: attributes of a thing with a thing type
MAX_ATTRIBUTES_WITHOUT_TYPE = 3  # and without one

_EXAMPLE_ID = "3f9c0c6f9d1f4b0c8d5e7a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f"

CA_ALIAS = Name("a CA alias")
LIST_NAME = Name("a list name")
RULE_NAME = Name("a rule name")
_THING_NAME = Name.of("a thing name", THING_NAME)
_THING_TYPE = Name.of("a thing type name", THING_NAME)
_THING_GROUP = Name.of("a thing group name", THING_NAME)
_IOT_POLICY = Name.of("an IoT policy name", POLICY_NAME)
_ATTRIBUTE_NAME = Name.of("an attribute name", ATTRIBUTE_NAME)
_THING = Template("a thing name", THING_NAME)
_ATTRIBUTE_VALUE = Template("an attribute value", ATTRIBUTE_VALUE)

# Of each subject attribute: what it is, and an example of a pattern for it.
_SUBJECT = {
    "common_name": ("The common name (CN) of the certificate's subject.", '"snr-*"'),
    "country": ("The country (C), two letters.", "[DE, NO]"),
    "locality": ("The locality (L).", "Ulm"),
    "state": ("The state or province (ST).", "Bavaria"),
    "organization": ("The organization (O).", "OKIDA"),
    "organizational_unit": ("The organizational unit (OU).", '"line-?"'),
    "subject_serial_number": (
        "The subject attribute serialNumber; not the certificate's serial number, which is `serial_number`.",
        '"SN-2026-*"',
    ),
    "distinguished_name_qualifier": ("The distinguished name qualifier (dnQualifier).", '"batch-17"'),
    "title": ("The title.", "sensor"),
    "surname": ("The surname (SN).", '"*"'),
    "given_name": ("The given name (GN).", '"*"'),
    "initials": ("The initials.", '"*"'),
    "generation_qualifier": ("The generation qualifier.", '"2"'),
    "pseudonym": ("The pseudonym.", '"unit-*"'),
    "user_id": ("The user identifier (UID).", '"00:11:22:*"'),
    "domain_component": ("A domain component (DC).", "example"),
    "email_address": ("The e-mail address (PKCS #9).", '"*@example.com"'),
}

_TOO_MANY_VALUES = "devices by the thousand belong on a device list: a rule refers to it by name"

CONDITIONS = (
    Field("ca", OneOrMany(CA_ALIAS), "The CA that signed the certificate, by its alias under `cas`.", "factory-a"),
    *(
        Field(name, OneOrMany(Pattern(), hint=_TOO_MANY_VALUES), *_SUBJECT[name])
        for name in sorted(SUBJECT_ATTRIBUTES, key=list(_SUBJECT).index)
    ),
    Field(
        "list",
        OneOrMany(LIST_NAME),
        "The device must be on this device list, on any of them where there are several.",
        "line-a-2026",
    ),
    Field(
        "serial_number",
        OneOrMany(SerialNumbers(), hint=_TOO_MANY_VALUES),
        "The certificate's serial number, always in hex; `0x` and colons are allowed, both ends count.",
        '"1000..1fff"',
    ),
    Field(
        "window",
        OneOrMany(Days()),
        "UTC days on which the device knocks, or is decided again; both count.",
        "2026-01-01..2026-06-30",
    ),
)
CONDITION_NAMES = tuple(each.name for each in CONDITIONS)

_NO_CONDITION = AtLeastOne(
    CONDITION_NAMES,
    "a rule without any condition would match every device",
    "give it a `ca`, a `list` or another condition",
)

GRANT = RecordShape(
    "a grant",
    (
        Field("thing", _THING, "The name of the thing that the device becomes.", '"{common_name}"'),
        Field("thing_type", _THING_TYPE, "The type of the thing.", "Sensor"),
        Field(
            "attributes",
            TableShape(_ATTRIBUTE_NAME, _ATTRIBUTE_VALUE, MAX_ATTRIBUTES, "an attribute name"),
            f"Attributes of the thing: {MAX_ATTRIBUTES_WITHOUT_TYPE} at most without `thing_type`, "
            f"{MAX_ATTRIBUTES} with it.",
            '{line: a, batch: "{attr.batch}"}',
        ),
        Field(
            "thing_groups",
            OneOrMany(_THING_GROUP, MAX_GROUPS),
            f"The thing groups that the thing is added to, {MAX_GROUPS} at most.",
            "[line-a]",
        ),
        Field(
            "iot_policies",
            OneOrMany(_IOT_POLICY, MAX_POLICIES),
            f"The IoT policies that are attached to the certificate, {MAX_POLICIES} at most.",
            "[Sensor]",
        ),
        Field(
            "renewal",
            OneOf("a way to treat a renewal", ("hold", "coexist", "replace")),
            "What happens to a certificate with another key for the same thing name: it is held, "
            "is admitted beside the first, or takes its place.",
            "replace",
            default="hold",
        ),
        Field(
            "renewal_from",
            OneOrMany(CA_ALIAS, MAX_CAS),
            "CAs whose devices' names a device of this grant may have as well; without it only those of its own CA, "
            "by its caCertificateId.",
            "factory-a",
        ),
        Field(
            "existing",
            OneOf("a way to treat an existing thing", ("hold", "adopt")),
            "What happens where a thing of that name exists that this software did not make: the device is held, "
            "or gets the thing if nothing else is attached to it.",
            "adopt",
            default="hold",
        ),
        Field(
            "not_in_policies",
            OneOrMany(PolicyValue()),
            "What no IoT policy of the device goes by, so that it may have `/ + # * ? $` in it.",
            "[organization, alternative_names.uri]",
        ),
    ),
    (
        AtLeastOne(
            ("iot_policies", "thing_groups"),
            "a grant with neither IoT policy nor thing group: the device could not connect",
            "add `iot_policies`, or `thing_groups` with IoT policies of their own",
        ),
        Needs("renewal_from", "renewal", "`renewal_from` says whom a renewal may follow, and the grant allows none"),
        Needs("thing_type", "thing", "thing_type is of a thing, and the grant has no `thing`"),
        Needs("attributes", "thing", "attributes are of a thing, and the grant has no `thing`"),
        Needs("thing_groups", "thing", "thing groups have things in them, and the grant has no `thing`"),
    ),
)

DENY = RecordShape(
    "a deny rule",
    (
        Field("name", RULE_NAME, "The rule's name, unique among all rules.", "recalled-boards", required=True),
        *CONDITIONS,
        Field("reason", Text("a reason"), "Told to operators with the decision.", "Recall 17, bad radio"),
        Field(
            "revoke",
            YesNo(),
            "Whether the certificate becomes REVOKED, which nobody can undo, instead of INACTIVE.",
            "true",
            default="false",
        ),
    ),
    (_NO_CONDITION,),
)

ALLOW = RecordShape(
    "an allow rule",
    (
        Field("name", RULE_NAME, "The rule's name, unique among all rules.", "line-a-sensors", required=True),
        *CONDITIONS,
        Field(
            "max_devices",
            Whole("a number of devices", 1, 10**9),
            "How many devices that get in while the rule says so can hold its grant at once. Every key takes a place; "
            "under `renewal: replace` the successor takes its predecessor's.",
            "5000",
            default="no limit",
        ),
        Field(
            "formerly",
            RULE_NAME,
            "The name that a renamed rule had first: what was counted under it still counts.",
            "line-a",
        ),
        Field("grant", GRANT, "What a device gets that the rule matches.", required=True),
    ),
    (_NO_CONDITION,),
)

_STALE = (Verdict.HOLD.value, Verdict.ADMIT.value)

_DELTA = Field(
    "delta",
    Url("a delta revocation list"),
    "Where the list of what changed since is, if the CA publishes delta lists (RFC 5280 section 5.2.4).",
    "https://crl.example.com/factory-a-delta.crl",
    default="none",
)

PARTITION = RecordShape(
    "a partition",
    (
        Field("url", Url(), "Where the partition's list is.", "http://crl.example.com/7.crl", required=True),
        Field(
            "point",
            Text("a distribution point"),
            "What the certificates of its devices name in cRLDistributionPoints, letter for letter.",
            "http://crl.example.com/7.crl",
            default="the `url`; needed for a list in S3",
        ),
        _DELTA,
    ),
)

MOST_PARTITIONS = 128  # of one CA

CRL = RecordShape(
    "a crl",
    (
        Field("url", Url(), "Where the list is.", "s3://example-crls/factory-a.crl"),
        _DELTA,
        Field(
            "partitions",
            Many(PARTITION, MOST_PARTITIONS),
            "Each partition in place of `url`, if the CA publishes its list in several.",
        ),
        Field(
            "when_stale",
            OneOf("a decision for a stale list", _STALE),
            "What is decided if the list has expired and no fresh one can be fetched.",
            "admit",
            default="hold",
        ),
        Field(
            "private_network",
            YesNo(),
            "Whether the server of an `https://` or `http://` address may be in a private network.",
            "true",
            default="false",
        ),
    ),
    (
        AtLeastOne(
            ("url", "partitions"),
            "a crl needs either `url` or `partitions`",
            "write where the list is, or where each partition of it is",
            only_one=True,
        ),
        Needs("delta", "url", "`delta` goes with `url`; with `partitions`, each has its own"),
    ),
)

OCSP = RecordShape(
    "an ocsp",
    (
        Field(
            "url",
            Url("an OCSP responder", in_s3=False),
            "Where the responder is.",
            "http://ocsp.example.com/factory-a",
            required=True,
        ),
        Field(
            "responder",
            Text("a certificate file"),
            "The file of the one certificate whose key may sign the answers, beside the rules file.",
            "ocsp-responder.pem",
            default="the CA, and responders that it certified",
        ),
        Field(
            "hash",
            OneOf("a hash of the CA's name and key", ("sha1", "sha256")),
            "The hash with which the question names the CA.",
            "sha256",
            default="sha1",
        ),
        Field(
            "when_unavailable",
            OneOf("a decision where nobody answers", _STALE),
            "What is decided if the responder gives no answer.",
            "admit",
            default="hold",
        ),
        Field(
            "require_nonce",
            YesNo(),
            "Whether an answer that was made for another question, or for nobody's, counts for nothing.",
            "true",
            default="false",
        ),
        Field(
            "private_network",
            YesNo(),
            "Whether the responder may be in a private network.",
            "true",
            default="false",
        ),
    ),
)

CA = RecordShape(
    "a CA",
    (
        Field(
            "ids",
            OneOrMany(Sha256("a caCertificateId"), MAX_IDS),
            "The caCertificateId; `jitr ca ls` prints it. Several where signers change by batch.",
            f'"{_EXAMPLE_ID}"',
        ),
        Field(
            "certificate",
            OneOrMany(Text("a certificate file"), MAX_IDS),
            "The CA certificate's file instead of its id, beside the rules file.",
            "factory-a.pem",
        ),
        Field("crl", CRL, "The revocation list that the CA publishes."),
        Field("ocsp", OCSP, "The OCSP responder that says which certificates the CA revoked."),
    ),
    (
        AtLeastOne(
            ("ids", "certificate"),
            "a CA needs either `ids` or `certificate`",
            "`jitr ca ls` prints the ids of those that are registered",
            only_one=True,
        ),
    ),
)

_FLOOR = Floor()

CERTIFICATE = RecordShape(
    "the floor for certificates",
    (
        Field(
            "min_rsa_bits",
            Whole("a size of RSA keys", 2048, 16384),
            "The least size of RSA keys in bits; AWS IoT itself takes none below 2048.",
            "3072",
            default=str(_FLOOR.min_rsa_bits),
        ),
        Field(
            "curves",
            OneOrMany(OneOf("a curve", _FLOOR.curves)),
            "The elliptic curves that keys may be on.",
            "[P-256, P-384]",
            default=f"[{', '.join(_FLOOR.curves)}]",
        ),
        Field(
            "signature_hashes",
            OneOrMany(OneOf("a signature hash", _FLOOR.signature_hashes)),
            "The hashes that certificates may be signed with.",
            "[sha256]",
            default=f"[{', '.join(_FLOOR.signature_hashes)}]",
        ),
        Field(
            "serial_numbers",
            OneOf("a word for serial numbers", ("positive", "any")),
            "Whether devices and CAs with a serial number that is zero or negative (RFC 5280 section 4.1.2.2) get in.",
            "any",
            default=_FLOOR.serial_numbers,
        ),
    ),
)

ROW = RecordShape(
    "a list row",
    (
        Field("common_name", Text("a common name"), "The device's whole common name.", "snr-0001"),
        Field("serial_number", Serial(), "The certificate's serial number in hex; needs `ca`.", '"1001"'),
        Field("ca", CA_ALIAS, "The alias or caCertificateId of the CA that gave the serial number.", "factory-a"),
        Field("certificate_sha256", Sha256("a SHA-256"), "SHA-256 of the certificate's DER.", f'"{_EXAMPLE_ID}"'),
        Field("public_key_sha256", Sha256("a SHA-256"), "SHA-256 of the public key's DER.", f'"{_EXAMPLE_ID}"'),
        Field("thing_name", _THING_NAME, "Overrides the `thing` of the grant.", "hall-3-sensor-1"),
        Field("expires", Moment(), "The last day on which the row counts, or the time from which not.", "2026-06-30"),
        Field("note", Text("a note"), "For people.", "spare part"),
    ),
    (
        AtLeastOne(
            KEY_KINDS,
            "a list row without a key fits no device",
            f"give it one of: {', '.join(reversed(KEY_KINDS))}",
        ),
        Needs("serial_number", "ca", "serial numbers are unique within a CA only: say which, by `ca`"),
        Needs("ca", "serial_number", "`ca` goes with `serial_number`; alone it limits nothing"),
    ),
    extra=Field("attr.NAME", Text("an attribute", 800), "Any further column, for templates.", '"7"'),
)

DEVICE = RecordShape(
    "a test's device",
    (
        Field(
            "ca",
            CA_ALIAS,
            "The CA that signed it, by its alias.",
            "factory-a",
            default="a CA that the rules do not name",
        ),
        *(
            Field(name, OneOrMany(Text("a value"), 10), _SUBJECT[name][0], "X")
            for name in sorted(SUBJECT_ATTRIBUTES, key=list(_SUBJECT).index)
        ),
        Field("serial_number", Serial(), "The certificate's serial number in hex.", '"1001"', default="made up"),
        Field(
            "certificate_sha256",
            Sha256("a SHA-256"),
            "SHA-256 of the certificate's DER.",
            f'"{_EXAMPLE_ID}"',
            default="made up",
        ),
        Field(
            "public_key_sha256",
            Sha256("a SHA-256"),
            "SHA-256 of the public key's DER.",
            f'"{_EXAMPLE_ID}"',
            default="made up",
        ),
        Field(
            "not_before",
            Moment(),
            "When the certificate's validity begins.",
            "2026-01-01",
            default="a day before `at` and `knocked_at`",
        ),
        Field(
            "not_after",
            Moment(),
            "When the certificate's validity ends.",
            "2036-01-01",
            default="a year after `at`",
        ),
        Field("key", Key(), "The certificate's key.", "RSA-2048", default="P-256"),
        Field(
            "signature_hash",
            OneOf("a signature hash", ("sha1", "sha224", *_FLOOR.signature_hashes)),
            "The hash that the certificate is signed with.",
            "sha384",
            default="sha256",
        ),
    ),
)

_DECISION_CODES = tuple(code for code, each in CODES.items() if each.effect is not None)

EXPECT = RecordShape(
    "a test's expectation",
    (
        Field(
            "decision",
            OneOf("a decision", tuple(each.value for each in Verdict)),
            "What must be decided.",
            "admit",
            required=True,
        ),
        Field("rule", RULE_NAME, "The rule that the decision must rest on.", "line-a-sensors"),
        Field("thing", _THING_NAME, "The name that the thing must get, filled in.", "snr-0001"),
        Field(
            "reason",
            OneOrMany(OneOf("a reason code", _DECISION_CODES, "reason code"), 20),
            "A reason code that must be among the reasons; all of them where there are several.",
            "allow.unmatched",
        ),
    ),
)

TEST = RecordShape(
    "a test",
    (
        Field("name", Text("a test's name", 200), "What is tested, in a few words.", "a sensor gets in", required=True),
        Field("at", Moment(), "When the device is decided on.", "2026-03-01", required=True),
        Field("knocked_at", Moment(), "When the device knocked, for `window`.", "2026-03-01", default="`at`"),
        Field("device", DEVICE, "The device, with a made-up certificate that is in order.", required=True),
        Field(
            "lists",
            TableShape(LIST_NAME, Many(ROW, MAX_ROWS), 100, "a list name"),
            "The rows of device lists; lists that are not here are empty.",
            "{line-a-2026: [{common_name: snr-0001}]}",
        ),
        Field("expect", EXPECT, "What must come of it.", required=True),
    ),
)

FILE = RecordShape(
    "a rules file",
    (
        Field("format", FormatVersion(FORMAT), "The version of this format.", str(FORMAT), required=True),
        Field(
            "default",
            OneOf("a default", (Verdict.HOLD.value, Verdict.REJECT.value)),
            "What is decided on a device that no rule matches.",
            "reject",
            default="hold",
        ),
        Field("cas", TableShape(CA_ALIAS, CA, MAX_CAS, "an alias"), "The CAs, by aliases that the rules use."),
        Field("certificate", CERTIFICATE, "The floor for every certificate."),
        Field("deny", Many(DENY, MAX_RULES), "Rules that reject what they match. Deny always wins."),
        Field("allow", Many(ALLOW, MAX_RULES), "Rules that admit what they match, each with what it grants."),
        Field("tests", Many(TEST, MAX_TESTS), "Devices and what must be decided on them."),
    ),
)
