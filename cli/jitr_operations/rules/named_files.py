"""Certificates that published rules name by file, as they were then: a text that is edited elsewhere has no files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from jitr.rules.file.problems import RulesError
from jitr.rules.file.reader import read_rules
from jitr.rules.file.source import parse, read_text
from jitr.rules.model import Rules

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """What files stand for, by their paths: caCertificateIds of CAs, and responders' certificates (DER in base64)."""

    cas: Mapping[str, str] = field(default_factory=dict)
    responders: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """The paths of all of them, in order of the alphabet."""
        return sorted({*self.cas, *self.responders})


NO_FILES = NamedFiles()


def named_files(text: str, rules: Rules) -> NamedFiles:
    """Return what the files that a text names stand for in ``rules``, which were compiled from it.

    Nothing where that does not give the same rules again.
    """
    try:
        named = _paired(text, rules)
        read = read_rules(
            text.encode(),
            source=rules.source,
            certificate_id=named.cas.__getitem__,
            responder=named.responders.__getitem__,
        )
    except RulesError:
        return NO_FILES
    return named if read.rules.meaning == rules.meaning else NO_FILES


def _paired(text: str, rules: Rules) -> NamedFiles:
    cas, responders = dict[str, str](), dict[str, str]()
    for alias, key, value in cas_in(text):
        ca = rules.cas.get(alias)
        if ca is not None and key.value == "certificate":  # a CA has either this or ids
            files = value.value if isinstance(value, yaml.SequenceNode) else (value,)
            ids = ca.ids * len(files) if len(ca.ids) == 1 else ca.ids
            cas.update(zip((each.value for each in files), ids, strict=False))
        elif ca is not None and key.value == "ocsp":
            signer = None if ca.ocsp is None else ca.ocsp.responder
            files = (file for name, file in _entries(value) if name.value == "responder")
            responders.update((each.value, signer) for each in files if signer is not None)
    return NamedFiles(cas, responders)


def cas_in(text: str) -> Iterator[tuple[str, yaml.ScalarNode, yaml.Node]]:
    """Return each key of each CA in a rules file, after the CA's alias, with the key's value.

    Raises RulesError for what is no rules file.
    """
    # libyaml's composer recurses, and ends the process on what is nested deep enough: our own reader looks first.
    checked, findings = read_text(text.encode(), "")
    parse(checked, findings)
    findings.raise_errors()
    for key, aliases in _entries(yaml.compose(text, Loader=_Loader)):
        for alias, ca in _entries(aliases) if key.value == "cas" else ():
            yield from ((alias.value, entry, value) for entry, value in _entries(ca))


def _entries(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))
