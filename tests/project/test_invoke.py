"""`make invoke`: what it makes of the template, of names that nothing has, and of files that are no event."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from testkit import event_files

from jitr.errors import InputError
from jitr_local import invoke
from jitr_local.errors import StackError
from jitr_local.event_kinds import kind_of
from jitr_local.functions import Reference, read_functions
from jitr_local.stack import TEMPLATE

SOME = """\
Globals:
  Function:
    Handler: app.handler
    Timeout: 7
    Layers: [!Ref Shared]
    Environment: {Variables: {LEVEL: !Ref LogLevel, SERVICE: all}}
Resources:
  One:
    Type: AWS::Serverless::Function
    Properties:
      Layers: [!Ref Own]
      Environment: {Variables: {SERVICE: one, COUNT: 3, TRACE: true, GONE: !Ref AWS::NoValue}}
      Role: !GetAtt Role.Arn
      Events: {Queue: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn}}}
  Two: {Type: AWS::Serverless::Function, Properties: {Handler: two.handler, Timeout: 1, MemorySize: 256}}
  Table: {Type: AWS::DynamoDB::Table, Properties: {TableName: !Sub "${AWS::StackName}-t"}}
"""


def invoked(*arguments: object) -> Result:
    return CliRunner().invoke(invoke.invoke, [str(each) for each in arguments])


def template(folder: Path, text: str) -> Path:
    (file := folder / "template.yaml").write_text(text)
    return file


# The template


def test_globals_are_added_to_or_replaced_as_sam_does(tmp_path: Path) -> None:
    one, two = read_functions(template(tmp_path, SOME)).values()
    assert (one.name, one.handler, one.timeout, one.memory, one.takes) == (
        "One",
        "app.handler",
        7,
        128,
        frozenset({"SQS"}),
    )
    assert one.layers == ("Shared", "Own")
    assert one.variables == {"LEVEL": "LogLevel", "SERVICE": "one", "COUNT": "3", "TRACE": "true"}
    assert [name for name, value in one.variables.items() if isinstance(value, Reference)] == ["LEVEL"]
    assert (two.handler, two.timeout, two.memory, two.layers) == ("two.handler", 1, 256, ("Shared",))
    assert two.takes == frozenset()


def test_every_function_of_the_template_can_be_run_here() -> None:
    functions = read_functions(TEMPLATE)
    assert "RegisterFunction" in functions
    assert functions["RegisterFunction"].variables["JITR_TABLE"] == Reference("Table")
    assert functions["RegisterFunction"].timeout == 30


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "cannot be read"),
        ("[]", "no Resources"),
        (SOME.replace("Timeout: 7", "Timeout: !Ref Seconds"), "Timeout is !Ref Seconds"),
        (SOME.replace("COUNT: 3", "COUNT: !GetAtt Table.Arn"), "One: variable COUNT is neither plain nor a !Ref"),
        (SOME.replace("[!Ref Own]", '["arn:aws:lambda:us-east-1:111122223333:layer:x:1"]'), "One: a layer"),
    ],
)
def test_what_cannot_be_followed_in_a_template_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_functions(template(tmp_path, text))


# Functions and files


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), ["which function?", "RegisterFunction", "make invoke FUNCTION="]),
        (("RegisterFuntion", "x"), ["no function RegisterFuntion", "There are: RegisterFunction"]),
        (("RegisterFunction",), ["which event?", "make invoke FUNCTION=", *event_files.FILES]),
        (("RegisterFunction", "nowhere.json"), ["no file nowhere.json", *event_files.FILES]),
        (("RegisterFunction", event_files.EVENTS / "README.md"), ["is not JSON"]),
    ],
)
def test_an_unknown_function_or_file_is_answered_with_those_there_are(
    arguments: tuple[str, ...], told: list[str]
) -> None:
    result = invoked(*arguments)
    assert result.exit_code == 2, result.output
    assert all(each in result.stderr for each in told), result.stderr
    assert result.stderr.count("\n") == 1


MESSAGE = {
    "messageId": "1",
    "receiptHandle": "2",
    "body": "3",
    "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "2"},
}


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"certificateId": "ab"}, "as AWS IoT publishes it"),
        ([], "no list Records"),
        ({"Records": 3}, "no list Records"),
        ({"Records": [MESSAGE, 3]}, r"Records\[1\] is not an object"),
        ({"Records": [{**MESSAGE, "body": {}}]}, r"Records\[0\] has no body, or it is not text"),
        ({"Records": [{**MESSAGE, "attributes": None}]}, r"Records\[0\] has no attributes, or it is not an object"),
        ({"Records": [{**MESSAGE, "attributes": {}}]}, "no ApproximateReceiveCount, or it is not a number"),
    ],
)
def test_an_event_that_is_no_batch_is_answered_with_what_it_should_be(tmp_path: Path, event: Any, told: str) -> None:
    (file := tmp_path / "event.json").write_text(json.dumps(event))
    function = read_functions(TEMPLATE)["RegisterFunction"]
    with pytest.raises(InputError, match=rf"{told}.*takes a batch of messages from SQS.*jitr events make"):
        invoke.read_event(str(file), function)


@pytest.mark.parametrize("content", ["", "[" * 100_000, "\xff", "{} {}"])
def test_a_file_that_is_not_json_is_told(tmp_path: Path, content: str) -> None:
    (file := tmp_path / "event.json").write_text(content, "latin-1")
    with pytest.raises(InputError, match="is not JSON"):
        invoke.read_event(str(file), read_functions(TEMPLATE)["RegisterFunction"])


RECORD = {"eventName": "INSERT", "dynamodb": {"NewImage": {}}}
DROP = {"s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}


@pytest.mark.parametrize(
    ("name", "event", "told"),
    [
        ("RecheckFunction", {}, "no list Records in it. RecheckFunction takes what the table's stream brings"),
        ("RecheckFunction", {"recheck": "all"}, 'recheck is neither "due" nor "every"'),
        ("RecheckFunction", {"Records": [RECORD, {**RECORD, "dynamodb": "x"}]}, r"Records\[1\] has no dynamodb"),
        ("RecheckFunction", {"Records": [{"dynamodb": {}}]}, r"Records\[0\] has no eventName"),
        ("RecheckFunction", {"Records": [MESSAGE]}, "like those in events/recheck/"),
        ("PublishFunction", [], "no list Records in it. PublishFunction takes what S3 sends"),
        ("PublishFunction", {"Records": [{}]}, r"Records\[0\] has no s3.bucket.name"),
        (
            "PublishFunction",
            {"Records": [DROP, {"s3": {**DROP["s3"], "object": 3}}]},
            r"Records\[1\] has no s3.object.key",
        ),
        ("PublishFunction", {"recheck": "due"}, "like those in events/publish/"),
        ("CleanupFunction", {}, "takes no event from a file: CloudFormation calls it"),
    ],
)
def test_an_event_of_another_kind_is_answered_with_the_kind_that_the_function_takes(
    tmp_path: Path, name: str, event: Any, told: str
) -> None:
    (file := tmp_path / "event.json").write_text(json.dumps(event))
    with pytest.raises(InputError, match=told):
        invoke.read_event(str(file), read_functions(TEMPLATE)[name])


OF_EACH = {
    "": "RegisterFunction",
    "recheck": "RecheckFunction",
    "publish": "PublishFunction",
    "notify": "NotifyFunction",
    "fleet": "FleetFunction",
}
ALL_FILES = [(folder, path.name) for folder in OF_EACH for path in sorted((event_files.EVENTS / folder).glob("*.json"))]


@pytest.mark.parametrize(("folder", "name"), ALL_FILES)
def test_each_file_in_events_is_taken_by_its_function_and_by_no_other(folder: str, name: str) -> None:
    path = event_files.EVENTS / folder / name
    functions = read_functions(TEMPLATE)
    for each in OF_EACH.values():
        if each == OF_EACH[folder]:
            assert invoke.read_event(str(path), functions[each]) == path.read_bytes()
        else:
            with pytest.raises(InputError, match=f"{each} takes "):
                invoke.read_event(str(path), functions[each])


@pytest.mark.parametrize(("folder", "name"), OF_EACH.items())
def test_an_unknown_file_is_answered_with_those_for_the_function(folder: str, name: str) -> None:
    result = invoked(name, "nowhere.json")
    there = sorted(
        path.relative_to(event_files.EVENTS.parent).as_posix() for path in (event_files.EVENTS / folder).glob("*.json")
    )
    assert result.exit_code == 2
    assert result.stderr == f"Error: there is no file nowhere.json. For {name} there are: {', '.join(there)}\n"


def test_every_function_of_the_template_has_events_or_says_who_calls_it() -> None:
    kinds = {name: kind_of(function) for name, function in read_functions(TEMPLATE).items()}
    assert {name for name, kind in kinds.items() if kind is None} == {"CleanupFunction"}
    assert {name: kind.folder for name, kind in kinds.items() if kind} == {
        name: folder for folder, name in OF_EACH.items()
    }


def test_without_a_local_stack_one_line_says_how_to_start_one(tmp_path: Path) -> None:
    result = invoked("--folder", tmp_path, "RegisterFunction", event_files.EVENTS / "held.json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "Error: no local stack is running; `jitr local up` starts one\n"


# Building


def test_a_build_is_kept_until_a_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("functions/one/app.py", "layers/jitr/lib.py", "tools/sam.py", "template.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    runs = tmp_path / "runs"
    (tmp_path / "tools/sam.py").write_text(f"open({str(runs)!r}, 'a').write('x')")
    monkeypatch.setattr(invoke, "CHECKOUT", tmp_path)
    monkeypatch.setattr(invoke, "TEMPLATE", tmp_path / "template.yaml")
    monkeypatch.setattr(invoke, "BUILD", tmp_path / "build")
    for change in (None, None, "functions/one/app.py", "functions/one/new.py", None):
        if change:
            (tmp_path / change).write_text("changed")
        assert invoke.built() == tmp_path / "build/build"
    (tmp_path / "functions/one/new.py").unlink()
    (tmp_path / "layers/jitr/__pycache__").mkdir()
    invoke.built()
    (tmp_path / "layers/jitr/__pycache__/lib.pyc").write_text("")
    invoke.built()
    assert runs.read_text() == "xxxx"


def test_a_build_that_fails_is_told_with_the_end_of_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/sam.py").write_text("print('it is broken'); raise SystemExit(7)")
    (tmp_path / "template.yaml").write_text("")
    monkeypatch.setattr(invoke, "CHECKOUT", tmp_path)
    monkeypatch.setattr(invoke, "TEMPLATE", tmp_path / "template.yaml")
    monkeypatch.setattr(invoke, "BUILD", tmp_path / "build")
    with pytest.raises(StackError, match=r"exit 7(.|\n)*it is broken"):
        invoke.built()
    with pytest.raises(StackError, match="exit 7"):
        invoke.built()
    assert [each.name for each in (tmp_path / "build").iterdir()] == ["build.log"]
