"""The state of a deployment, and what needs attention."""
