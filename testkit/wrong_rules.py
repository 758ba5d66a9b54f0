"""Wrong rules files: for every kind of mistake one case, with the exact place and the gist of what is said.

In each text «» are around what the error must underline.
"""

from dataclasses import dataclass

from testkit.rules import in_allow, in_file, in_grant, in_test


@dataclass(frozen=True)
class Mistake:
    name: str
    text: str
    gist: str  # of the first error: message, then " | " and hint


HEX = "3f9c" * 16
FILE = [
    Mistake("the file is empty", "«»", "the file is empty | `jitr rules init`"),
    Mistake("only comments", "«#» a comment\n", "the file is empty"),
    Mistake("a list where the file's mapping goes", "«-» a\n", "mapping of keys and values"),
    Mistake(
        "a text where the file's mapping goes", "«hello»\n", "a rules file is a mapping of keys and values, not a text"
    ),
    Mistake("no format", "«default»: hold\n", "a rules file needs the key 'format'"),
    Mistake("unknown format", "format: «2»\n", "the format is 1, not '2' | write `format: 1`"),
    Mistake(
        "unknown key", in_file("«defualt»: hold"), "unknown key 'defualt' in a rules file | did you mean 'default'?"
    ),
    Mistake("unknown key like no other", in_file("«zzz»: 1"), "its keys are: format, default, cas"),
    Mistake("key of another record", in_file("«iot_policies»: [a]"), "it is a key of a grant"),
    Mistake("duplicate key", "format: 1\n«format»: 1\n", "the key 'format' is here twice; the first is on line 1"),
    Mistake("wrong default", in_file("default: «admit»"), "'admit' is not a default | it is one of: hold, reject"),
    Mistake("misspelt choice", in_file("default: «rejct»"), "did you mean 'reject'?"),
    Mistake("no value", in_file("«default»:"), "'default' has no value"),
    Mistake("null", in_file("default: «null»"), 'null is no value | for the text put it in quotes: "null"'),
    Mistake("a list where one value goes", in_file("default: «[hold]»"), "'default' takes one text, not a list"),
    Mistake("a mapping where one value goes", in_file("default: «{a: b}»"), "'default' takes one text, not a mapping"),
    Mistake("nothing where rules go", in_file("«allow»:"), "'allow' has no value"),
    Mistake(
        "a text where rules go", in_file("allow: «none»"), "under 'allow' goes a list | begin each entry with `- `"
    ),
    Mistake("a mapping where rules go", in_file("allow:\n  «name»: a"), "under 'allow' goes a list"),
    Mistake("a text where a rule goes", in_file("allow:\n  - «all»"), "an allow rule is a mapping of keys and values"),
    Mistake("a list where a rule goes", in_file("allow:\n  - «[a]»"), "not a list | write its keys below"),
    Mistake("a text where CAs go", "format: 1\ncas: «none»\n", "'cas' is a mapping of keys and values, not a text"),
]

