"""The decision on one device: every check, the verdict, the grant, and the plan that carries it out."""
