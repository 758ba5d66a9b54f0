"""`sam deploy --config-env dev|prod` and `sam delete`, with samconfig.toml's parameters: what each leaves behind."""

import copy
import json
import os
import platform
import re
import subprocess
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from testkit.stack.plant import until
from testkit.template import PARAMETERS
from tools import deployer, dist
from tools.architecture import bound

from jitr_local import environment, ministack
from jitr_local.aws import session
from jitr_local.folder import Folder
from jitr_local.stack import CHECKOUT, LocalStack, _environment_of_ministack, _tool

pytestmark = pytest.mark.stack

IMPATIENT = CHECKOUT / "testkit/stack/impatient_sam.py"


@dataclass(frozen=True)
class Account:
    """An AWS account with nothing in it, and SAM at its door."""

    folder: Folder
    endpoint_url: str
    template: Path

    def session(self) -> boto3.Session:
        return session(self.endpoint_url, environment.REGION, environment.ACCESS_KEY_ID, environment.SECRET_ACCESS_KEY)

    def sam(
        self, *words: str, typed: str = "", folder: Path = CHECKOUT, who: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run SAM, with the rights of the account or of somebody whose keys are given."""
        variables = environment.for_deploy(
            os.environ, home=self.folder.home, tmp=self.folder.tmp, endpoint_url=self.endpoint_url
        ) | dict(who or {})
        command = [str(_tool("sam", "python")), "-P", str(IMPATIENT), *words]
        return subprocess.run(
            command, cwd=folder, env=variables, input=typed, capture_output=True, text=True, check=False
        )

    def deploy(self, name: str, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Deploy as `sam deploy --config-env NAME` does in the checkout, after a build."""
        named = ["--config-file", str(CHECKOUT / "samconfig.toml"), "--template-file", str(self.template)]
        return self.sam("deploy", "--config-env", name, *named, *words, typed=typed)

    def processed_template(self) -> dict[str, Any]:
        """The template with its code uploaded, as CloudFormation makes it: transformed by SAM."""
        deployed = self.deploy("dev", "--stack-name", "jitr-packaged")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        cloudformation = self.session().client("cloudformation")
        got: Any = cloudformation.get_template(StackName="jitr-packaged", TemplateStage="Processed")["TemplateBody"]
        self.forget("jitr-packaged")  # `sam delete` would take the code as well
        template: dict[str, Any] = got if isinstance(got, dict) else json.loads(got)
        return template

    def ended(self, log_group: str) -> int:
        """How many invocations that log to a group are over."""
        pages = self.session().client("logs").get_paginator("filter_log_events").paginate(logGroupName=log_group)
        return sum(each["message"].startswith("END RequestId") for page in pages for each in page["events"])

    def forget(self, stack: str) -> None:
        """Delete a stack, and wait until it is gone."""
        cloudformation = self.session().client("cloudformation")
        (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        cloudformation.delete_stack(StackName=stack)
        look = cloudformation.describe_stacks
        gone = "DELETE_COMPLETE"
        until(lambda: look(StackName=found["StackId"])["Stacks"][0]["StackStatus"] == gone, f"{stack} is gone")

    def resources(self, stack: str) -> dict[str, str]:
        """Physical ids by logical id."""
        pages = self.session().client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
        }

    @cached_property
    def _clients(self) -> dict[str, Any]:
        """Those that an inventory takes: a test takes forty of them."""
        session: Any = self.session()
        names = ("s3", "dynamodb", "sqs", "lambda", "iam", "logs", "iot", "cloudwatch")
        return {each: session.client(each) for each in names}

    def inventory(self) -> set[str]:
        """Whatever there is of the kinds that the template makes."""
        at = self._clients
        found = {f"bucket {each['Name']}" for each in at["s3"].list_buckets()["Buckets"]}
        found |= {f"table {each}" for each in at["dynamodb"].list_tables()["TableNames"]}
        found |= {f"queue {each}" for each in at["sqs"].list_queues().get("QueueUrls", [])}
        found |= {f"function {each['FunctionName']}" for each in at["lambda"].list_functions()["Functions"]}
        found |= {f"layer {each['LayerName']}" for each in at["lambda"].list_layers()["Layers"]}
        found |= {f"role {each['RoleName']}" for each in at["iam"].list_roles()["Roles"]}
        found |= {f"logs {each['logGroupName']}" for each in at["logs"].describe_log_groups()["logGroups"]}
        found |= {f"rule {each['ruleName']}" for each in at["iot"].list_topic_rules()["rules"]}
        found |= {f"iot policy {each['policyName']}" for each in at["iot"].list_policies()["policies"]}
        found |= {f"alarm {each['AlarmName']}" for each in at["cloudwatch"].describe_alarms()["MetricAlarms"]}
        dashboards = at["cloudwatch"].list_dashboards()["DashboardEntries"]
        found |= {f"dashboard {each['DashboardName']}" for each in dashboards}
        return found


@pytest.fixture(scope="module")
def account(local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """MiniStack with nothing deployed, beside the built template of the local stack."""
    folder = Folder(tmp_path_factory.mktemp("account"))
    folder.create()
    try:
        _process, ports = ministack.start(_tool("stack", "python"), folder, _environment_of_ministack(folder))
        yield Account(folder, ports.endpoint_url, local_stack.log.parent / "sam/build/template.yaml")
    finally:
        for process in reversed(folder.processes()):
            folder.stop(process)


def filled(account: Account, resources: dict[str, str]) -> None:
    """What a stack holds once it is used: versions and delete markers in its bucket, an attached IoT policy, rows."""
    clients = account.session()
    s3, bucket = clients.client("s3"), resources["ConfigurationBucket"]
    for text in (b"one", b"two"):
        s3.put_object(Bucket=bucket, Key="kept/admission.yaml", Body=text)
        s3.put_object(Bucket=bucket, Key="kept/gone.csv", Body=text)
    s3.delete_object(Bucket=bucket, Key="kept/gone.csv")
    # What still runs when its log group is deleted makes it anew, as no function may do on AWS.
    until(lambda: account.ended(resources["PublishLogGroup"]) >= 4, "each upload is looked at")
    iot = clients.client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName=resources["SensorPolicy"], target=made["certificateArn"])
    clients.client("dynamodb").put_item(TableName=resources["Table"], Item={"pk": {"S": "a"}, "sk": {"S": "b"}})


def test_nothing_is_left_of_a_deleted_dev_stack_though_it_was_used(account: Account) -> None:
    before = account.inventory()
    deployed = account.deploy("dev")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    filled(account, account.resources("jitr-dev"))
    deleted = account.sam("delete", "--stack-name", "jitr-dev", "--no-prompts", "--region", environment.REGION)
    assert deleted.returncode == 0, deleted.stdout + deleted.stderr
    assert {each for each in account.inventory() - before if "aws-sam-cli-managed" not in each} == set()


def test_a_dev_stack_that_turns_to_keeping_its_data_is_not_emptied(account: Account) -> None:
    """Then Cleanup alone is deleted, and asked to clean up like with the stack."""
    assert account.deploy("dev").returncode == 0
    resources = account.resources("jitr-dev")
    filled(account, resources)
    kept = account.deploy("dev", "--parameter-overrides", "DataDeletionPolicy=Retain")
    assert kept.returncode == 0, kept.stdout + kept.stderr
    table = account.session().client("dynamodb")
    with pytest.raises(ClientError, match=r"(?i)protect"):
        table.delete_table(TableName=resources["Table"])
    s3 = account.session().client("s3")
    versions = s3.list_object_versions(Bucket=resources["ConfigurationBucket"])["Versions"]
    assert len([each for each in versions if ".result." not in each["Key"]]) == 4  # beside the verdicts on them


def test_what_was_built_for_one_processor_is_refused_by_a_stack_on_the_other(account: Account) -> None:
    """What `make build ARCHITECTURE=...` makes says its processor itself: `sam deploy` need not be told."""
    text = account.template.read_text("utf-8")
    builds = {each: account.template.with_name(f"{each}.yaml") for each in ("arm64", "x86_64")}
    for architecture, template in builds.items():
        template.write_text(bound(text, architecture), "utf-8")
    named = ["deploy", "--config-env", "dev", "--stack-name", "jitr-bound"]
    named += ["--config-file", str(CHECKOUT / "samconfig.toml"), "--template-file"]
    first = account.sam(*named, str(builds["x86_64"]))
    assert first.returncode == 0, first.stdout + first.stderr
    function = account.resources("jitr-bound")["RegisterFunction"]
    look = account.session().client("lambda").get_function
    assert look(FunctionName=function)["Configuration"]["Architectures"] == ["x86_64"]
    other = account.sam(*named, str(builds["arm64"]))
    assert other.returncode != 0
    assert "Architecture" in other.stderr, other.stdout
    assert look(FunctionName=function)["Configuration"]["Architectures"] == ["x86_64"]
    account.sam("delete", "--stack-name", "jitr-bound", "--no-prompts", "--region", environment.REGION)


def test_prod_is_deployed_after_a_yes_only_and_keeps_its_data_when_it_is_deleted(account: Account) -> None:
    """With samconfig.toml's parameters, but all at once: the local stack has no CodeDeploy."""
    samconfig = tomllib.loads((CHECKOUT / "samconfig.toml").read_text())
    given = samconfig["prod"]["deploy"]["parameters"]["parameter_overrides"]
    at_once = ["--parameter-overrides", *re.sub(r"DeploymentType=\w+", "DeploymentType=AllAtOnce", given).split()]
    refused = account.deploy("prod", *at_once, typed="n\n")
    assert "Deploy this changeset?" in refused.stdout + refused.stderr
    assert account.resources("jitr-prod") == {}
    assert account.deploy("prod", *at_once, typed="y\n").returncode == 0
    resources = account.resources("jitr-prod")
    filled(account, resources)
    table = account.session().client("dynamodb")
    with pytest.raises(ClientError, match=r"(?i)protect"):
        table.delete_table(TableName=resources["Table"])
    deleted = account.sam("delete", "--stack-name", "jitr-prod", "--no-prompts", "--region", environment.REGION)
    assert deleted.returncode == 0, deleted.stdout + deleted.stderr
    left = account.inventory()
    assert left >= {
        f"table {resources['Table']}",
        f"bucket {resources['ConfigurationBucket']}",
        f"iot policy {resources['SensorPolicy']}",
    }
    assert f"function {resources['RegisterFunction']}" not in left
    assert {"pk": {"S": "a"}, "sk": {"S": "b"}} in table.scan(TableName=resources["Table"])["Items"]


# Of each of these one stands for all: none keeps anything, and CloudFormation deletes one as it deletes the next.
ALIKE = (
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::Alias",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Logs::LogGroup",
    "AWS::SQS::QueuePolicy",
)


@pytest.mark.parametrize(("keeps", "only"), [("Retain", None), ("Delete", ["RegistrationTopicRule", "Protection"])])
def test_a_first_deployment_that_fails_at_any_resource_leaves_nothing_and_the_next_one_works(
    account: Account, keeps: str, only: list[str] | None
) -> None:
    """Each resource in turn, also those that SAM's transform adds, is left to a function that there is not, and fails.

    The local stack deletes a table in a roll-back though it is protected, which CloudFormation does not. That it is not
    protected then is held by tests/project/test_transformed.py and tests/aws/test_cleanup.py.
    """
    cloudformation = account.session().client("cloudformation")
    template = account.processed_template()
    name_of_stack = f"jitr-first-{keeps.lower()}"
    parameters: Any = [{"ParameterKey": "DataDeletionPolicy", "ParameterValue": keeps}]

    def status() -> str:
        return cloudformation.describe_stacks(StackName=name_of_stack)["Stacks"][0]["StackStatus"]

    def create(body: dict[str, Any]) -> str:
        s3.put_object(Bucket="templates", Key="template", Body=json.dumps(body))  # it is too long to be sent
        named: Any = {"StackName": name_of_stack, "Parameters": parameters, "Capabilities": ["CAPABILITY_IAM"]}
        cloudformation.create_stack(TemplateURL=f"{account.endpoint_url}/templates/template", **named)
        until(lambda: not status().endswith("IN_PROGRESS"), "the stack is made or rolled back")
        return status()

    s3 = account.session().client("s3")
    s3.create_bucket(Bucket="templates")

    def there() -> set[str]:
        # A function that runs when its log group is deleted makes it anew, as none may do on AWS.
        return {each for each in account.inventory() if not each.startswith("logs ")}

    before, resources = there(), template["Resources"]
    of_type = {each["Type"]: name for name, each in resources.items()}
    for name in only or [name for name, each in resources.items() if "Condition" not in each]:
        type_ = resources[name]["Type"]
        if only is None and type_ in ALIKE and of_type[type_] != name:
            continue

        broken = copy.deepcopy(template)
        broken["Resources"][name]["Type"] = "Custom::Fails"
        broken["Resources"][name]["Properties"]["ServiceToken"] = "arn:aws:lambda:us-east-1:000000000000:function:gone"
        assert create(broken) == "ROLLBACK_COMPLETE", name
        assert there() == before, name
        account.forget(name_of_stack)
    made = create(template)
    events = cloudformation.describe_stack_events(StackName=name_of_stack)["StackEvents"]
    assert made == "CREATE_COMPLETE", [each for each in events if "FAILED" in each["ResourceStatus"]]
    account.forget(name_of_stack)


def test_a_release_is_deployed_from_its_archive_without_this_repository(account: Account, tmp_path: Path) -> None:
    """As docs/deploy-a-release.md says: unpacked, and `sam deploy`; nothing is built."""
    architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    dist.main(tmp_path / "dist", [architecture])
    (archive,) = (tmp_path / "dist").glob("jitr-stack-*.zip")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere" / archive.stem
    deployed = account.sam("deploy", "--config-env", "dev", "--stack-name", "jitr-release", folder=folder)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    clients = account.session()
    # Its layers are those of Lambda's own Python: this machine's may not import them, and is not asked to.
    functions = {each: name for each, name in account.resources("jitr-release").items() if each.endswith("Function")}
    assert functions.keys() == {
        "RegisterFunction",
        "RecheckFunction",
        "PublishFunction",
        "NotifyFunction",
        "FleetFunction",
        "CleanupFunction",
    }
    for each, name in functions.items():
        found = clients.client("lambda").get_function(FunctionName=name)["Configuration"]
        assert found["Architectures"] == [architecture]
        assert len(found["Layers"]) == (2 if each == "PublishFunction" else 1)
    deleted = account.sam("delete", "--stack-name", "jitr-release", "--no-prompts", "--region", environment.REGION)
    assert deleted.returncode == 0, deleted.stdout + deleted.stderr


def test_the_dashboard_is_deployed_and_names_what_there_is(local_stack: LocalStack) -> None:
    name = f"{local_stack.stack_name}-{local_stack.region}"
    body = local_stack.session().client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
    (alarms,) = [each["properties"]["alarms"] for each in json.loads(body)["widgets"] if each["type"] == "alarm"]
    told = local_stack.session().client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert sorted(alarms) == sorted(each["AlarmArn"] for each in told)
    assert f'"QueueName","{local_stack.outputs["RegistrationQueueUrl"].rpartition("/")[2]}"' in body
    assert f'"TableName","{local_stack.outputs["TableName"]}"' in body
    assert "${Table" not in body
    assert local_stack.outputs["DashboardUrl"].endswith(name)


def test_guided_asks_each_parameter_what_matters_most_first_and_saves_the_answers(
    account: Account, tmp_path: Path
) -> None:
    """As `sam deploy --guided` does for the first time: nothing is answered but what becomes of the data."""
    saved = tmp_path / "samconfig.toml"
    saved.write_text("version = 0.1\n")  # a file that is named has to be there
    answers = {"DataDeletionPolicy": "Delete"}
    asked = [answers.get(name, "") for name in PARAMETERS]
    # Confirm changes; let SAM make roles; keep the roll-back; save, where; then refuse the change set.
    typed = ["jitr-guided", "", *asked, "y", "y", "n", "y", "", "", "n"]
    named = ["--config-file", str(saved), "--template-file", str(account.template), "--resolve-s3"]
    done = account.sam("deploy", "--guided", *named, typed="\n".join(typed) + "\n", folder=tmp_path)
    assert re.findall(r"Parameter (\w+) \[", done.stdout) == list(PARAMETERS), done.stdout + done.stderr
    assert "Deploy this changeset?" in done.stdout
    parameters = tomllib.loads(saved.read_text())["default"]["deploy"]["parameters"]
    assert parameters["capabilities"] == "CAPABILITY_IAM"
    assert 'DataDeletionPolicy="Delete"' in parameters["parameter_overrides"]


# --- Whoever deploys: docs/deployer/


@dataclass
class Deployer:
    """Somebody with the policies of docs/deployer/ and nothing else."""

    account: Account
    stack: str
    artifacts: str

    def __post_init__(self) -> None:
        iam = self.account.session().client("iam")
        iam.create_user(UserName=self.stack)
        keys = iam.create_access_key(UserName=self.stack)["AccessKey"]
        self.keys = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"]}
        self.account.session().client("s3").create_bucket(Bucket=self.artifacts)

    def may(self, *without: str) -> None:
        """Give the policies, less the statements that allow some actions."""
        iam = self.account.session().client("iam")
        real = {"STACK": self.stack, "REGION": environment.REGION, "ACCOUNT": environment.ACCOUNT_ID}
        for name in ("deploy", "data", "roles"):
            document = json.loads(deployer.policy(name, ARTIFACTS=self.artifacts, **real))
            kept = [each for each in document["Statement"] if not set(without) & set(each["Action"])]
            text = json.dumps(document | {"Statement": kept})
            iam.put_user_policy(UserName=self.stack, PolicyName=name, PolicyDocument=text)

    def sam(self, *words: str) -> subprocess.CompletedProcess[str]:
        named = ["--stack-name", self.stack, "--region", environment.REGION, "--config-env", "of-its-own"]
        return self.account.sam(*words, *named, who=self.keys)

    def deploys(self, *parameters: str) -> subprocess.CompletedProcess[str]:
        options = ["--s3-bucket", self.artifacts, "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset"]
        given = ["--parameter-overrides", "DataDeletionPolicy=Delete", *parameters]
        return self.sam("deploy", "--template-file", str(self.account.template), *options, *given)

    def client(self, service: Any) -> Any:
        keys = self.keys["AWS_ACCESS_KEY_ID"], self.keys["AWS_SECRET_ACCESS_KEY"]
        return session(self.account.endpoint_url, environment.REGION, *keys).client(service)


def test_whoever_has_the_least_policies_makes_changes_and_deletes_the_stack(account: Account) -> None:
    """The local stack's CloudFormation makes resources with rights of its own, so these are tried by hand as well."""
    somebody = Deployer(account, "jitr-least", "artifacts-of-ours")
    before = account.inventory()
    somebody.may("s3:PutObject")
    refused = somebody.deploys()
    assert refused.returncode != 0
    assert "AccessDenied" in refused.stdout + refused.stderr
    somebody.may("cloudformation:ExecuteChangeSet")
    assert "AccessDenied" in (refused := somebody.deploys()).stdout + refused.stderr
    somebody.may()
    for parameters in ([], ["LogLevel=DEBUG"]):
        deployed = somebody.deploys(*parameters)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    deleted = somebody.sam("delete", "--no-prompts", "--s3-bucket", somebody.artifacts)
    assert deleted.returncode == 0, deleted.stdout + deleted.stderr
    assert {each for each in account.inventory() - before if not each.startswith("logs ")} == set()
    for make, delete in MADE_BY_HAND:
        make(somebody, "jitr-least-x")
        delete(somebody, "jitr-least-x")
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            make(somebody, "another-x")


_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
ByHand = Callable[[Deployer, str], Any]
MADE_BY_HAND: list[tuple[ByHand, ByHand]] = [
    (
        lambda who, name: who.client("sqs").create_queue(QueueName=name),
        lambda who, name: who.client("sqs").delete_queue(
            QueueUrl=who.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        ),
    ),
    (
        lambda who, name: who.client("logs").create_log_group(logGroupName=name),
        lambda who, name: who.client("logs").delete_log_group(logGroupName=name),
    ),
    (
        lambda who, name: who.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=_TRUST),
        lambda who, name: who.client("iam").delete_role(RoleName=name),
    ),
    (
        lambda who, name: who.client("s3").create_bucket(Bucket=name),
        lambda who, name: who.client("s3").delete_bucket(Bucket=name),
    ),
    (
        lambda who, name: who.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        ),
        lambda who, name: who.client("dynamodb").delete_table(TableName=name),
    ),
    (
        lambda who, name: who.client("iot").create_policy(policyName=name, policyDocument=_TRUST),
        lambda who, name: who.client("iot").delete_policy(policyName=name),
    ),
]