CAS = [
    Mistake("id too short", "format: 1\ncas: {a: {ids: «abc»}}\n", "a caCertificateId is 64 hex digits, not 3"),
    Mistake("id not hex", f"format: 1\ncas: {{a: {{ids: {HEX[:-1]}«x»}}}}\n", "64 hex digits; 'x' is none"),
    Mistake("id twice", f"format: 1\ncas: {{a: {{ids: [{HEX}, «{HEX.upper()}»]}}}}\n", "is here twice"),
    Mistake("no ids at all", "format: 1\ncas: {a: {ids: «[]»}}\n", "an empty list"),
    Mistake("neither ids nor certificate", "format: 1\ncas: {a: «{}»}\n", "a CA needs either `ids` or `certificate`"),
    Mistake(
        "both certificate and ids",
        f"format: 1\ncas: {{a: {{certificate: [«a.pem»], «ids»: {HEX}}}}}\n",
        "cannot be read here",
    ),
    Mistake(
        "certificate with nobody to read it", "format: 1\ncas: {a: {certificate: «a.pem»}}\n", "cannot be read here"
    ),
    Mistake("alias with a blank", f"format: 1\ncas: {{a« »b: {{ids: {HEX}}}}}\n", "a CA alias cannot have ' ' in it"),
    Mistake("alias that begins with a sign", f"format: 1\ncas: {{«-»a: {{ids: {HEX}}}}}\n", "cannot begin with '-'"),
    Mistake("alias like an id", f"format: 1\ncas: {{«{HEX}»: {{ids: {HEX}}}}}\n", "cannot look like a caCertificateId"),
    *(
        Mistake(name, f"format: 1\ncas: {{a: {{ids: {HEX}, crl: {crl}}}}}\n", told)
        for name, crl, told in (
            ("crl without url", "«{}»", "a crl needs either `url` or `partitions` | write where the list is"),
            (
                "crl with url and partitions",
                "{url: http://a.example/x, «partitions»: [{url: http://a.example/y}]}",
                "a crl takes either 'url' or 'partitions', not both",
            ),
            ("no partitions at all", "{«partitions»: []}", "no partitions: nothing would say who is revoked"),
            ("partition without url", "{partitions: [«{}»]}", "a partition needs the key 'url'"),
            (
                "delta beside partitions",
                "{«delta»: http://a.example/d, partitions: [{url: http://a.example/x}]}",
                "`delta` goes with `url`; with `partitions`, each has its own",
            ),
            (
                "delta at the address of the list",
                "{url: http://a.example/x, delta: «http://a.example/x»}",
                "'http://a.example/x' is on line 2 already | each partition and each delta list is a list of its own",
            ),
            (
                "partition twice",
                "{partitions: [{url: http://a.example/x}, {url: «http://a.example/x», point: http://a.example/y}]}",
                "'http://a.example/x' is on line 2 already",
            ),
            (
                "distribution point twice",
                "{partitions: [{url: http://a.example/x}, {url: http://a.example/y, point: «http://a.example/x»}]}",
                "'http://a.example/x' is on line 2 already",
            ),
            (
                "partition in S3 that nobody names",
                "{partitions: [{url: «s3://abc/d»}]}",
                "certificates name no s3:// address as their distribution point | write what they name under `point`",
            ),
            (
                "private_network of partitions in S3",
                "{partitions: [{url: s3://abc/d, point: http://a.example/x}], «private_network»: true}",
                "this list is in S3 | leave it out",
            ),
            (
                "delta by ftp",
                "{url: s3://abc/d, delta: «ftp://a.example/x»}",
                "is not an address of a delta revocation list",
            ),
        )
    ),
    Mistake(
        "crl by ftp",
        f"format: 1\ncas: {{a: {{ids: {HEX}, crl: {{url: «ftp://a.example/x»}}}}}}\n",
        "is not an address of a revocation list | write s3://bucket/key, https://host/path or http://host/path",
    ),
    Mistake(
        "ocsp without url", f"format: 1\ncas: {{a: {{ids: {HEX}, ocsp: «{{}}»}}}}\n", "an ocsp needs the key 'url'"
    ),
    Mistake(
        "ocsp in s3",
        f"format: 1\ncas: {{a: {{ids: {HEX}, ocsp: {{url: «s3://abc/d»}}}}}}\n",
        "is not an address of an OCSP responder | write https://host/path or http://host/path",
    ),
    *(
        Mistake(
            f"ocsp at {url}",
            f"format: 1\ncas: {{a: {{ids: {HEX}, ocsp: {{url: «{url}»}}}}}}\n",
            "no host of an OCSP responder | nothing is fetched from",
        )
        for url in ("http://169.254.169.254/latest/meta-data/", "http://localhost:2560/", "http://127.0.0.1/")
    ),
    Mistake(
        "ocsp by another hash",
        f"format: 1\ncas: {{a: {{ids: {HEX}, ocsp: {{url: http://a.example/, hash: «md5»}}}}}}\n",
        "it is one of: sha1, sha256",
    ),
    Mistake(
        "ocsp when_unavailable reject",
        f"format: 1\ncas: {{a: {{ids: {HEX}, ocsp: {{url: http://a.example/, when_unavailable: «reject»}}}}}}\n",
        "it is one of: hold, admit",
    ),
    Mistake(
        "responder with nobody to read it",
        f"format: 1\ncas: {{a: {{ids: {HEX}, ocsp: {{url: http://a.example/, responder: «r.pem»}}}}}}\n",
        "certificate files cannot be read here",
    ),
    *(
        Mistake(f"crl at {url}", f"format: 1\ncas: {{a: {{ids: {HEX}, crl: {{url: «{url}»}}}}}}\n", told)
        for url, told in (
            ('"https://user@a.example/x"', "is not an address of a revocation list"),
            ('"https://a.example/x#y"', "is not an address of a revocation list"),
            ('"s3://abc/d?versionId=1"', "is not an address of a revocation list"),
            ('"file:///etc/passwd"', "is not an address of a revocation list"),
            ("https://169.254.169.254/latest/meta-data/", "no host of a revocation list | nothing is fetched from"),
            ("https://127.0.0.1:9001/2018-06-01/runtime/", "no host of a revocation list"),
            ("https://localhost/a.crl", "no host of a revocation list"),
            ("http://169.254.169.254/latest/meta-data/", "no host of a revocation list | nothing is fetched from"),
            ("http://localhost:8080/a.crl", "no host of a revocation list"),
            ("https://0.1.2.3/a.crl", "no host of a revocation list"),
            ("https://240.0.0.1/a.crl", "no host of a revocation list"),
            ('"http://[::1]:8080/a.crl"', "no host of a revocation list"),
            ('"http://[::ffff:169.254.169.254]/a.crl"', "no host of a revocation list"),
            ('"http://[10.0.0.1]/a.crl"', "'[10.0.0.1]' is no IPv6 address"),
            ('"http://[fe80::1%25eth0]/a.crl"', "is not an address of a revocation list"),
        )
    ),
    Mistake(
        "private_network of S3",
        f"format: 1\ncas: {{a: {{ids: {HEX}, crl: {{url: s3://abc/d, «private_network»: true}}}}}}\n",
        "is about the server of an https:// or http:// address; this list is in S3 | leave it out",
    ),
    Mistake(
        "private_network yes",
        f"format: 1\ncas: {{a: {{ids: {HEX}, crl: {{url: https://abc/d, private_network: «yes»}}}}}}\n",
        "neither true nor false | did you mean true?",
    ),
    Mistake(
        "when_stale reject",
        f"format: 1\ncas: {{a: {{ids: {HEX}, crl: {{url: s3://abc/d, when_stale: «reject»}}}}}}\n",
        "it is one of: hold, admit",
    ),
]

