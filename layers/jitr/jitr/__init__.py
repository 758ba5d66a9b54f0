"""Just-in-time registration for AWS IoT Core: who gets in, and why.

CONTRIBUTING.md says what is in which room, and which rooms are pure: no boto3, no clock, no randomness, no environment.
"""

import os

__version__ = "0.1.0"

# The one question that pure code asks about where it runs, and no result depends on the answer: whether classes are
# made cheaply, for a cold start, or so that mistakes show (``jitr.values``). They are made as their modules are
# imported: an argument would come too late, and the next function would forget a switch before its imports.
IN_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME" in os.environ  # of Lambda's making
