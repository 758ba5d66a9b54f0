"""The stack as CloudFormation makes it: template.yaml after SAM's transform, with its conditions resolved."""

import json
from functools import cache
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from testkit.transformed import deployed, needs

STACKS = {"keeps its data": deployed(), "leaves nothing": deployed(DataDeletionPolicy="Delete")}


EVERY = {name: each for stack in STACKS.values() for name, each in stack.items()}


@cache
def schema(kind: str) -> dict[str, Any]:
    """AWS's own schema of a type, as cfn-lint carries it."""
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    return found


def names(kind: str) -> set[str]:
    """The properties that name a resource of a type: two of one name cannot be."""
    if kind.startswith("Custom::"):
        return set()
    found = schema(kind)
    fixed = {*found.get("primaryIdentifier", ()), *found.get("createOnlyProperties", ())}
    paths = {path.removeprefix("/properties/") for path in fixed}
    return {path for path in paths if path == "Name" or path.endswith("Name")} - {"FunctionName"}


# --- Any number of stacks


@pytest.mark.parametrize("name", EVERY)
def test_no_resource_has_a_name_that_another_stack_of_the_region_has_too(name: str) -> None:
    """Names are CloudFormation's to make, or begin with the stack's; SAM's transform adds none of its own.

    FunctionName names a function to which something belongs, in types whose names it is part of.
    """
    properties = EVERY[name]["Properties"]
    for key in names(EVERY[name]["Type"]) & properties.keys():
        named = properties[key]
        assert "${AWS::StackName}" in json.dumps(named) or isinstance(named, dict), f"{key} is {named} in every stack"


def test_the_iot_policy_of_two_stacks_is_named_after_each() -> None:
    """Rules files name it, so CloudFormation does not make its name up."""
    policy = deployed()["SensorPolicy"]["Properties"]
    assert policy["PolicyName"] == {"Fn::Sub": "${AWS::StackName}-device"}


# --- In an order that AWS can follow


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_the_role_of_a_schedule_is_old_when_the_schedule_is_made(stack: dict[str, Any]) -> None:
    """EventBridge Scheduler refuses a role that it cannot assume yet, and a new role takes seconds to be known.

    So the role is made before the function that the schedule invokes, which waits for the table as well.
    """
    schedules = [each for each in stack.values() if each["Type"] == "AWS::Scheduler::Schedule"]
    assert schedules
    for schedule in schedules:
        target = schedule["Properties"]["Target"]
        role = target["RoleArn"]["Fn::GetAtt"].split(".")[0]
        assert needs(stack, role) == set()
        assert {role, "Table"} <= needs(stack, target["Arn"]["Fn::GetAtt"][0])