FLOOR = [
    Mistake(
        "RSA below AWS's own floor", in_file("certificate: {min_rsa_bits: «1024»}"), "from 2048 to 16384, not 1024"
    ),
    Mistake("bits not a number", in_file("certificate: {min_rsa_bits: «2k»}"), "digits only, such as 2048"),
    Mistake("unknown curve", in_file("certificate: {curves: [P-256, «P384»]}"), "did you mean 'P-384'?"),
    Mistake("unknown serial numbers", in_file("certificate: {serial_numbers: «all»}"), "one of: positive, any"),
    Mistake("unknown hash", in_file("certificate: {signature_hashes: «sha1»}"), "'sha1' is not a signature hash"),
]

RULES = [
    Mistake("no name", in_file("deny:\n  - «list»: a"), "a deny rule needs the key 'name'"),
    Mistake("name with a blank", in_allow("name: line« »a\nca: factory-a"), "a rule name cannot have ' ' in it"),
    Mistake("name too long", in_allow(f"name: «{'a' * 65}»\nca: factory-a"), "cannot be longer than 64 characters"),
    Mistake("empty name", in_allow('name: «""»\nca: factory-a'), "a rule name cannot be empty"),
    Mistake(
        "name taken by an allow rule",
        in_allow("ca: factory-a", "name: «rule-1»\nca: factory-b"),
        "the rule name 'rule-1' is taken by the rule on line 6",
    ),
    Mistake(
        "name taken by a deny rule",
        in_file("deny:\n  - {name: a, list: b}\nallow:\n  - {name: «a», list: b, grant: {iot_policies: c}}"),
        "the rule name 'a' is taken by the rule on line 6",
    ),
    Mistake(
        "name taken on the same line",
        in_file("deny: [{name: a, list: b}, {name: «a», list: b}]"),
        "is taken by the rule on line 5",
    ),
    Mistake("allow rule without conditions", in_allow("«name»: a"), "a rule without any condition"),
    Mistake("deny rule without conditions", in_file("deny:\n  - «name»: a"), "would match every device"),
    Mistake("allow rule without grant", in_file("allow:\n  - «name»: a\n    ca: factory-a"), "needs the key 'grant'"),
    Mistake("unknown condition", in_allow("«comon_name»: a\nca: factory-a"), "did you mean 'common_name'?"),
    Mistake("condition by its X.509 name", in_allow("«CN»: a\nca: factory-a"), "did you mean 'common_name'?"),
    Mistake("deny rule with a grant", in_file("deny:\n  - {name: a, list: b, «grant»: {}}"), "key of an allow rule"),
    Mistake("allow rule with a reason", in_allow("ca: factory-a\n«revoke»: true"), "it is a key of a deny rule"),
    Mistake("revoke yes", in_file("deny:\n  - {name: a, list: b, revoke: «yes»}"), "did you mean true?"),
    Mistake("revoke with a word", in_file("deny:\n  - {name: a, list: b, revoke: «maybe»}"), "neither true nor false"),
    Mistake("max_devices zero", in_allow("ca: factory-a\nmax_devices: «0»"), "from 1 to 1000000000, not 0"),
    Mistake("max_devices with a separator", in_allow("ca: factory-a\nmax_devices: «5,000»"), "digits only"),
    Mistake(
        "former name of a rule that is there",
        in_allow("ca: factory-a", "name: b\nca: factory-b\nformerly: «rule-1»"),
        "the rule 'rule-1' on line 6 counts its devices as 'rule-1'",
    ),
    Mistake(
        "former name of two rules",
        in_allow("name: a\nca: factory-a\nformerly: line-a", "name: b\nca: factory-b\nformerly: «line-a»"),
        "the rule 'a' on line 6 counts its devices as 'line-a'",
    ),
    Mistake(
        "former name with a space",
        in_allow("name: a\nca: factory-a\nformerly: b« »c"),
        "a rule name cannot have ' ' in it",
    ),
    Mistake("max_devices with a leading zero", in_allow("ca: factory-a\nmax_devices: «0123»"), "digits only"),
]

