"""What each built function consists of, and a look at what it imports."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
FUNCTIONS = sorted(path.name for path in (ROOT / "functions").iterdir() if (path / "app.py").exists())


# Prints where each module came from that is not Python's own, and whether the handler can be called.
PROBE = """
import json, sys
sys.path = json.loads(sys.argv[1]) + sys.path
import app
files = [module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)]
print(json.dumps({"callable": callable(app.handler), "files": files}))
"""


def layers(name: str) -> list[str]:
    """Which layers a function has."""
    return ["JitrLayer", "YamlLayer"] if name == "publish" else ["JitrLayer"]
