"""The environment of a function, as the template gives it to RegisterFunction, in an account where nothing answers."""

from testkit.event_files import ACCOUNT

NOWHERE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "JITR_TABLE": "table",
    "JITR_REGISTRATION_QUEUE_URL": "http://127.0.0.1:1/queue",
    "JITR_FAILURES_QUEUE_URL": "http://127.0.0.1:1/failures",
    "JITR_ACCOUNT_ID": ACCOUNT,
    "JITR_CERTIFICATE_QUOTA": "10",
    "JITR_POLICY_QUOTA": "15",
    "JITR_THING_QUOTA": "100",
    "JITR_OCSP_PER_SECOND": "10",
    "JITR_QUOTA_SHARE": "96",
    "JITR_MAXIMUM_CONCURRENCY": "8",
}