CONDITIONS = [
    Mistake("no CA", in_allow("ca: «[]»"), "an empty list | name at least one value, or remove the key"),
    Mistake("empty pattern", in_allow('ca: factory-a\ncommon_name: «""»'), "an empty pattern matches nothing"),
    Mistake("empty pattern among others", in_allow('ca: factory-a\ncommon_name: [a, «""»]'), "an empty pattern"),
    Mistake("empty list entry", in_allow("ca:\n  - factory-a\n  -«»"), "an empty list entry"),
    Mistake("pattern that ends in a backslash", in_allow("ca: factory-a\ntitle: «'a\\'»"), "ends in a single \\"),
    Mistake("pattern too long", in_allow(f"ca: factory-a\ntitle: «{'a' * 1025}»"), "longer than 1024 characters"),
    Mistake("pattern with a line end", in_allow('ca: factory-a\ntitle: «"a\\nb"»'), "this has a line end in it"),
    Mistake("pattern with a NUL", in_allow('ca: factory-a\ntitle: «"a\\0"»'), "the control character U+0000"),
    Mistake("pattern twice", in_allow("ca: factory-a\ntitle: [a, b, «a»]"), "'a' is here twice"),
    Mistake("list in a list", in_allow("ca: factory-a\ntitle: [a, «[b]»]"), "here goes one text, not a list"),
    Mistake("unknown CA alias", in_allow("ca: «factry-a»"), "unknown CA alias 'factry-a' | did you mean 'factory-a'?"),
    Mistake("unknown CA alias like no other", in_allow("ca: [factory-a, «zzz»]"), "name the CA under `cas`"),
    Mistake("list name with a slash", in_allow("list: lists«/»a"), "a list name cannot have '/' in it"),
    Mistake("list name with an extension", in_allow("list: «.»csv"), "a list name cannot begin with '.'"),
    Mistake("serial not hex", in_allow("ca: factory-a\nserial_number: «xyz»"), "'xyz' is not a serial number in hex"),
    Mistake("serial range with a dash", in_allow("ca: factory-a\nserial_number: «1-2»"), "for a range write 1..2"),
    Mistake("serial range with one end", in_allow("ca: factory-a\nserial_number: «10..»"), "it needs both ends"),
    Mistake(
        "serial range's second end wrong", in_allow("ca: factory-a\nserial_number: 10..«1g»"), "'1g' is not a serial"
    ),
    Mistake(
        "serial range reversed", in_allow("ca: factory-a\nserial_number: «1fff..1000»"), "did you mean 1000..1fff?"
    ),
    Mistake(
        "serial by a spreadsheet", in_allow("ca: factory-a\nserial_number: «7.4E+11»"), "not a serial number in hex"
    ),
    Mistake("serial too long", in_allow(f"ca: factory-a\nserial_number: «{'1' * 41}»"), "longer than 40 hex digits"),
    Mistake("same serial twice", in_allow("ca: factory-a\nserial_number: [1000, «0x1000»]"), "'0x1000' is here twice"),
    Mistake("window with one day", in_allow("ca: factory-a\nwindow: «2026-01-01»"), "both days are needed"),
    Mistake("window without end", in_allow("ca: factory-a\nwindow: «2026-01-01..»"), "write 9999-12-31"),
    Mistake("window reversed", in_allow("ca: factory-a\nwindow: «2026-02-01..2026-01-01»"), "closes before it opens"),
    Mistake(
        "window with no such day", in_allow("ca: factory-a\nwindow: 2026-01-01..«2026-02-30»"), "no day 2026-02-30"
    ),
    Mistake("window in another notation", in_allow("ca: factory-a\nwindow: «1.1.2026»..2026-02-01"), "YYYY-MM-DD"),
    Mistake("window without days", in_allow("ca: factory-a\nwindow: «always»"), "write first..last"),
]

