"""AWS's API models, read once for all tests: they take most of the time it takes to make a client."""

import botocore.loaders

_API_MODELS = botocore.loaders.create_loader()


def api_models(path: str | None = None) -> botocore.loaders.Loader:
    """Return AWS's API models as they were read already, or those that are in a folder, where one is named."""
    return _API_MODELS if path is None else botocore.loaders.create_loader(path)
