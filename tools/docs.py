"""Makes the reference pages that follow from code: `make docs UPDATE=1` writes them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from tools import deployer, event_schemas
from tools.rules_tables import rules_page

from jitr.aws.metrics import METRICS, Metric
from jitr.reasons import CODES, ReasonCode
from jitr.rules.file.schema import json_schema
from jitr_cli.main import jitr
from jitr_local.cli import local

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "layers" / "jitr" / "jitr"

# --- reason codes

_REASONS = """\
# Reason codes

<!-- Written by tools/docs.py from jitr.reasons. Do not edit it here. -->

A reason code says why a device was admitted, held or rejected. A decision has all of its reasons, the heaviest first,
each with its code and a sentence about the device. A code is never renamed, and never leads to something else:

- **poison**: nothing is decided, and nothing is changed in AWS IoT. The message is moved to `RegistrationFailures`
  with the code as its attribute `reason`.
- **reject**: the certificate becomes INACTIVE, or REVOKED where a deny rule says `revoke: true`.
- **hold**: the certificate stays PENDING_ACTIVATION. The device is decided again when the rules or its lists have
  changed, or when it is due.
- **admit**: the device gets what was granted, and its certificate becomes ACTIVE.

The most severe of a device's reasons decides: any *reject* rejects, else any *hold* holds. The table is in order of
weight: of two reasons that lead to the same, the one further up comes first.

| code | leads to | meaning | what to do |
| --- | --- | --- | --- |
"""


def reasons_page() -> str:
    """docs/reasons.md as it should be."""
    return _REASONS + "".join(map(_row, CODES.values()))


def _row(code: ReasonCode) -> str:
    cells = (f"`{code.code}`", _effect(code), code.meaning, code.remedy)
    return "| " + " | ".join(each.replace("|", r"\|") for each in cells) + " |\n"


def _effect(code: ReasonCode) -> str:
    if code.code == "allow.unmatched":
        return "hold or reject"  # the one code whose effect the rules file decides
    return "poison" if code.effect is None else code.effect.value


# --- metrics

_METRICS = """\
# Metrics

<!-- Written by tools/docs.py from jitr.aws.metrics. Do not edit it here. -->

The functions write these metrics in the namespace `jitr`, with the dimension `service`, which is the stack's name. A
metric with a reason is also written by `service` and `reason`. The stack's dashboard shows them (output
`DashboardUrl`). A metric is never renamed and never changes its unit.

| metric | unit | what it counts or measures | by reason |
| --- | --- | --- | --- |
"""


def metrics_page() -> str:
    """docs/metrics.md as it should be."""
    return _METRICS + "".join(map(_metric, METRICS.values()))


def _metric(metric: Metric) -> str:
    return f"| `{metric.name}` | {metric.unit} | {metric.meaning} | {metric.reasons or ''} |\n"


# --- parameters and outputs of the template

_PARAMETERS = """\
# Parameters and outputs

<!-- Written by tools/docs.py from template.yaml. Do not edit it here. -->

Write parameters into `parameter_overrides` of `samconfig.toml`, or let `sam deploy --guided` ask and save them there.
`--parameter-overrides` on the command line replaces everything that `samconfig.toml` sets there; a deployed stack keeps
its value of each parameter that is left out. The defaults suit ten devices and some millions. For a fleet that arrives
all at once, raise those under [Throughput](#throughput).

## Parameters
"""
_COLUMNS = "| parameter | default | what it is | allowed |\n| --- | --- | --- | --- |\n"
_OUTPUTS = """
## Outputs

`sam list stack-outputs --stack-name jitr` prints them; `jitr` finds its deployment by them.

| output | what it is |
| --- | --- |
"""


def parameters_page() -> str:
    """docs/parameters.md as it should be."""
    template = yaml.load((ROOT / "template.yaml").read_text("utf-8"), _Loader)  # noqa: S506 a safe loader, a file of ours
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    told = "".join(_group(each, template["Parameters"]) for each in groups)
    outputs = "".join(
        f"| `{name}` | {each.get('Description', 'The name of an alarm')} |\n"
        for name, each in template["Outputs"].items()
    )
    return _PARAMETERS + told + _OUTPUTS + outputs


def _group(group: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]]) -> str:
    head = f"\n### {group['Label']['default']}\n\n{_COLUMNS}"
    return head + "".join(_parameter(name, parameters[name]) for name in group["Parameters"])


def _parameter(name: str, parameter: Mapping[str, Any]) -> str:
    default = f"`{parameter['Default']}`" if parameter["Default"] != "" else "(empty)"
    return f"| `{name}` | {default} | {parameter['Description']} | {_allowed(parameter)} |\n"


def _allowed(parameter: Mapping[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return ", ".join(f"`{each}`" for each in parameter["AllowedValues"])
    if parameter["Type"] == "Number":
        return f"{parameter['MinValue']} to {parameter['MaxValue']}"
    return str(parameter["ConstraintDescription"])


class _Loader(yaml.SafeLoader):
    """Passes over CloudFormation's functions: nothing here asks for them."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


# --- the command line

_COMMANDS = """\
# The command line

<!-- Written by tools/docs.py from the commands. Do not edit it here. -->

Every command as `--help` prints it. Exit codes are in [contracts.md](contracts.md#exit-codes): 0 done or yes, 1 the
answer is no, 2 wrong use or bad input, 3 AWS refused or could not be reached, 70 a bug, 130 interrupted.
`jitr local` is there in a checkout only.
"""
_WIDTH = 100


def commands_page() -> str:
    """docs/command-line.md as it should be."""
    return _COMMANDS + "".join(_described("jitr", jitr, 2))


def _described(path: str, command: click.Command, level: int) -> Iterator[str]:
    # A context without parents: usage lines name the whole path. A command keeps the help option that it made first.
    settings = {**jitr.context_settings, "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, info_name=path, **settings)
    text = re.sub(r" +$", "", command.get_help(context), flags=re.MULTILINE)
    yield f"\n{'#' * level} {path}\n\n```text\n{text}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = local if (path, name) == ("jitr", "local") else command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _described(f"{path} {name}", found, min(level + 1, 4))


PAGES: Mapping[str, Callable[[], str]] = {
    **event_schemas.pages(),
    "admission.schema.json": lambda: json.dumps(json_schema(), indent=2) + "\n",
    "command-line.md": commands_page,
    "metrics.md": metrics_page,
    "parameters.md": parameters_page,
    "reasons.md": reasons_page,
    "rules.md": rules_page,
    **deployer.FILES,
}
"""Every page and file of docs/ that follows from code alone."""