GRANTS = [
    Mistake("neither IoT policy nor group", in_grant("«thing»: a"), "the device could not connect"),
    Mistake("empty IoT policies", in_grant("iot_policies: «[]»"), "an empty list"),
    Mistake("type without thing", in_grant("iot_policies: a\n«thing_type»: b"), "thing_type is of a thing"),
    Mistake("attributes without thing", in_grant("iot_policies: a\n«attributes»: {b: c}"), "attributes are of a thing"),
    Mistake("groups without thing", in_grant("«thing_groups»: a"), "the grant has no `thing`"),
    Mistake(
        "eleven IoT policies",
        in_grant(f"«iot_policies»: [{', '.join('abcdefghijk')}]"),
        "11 values, and 10 is the most",
    ),
    Mistake("eleven groups", in_grant(f"thing: t\n«thing_groups»: [{', '.join('abcdefghijk')}]"), "10 is the most"),
    Mistake(
        "four attributes without type",
        in_grant("thing: t\niot_policies: p\n«attributes»: {a: b, c: d, e: f, g: h}"),
        "4 attributes, and AWS IoT takes 3 of a thing without type | add `thing_type`",
    ),
    Mistake(
        "fifty-one attributes",
        in_grant(
            "thing: t\nthing_type: u\niot_policies: p\n«attributes»: {" + ", ".join(f"a{n}: b" for n in range(51)) + "}"
        ),
        "51 entries, and 50 is the most",
    ),
    Mistake(
        "attribute name", in_grant("thing: t\niot_policies: p\nattributes: {a« »b: c}"), "an attribute name cannot have"
    ),
    Mistake(
        "attribute value", in_grant("thing: t\niot_policies: p\nattributes: {a: b« »c}"), "attribute value cannot have"
    ),
    Mistake(
        "attribute value too long", in_grant(f"thing: t\niot_policies: p\nattributes: {{a: «{'b' * 801}»}}"), "800"
    ),
    Mistake("attribute without value", in_grant("thing: t\niot_policies: p\nattributes: {«a»: }"), "'a' has no value"),
    Mistake("IoT policy name", in_grant("iot_policies: [a, b«/»c]"), "an IoT policy name cannot have '/' in it"),
    Mistake("IoT policy name too long", in_grant(f"iot_policies: «{'a' * 129}»"), "longer than 128 characters"),
    Mistake(
        "thing type name", in_grant("thing: t\niot_policies: p\nthing_type: a«.»b"), "a thing type name cannot have"
    ),
    Mistake("thing group name", in_grant("thing: t\nthing_groups: a«/»b"), "a thing group name cannot have '/' in it"),
    Mistake(
        "unknown renewal", in_grant("iot_policies: a\nrenewal: «overwrite»"), "it is one of: hold, coexist, replace"
    ),
    Mistake(
        "renewal_from without renewal",
        in_grant("iot_policies: a\n«renewal_from»: factory-a"),
        "says whom a renewal may follow",
    ),
    Mistake(
        "renewal_from under hold",
        in_grant("iot_policies: a\nrenewal: hold\n«renewal_from»: factory-a"),
        "`renewal: hold` allows none",
    ),
    Mistake(
        "renewal_from an unknown CA",
        in_grant("iot_policies: a\nrenewal: replace\nrenewal_from: [«factory-aa»]"),
        "did you mean 'factory-a'?",
    ),
    Mistake("unknown existing", in_grant("iot_policies: a\nexisting: «adpot»"), "did you mean 'adopt'?"),
    Mistake(
        "no policy value",
        in_grant("iot_policies: a\nnot_in_policies: [«organisation»]"),
        "did you mean 'organization'?",
    ),
    Mistake(
        "policy value of another attribute",
        in_grant("thing: t\niot_policies: a\nattributes: {hall: b}\nnot_in_policies: «attributes.hal»"),
        "did you mean 'attributes.hall'?",
    ),
    Mistake("unknown key in a grant", in_grant("iot_policies: a\n«policies»: b"), "did you mean 'iot_policies'?"),
    Mistake("max_devices in the grant", in_grant("iot_policies: a\n«max_devices»: 1"), "it is a key of an allow rule"),
]

