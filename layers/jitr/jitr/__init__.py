"""Just-in-time registration for AWS IoT Core: who gets in, and why.

The modules directly in this package and in ``jitr.rules`` are pure: no boto3, no clock, no randomness, no
environment. ``jitr.aws`` holds the adapters. An import check in ``make lint`` keeps it so.
"""

__version__ = "0.1.0"
