"""What checkov and parliament find in the stack stands only with a reason; `make lint` runs them (tools/scan.py)."""

import tomllib
from dataclasses import replace

from testkit.transformed import deployed
from tools.physical import physical
from tools.scan import EXCEPTIONS, STACKS, Objection, judge, policies

OPEN = Objection("default", "checkov", "CKV_AWS_24", "RegisterFunction", "open to the world")


def test_a_finding_without_an_exception_is_told_once_with_the_stacks_that_have_it() -> None:
    both = [OPEN, replace(OPEN, stack="dev")]
    assert judge(both, {}) == ["RegisterFunction: checkov CKV_AWS_24: open to the world (in default, dev)"]


def test_a_finding_with_an_exception_stands() -> None:
    assert judge([OPEN], {"every-stack": {"checkov CKV_AWS_24 *Function": "why"}}) == []


def test_an_exception_of_one_kind_of_stack_is_none_of_another() -> None:
    assert judge([OPEN], {"without-options": {"checkov CKV_AWS_24 RegisterFunction": "why"}}) == []
    assert len(judge([OPEN], {"with-options": {"checkov CKV_AWS_24 RegisterFunction": "why"}})) == 2


def test_an_exception_that_no_finding_needs_is_told() -> None:
    (line,) = judge([], {"every-stack": {"checkov CKV_AWS_24 Table": "why"}})
    assert "'checkov CKV_AWS_24 Table' is not needed any more" in line


def test_each_exception_says_why() -> None:
    for patterns in tomllib.loads(EXCEPTIONS.read_text()).values():
        assert all(isinstance(why, str) and why for why in patterns.values())


def test_what_is_scanned_has_every_policy_and_nothing_left_to_resolve() -> None:
    """A reference that is left would be passed over: neither tool knows what it leads to."""
    for _, parameters in STACKS.values():
        resources = physical(deployed(**parameters))
        roles = {name for name, each in resources.items() if each["Type"] == "AWS::IAM::Role"}
        carried = dict(policies(resources))
        assert roles - {"RecheckScheduleRole", "FleetScheduleRole"} <= carried.keys()
        assert not [key for document in carried.values() for key in _keys(document) if key.startswith(("Fn::", "Ref"))]


def _keys(node: object) -> list[str]:
    if isinstance(node, list):
        return [key for each in node for key in _keys(each)]
    if isinstance(node, dict):
        return [*node, *(key for each in node.values() for key in _keys(each))]
    return []