TEMPLATES = [
    Mistake(
        "literal part of a thing",
        in_grant('thing: "snr«.»{common_name}"\niot_policies: p'),
        "AWS IoT takes [a-zA-Z0-9:_-]",
    ),
    Mistake("thing too long", in_grant(f"thing: «{'a' * 129}»\niot_policies: p"), "longer than 128 characters"),
    Mistake("empty thing", in_grant('thing: «""»\niot_policies: p'), "a thing name cannot be empty"),
    Mistake(
        "unknown template",
        in_grant('thing: "a-«{comon_name}»"\niot_policies: p'),
        "'{comon_name}' is not a template | did you mean 'common_name'?",
    ),
    Mistake(
        "unknown template like no other", in_grant('thing: "«{zzz}»"\niot_policies: p'), "serial_number or attr.NAME"
    ),
    Mistake("empty template", in_grant('thing: "a«{}»"\niot_policies: p'), "'{}' is not a template"),
    Mistake("template by X.509 name", in_grant('thing: "«{certificate.cn}»"\niot_policies: p'), "is not a template"),
    Mistake("doubled braces", in_grant('thing: "«{»{common_name}}"\niot_policies: p'), "without its other half"),
    Mistake(
        "brace that is not closed", in_grant('thing: "a«{»common_name"\niot_policies: p'), "without its other half"
    ),
    Mistake("brace that is not opened", in_grant('thing: "common_name«}»"\niot_policies: p'), "without its other half"),
    Mistake(
        "unquoted template", in_grant("thing: «{common_name}»\niot_policies: p"), 'put it in quotes: "{common_name}"'
    ),
    Mistake(
        "unquoted template in an attribute",
        in_grant("thing: t\niot_policies: p\nattributes: {b: «{attr.batch}»}", "list: l"),
        'unquoted braces are a mapping to YAML, not a template | put it in quotes: "{attr.batch}"',
    ),
    Mistake("row attribute without list", in_grant('thing: "a-«{attr.b}»"\niot_policies: p'), "the rule has no `list`"),
    Mistake(
        "row attribute without list, in an attribute",
        in_grant('thing: t\niot_policies: p\nattributes: {a: "«{attr.b}»"}'),
        "{attr.b} is of a list row, and the rule has no `list` | add `list`",
    ),
    Mistake("row attribute's name", in_grant('thing: "«{attr.a b}»"\niot_policies: p', "list: l"), "is not a template"),
    Mistake(
        "template in an IoT policy",
        in_grant('iot_policies: «"{common_name}"»'),
        "templates have their place in `thing`",
    ),
    Mistake(
        "template in a group", in_grant('thing: t\nthing_groups: [«"g-{country}"»]'), "cannot have a template in it"
    ),
    Mistake(
        "template in a type", in_grant('thing: t\niot_policies: p\nthing_type: «"{title}"»'), "cannot have a template"
    ),
]

