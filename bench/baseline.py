"""What AWS's public example of just-in-time registration does, written anew: policy, attachment, activation.

AWS IoT blog, "Just-in-time registration of device certificates on AWS IoT", and its example function: for each
event it creates an IoT policy for the certificate, attaches it, and sets the certificate ACTIVE. The topic rule
invokes it asynchronously; Lambda tries a failed event twice more, after one minute and after two more, and then it is
gone (AWS Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation").
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

_DOCUMENT = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["iot:Connect", "iot:Publish"], "Resource": "*"}],
    }
)

# Seconds from a failure to the next try.
RETRIES_AFTER = (60.0, 120.0)


def handle(event: Mapping[str, Any], iot: "IoTClient", arn_of_certificates: str) -> None:
    """Let one device in, whoever it is."""
    certificate = event["certificateId"]
    policy = f"Policy-{certificate}"
    try:
        iot.create_policy(policyName=policy, policyDocument=_DOCUMENT)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
            raise
    iot.attach_policy(policyName=policy, target=f"{arn_of_certificates}/{certificate}")
    iot.update_certificate(certificateId=certificate, newStatus="ACTIVE")