GOOD_TEST = "name: a\nat: 2026-01-01\nexpect: {decision: hold}\n"
TESTS = [
    Mistake(
        "no name", in_test("«at»: 2026-01-01\ndevice: {}\nexpect: {decision: hold}"), "a test needs the key 'name'"
    ),
    Mistake(
        "no device", in_test("«name»: a\nat: 2026-01-01\nexpect: {decision: hold}"), "a test needs the key 'device'"
    ),
    Mistake("no time", in_test("«name»: a\ndevice: {}\nexpect: {decision: hold}"), "a test needs the key 'at'"),
    Mistake("no expectation", in_test("«name»: a\nat: 2026-01-01\ndevice: {}"), "a test needs the key 'expect'"),
    Mistake(
        "time in another notation",
        in_test("name: a\nat: «1 March»\ndevice: {}\nexpect: {decision: hold}"),
        "is not a time",
    ),
    Mistake(
        "no such time", in_test("name: a\nat: «2026-02-29»\ndevice: {}\nexpect: {decision: hold}"), "no time 2026-02-29"
    ),
    Mistake(
        "time before all times",
        in_test('name: a\nat: «"0001-01-01T00:00:00+23:59"»\ndevice: {}\nexpect: {decision: hold}'),
        "there is no time",
    ),
    Mistake(
        "unknown key of a device", in_test(f"{GOOD_TEST}device: {{«comon_name»: a}}"), "did you mean 'common_name'?"
    ),
    Mistake(
        "unknown CA of a device", in_test(f"{GOOD_TEST}device: {{ca: «factory-c»}}"), "unknown CA alias 'factory-c'"
    ),
    Mistake(
        "serial of a device", in_test(f"{GOOD_TEST}device: {{serial_number: «1..2»}}"), "is not a serial number in hex"
    ),
    Mistake("key of a device", in_test(f"{GOOD_TEST}device: {{key: «RSA»}}"), "write P-256, P-384, P-521 or RSA-2048"),
    Mistake(
        "validity reversed",
        in_test(f"{GOOD_TEST}device: {{not_before: 2026-01-02, not_after: «2026-01-01»}}"),
        "ends before it begins",
    ),
    Mistake(
        "list that no rule names",
        in_test(f"{GOOD_TEST}device: {{}}\nlists: {{«lin-a»: []}}"),
        "no rule refers to the list 'lin-a' | did you mean 'line-a'?",
    ),
    Mistake(
        "row without key", in_test(f"{GOOD_TEST}device: {{}}\nlists: {{line-a: [«{{note: b}}»]}}"), "fits no device"
    ),
    Mistake(
        "row with a serial and no CA",
        in_test(f"{GOOD_TEST}device: {{}}\nlists: {{line-a: [{{«serial_number»: 1}}]}}"),
        "serial numbers are unique within a CA only",
    ),
    Mistake(
        "row with a CA and no serial",
        in_test(f"{GOOD_TEST}device: {{}}\nlists: {{line-a: [{{common_name: b, «ca»: factory-a}}]}}"),
        "alone it limits nothing",
    ),
    Mistake(
        "row with an unknown CA",
        in_test(f"{GOOD_TEST}device: {{}}\nlists: {{line-a: [{{serial_number: 1, ca: «factry-a»}}]}}"),
        "did you mean 'factory-a'?",
    ),
    Mistake(
        "row with an unknown column",
        in_test(f"{GOOD_TEST}device: {{}}\nlists: {{line-a: [{{common_name: b, «batch»: 7}}]}}"),
        "unknown key 'batch' in a list row | a column of your own is named attr.NAME, such as attr.batch",
    ),
    Mistake(
        "row with a time that the list reader refuses",
        in_test(f"{GOOD_TEST}device: {{}}\nlists: {{line-a: [{{common_name: b, expires: «2026-01-01T12:00»}}]}}"),
        "a time needs seconds and an offset",
    ),
    Mistake(
        "unknown decision",
        in_test("name: a\nat: 2026-01-01\ndevice: {}\nexpect: {decision: «allow»}"),
        "not a decision",
    ),
    Mistake(
        "unknown rule",
        in_test("name: a\nat: 2026-01-01\ndevice: {}\nexpect: {decision: admit, rule: «rule-2»}"),
        "there is no rule 'rule-2' in this file | did you mean 'rule-1'?",
    ),
    Mistake(
        "allow rule that should reject",
        in_test("name: a\nat: 2026-01-01\ndevice: {}\nexpect: {decision: reject, rule: «rule-1»}"),
        "is an allow rule: it rejects nothing",
    ),
    Mistake(
        "thing for a held device",
        in_test("name: a\nat: 2026-01-01\ndevice: {}\nexpect: {decision: hold, «thing»: b}"),
        "a device on hold gets no thing",
    ),
    Mistake(
        "unknown reason",
        in_test("name: a\nat: 2026-01-01\ndevice: {}\nexpect: {decision: hold, reason: «allow.unmached»}"),
        "did you mean 'allow.unmatched'?",
    ),
]

EIGHT = """\
format: 1
«defualt»: hold
cas:
  factory-a: {ids: [«"3f9c"»]}
deny:
  - «name»: recalled
    reason: Recall 17
allow:
  - name: line-a
    ca: «factry-a»
    serial_number: «"1fff..1000"»
    grant:
      thing: «{common_name}»
      iot_policies: [Sensor]
  - name: «line-a»
    ca: factory-a
    max_devices: «many»
    grant: {iot_policies: [Sensor]}
"""
