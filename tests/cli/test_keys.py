"""Private keys that commands write: for their owner only, whatever is there already; and those that nobody keeps."""

import ast
import gc
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testkit.cli.cas import create
from testkit.cli.command_line import Aws, Run

from jitr_local.folder import write_private
from jitr_operations.issuing import pki

ROOT = Path(__file__).parents[2]
# Every command that writes a key, and the file.
COMMANDS = {
    "ca create": (("ca", "create", "factory-b"), "factory-b.key"),
    "ca create, below a parent": (
        ("ca", "create", "batch-7", "--parent", "ca.pem", "--parent-key", "ca.key"),
        "batch-7.key",
    ),
    "device issue": (("device", "issue", "snr-0001", "--ca", "ca.pem"), "snr-0001.key"),
    "device issue --from": (("device", "issue", "--from", "order.csv", "--ca", "ca.pem"), "snr-0009.key"),
}


@pytest.fixture(autouse=True)
def _open_umask(run: Run, workdir: Path) -> Iterator[None]:
    """A CA and an order to issue from, and the umask of whoever does not care."""
    create(run, "ca")
    (workdir / "order.csv").write_text("common_name\nsnr-0009\n")
    previous = os.umask(0)
    yield
    os.umask(previous)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_key_is_for_its_owner_only_whatever_the_umask(run: Run, workdir: Path, command: str) -> None:
    arguments, file = COMMANDS[command]
    assert run(*arguments).exit_code == 0
    assert mode(workdir / file) == 0o600
    assert "PRIVATE KEY" in (workdir / file).read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_key_in_place_of_a_file_that_all_may_read_is_not_readable_by_all(
    run: Run, workdir: Path, command: str
) -> None:
    """A file that is open already stays with whoever opened it, and never has the new key in it."""
    arguments, file = COMMANDS[command]
    (workdir / file).write_text("old")
    (workdir / file).chmod(0o666)
    with (workdir / file).open() as opened:
        assert run(*arguments).exit_code == 2, "without --force nothing is replaced"
        assert (workdir / file).read_text() == "old"
        assert run(*arguments, "--force").exit_code == 0
        assert opened.read() == "old"
    assert mode(workdir / file) == 0o600


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_key_is_not_written_through_a_symbolic_link(run: Run, workdir: Path, command: str, there: bool) -> None:
    arguments, file = COMMANDS[command]
    elsewhere = workdir / "elsewhere"
    if there:
        elsewhere.write_text("theirs")
        elsewhere.chmod(0o666)
    (workdir / file).symlink_to(elsewhere)
    assert run(*arguments).exit_code == 2
    assert run(*arguments, "--force").exit_code == 0
    assert not (workdir / file).is_symlink()
    assert mode(workdir / file) == 0o600
    assert elsewhere.exists() == there
    assert not there or elsewhere.read_text() == "theirs"


def _calls(path: Path) -> Iterator[tuple[str, ast.Call, list[ast.AST]]]:
    """Every call in a module, by the name of what is called, with what it stands in, the nearest first."""
    tree = ast.parse(path.read_text())
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            around: list[ast.AST] = []
            at: ast.AST = node
            while at in parents:
                at = parents[at]
                around.append(at)
            yield getattr(node.func, "attr", getattr(node.func, "id", "")), node, around


def _private(call: ast.AST) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", "")) if isinstance(call, ast.Call) else ""
    if name == "write_private":
        return True
    given = {each.arg: each.value for each in call.keywords} if isinstance(call, ast.Call) else {}
    return name == "write" and isinstance(given.get("private"), ast.Constant) and given["private"].value is True  # type: ignore[attr-defined]


def test_every_key_is_written_by_what_writes_for_the_owner_only() -> None:
    """Whoever adds a command that writes a key finds the test above, or this one."""
    found = []
    for path in sorted([*ROOT.glob("cli/**/*.py"), *ROOT.glob("local/jitr_local/*.py")]):
        for name, _, around in _calls(path):
            inside = next((each.name for each in around if isinstance(each, ast.FunctionDef)), "")
            if name == "private_bytes":
                assert inside == "private_pem", f"{path.name}: private_pem is the one way to a key's bytes"
            if name == "private_pem":
                assert any(map(_private, around)), f"{path.name}: a key that is not written for its owner only"
                found.append(f"{path.parent.name}/{path.name}")
    assert {"ca/create.py", "issuing/devices.py"} <= set(found)


# --- keys for proof of possession: for one signature


@pytest.mark.parametrize(
    "arguments",
    [
        ("ca", "register", "ca.pem", "--key", "ca.key"),
        ("ca", "verification-csr", "--out", "verification.csr"),
        ("ca", "verification-csr"),
    ],
    ids=["register", "verification-csr --out", "verification-csr"],
)
def test_a_verification_key_is_nowhere_once_it_has_been_used(
    run: Run, aws: Aws, workdir: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """It is in no file, no output and no call to AWS, and nothing in memory refers to it any more."""
    made: list[Any] = []
    new_key = pki.new_key

    def noted(kind: pki.KeyType) -> Any:
        made.append(new_key(kind))
        return made[-1]

    monkeypatch.setattr(pki, "new_key", noted)
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    (key,) = made
    secrets = {line for line in pki.private_pem(key).decode().splitlines() if "-----" not in line}
    texts = [result.stdout, result.stderr, repr(aws.calls)]
    texts += [path.read_bytes().decode("utf-8", "replace") for path in workdir.rglob("*") if path.is_file()]
    assert not [line for line in secrets for text in texts if line in text]
    left = {path for path in workdir.rglob("*") if path.is_file() and path not in before}
    assert left <= {workdir / "verification.csr"}
    del result
    gc.collect()
    here = [made, gc, locals()]
    others = [each for each in gc.get_referrers(key) if not any(each is known for known in here)]
    assert not [each for each in others if type(each).__name__ != "frame"]


def test_the_keys_of_the_local_stack_are_its_owner_s(workdir: Path) -> None:
    (workdir / "state").write_text("old")
    (workdir / "state").chmod(0o666)
    write_private(workdir / "state", "secret")
    assert mode(workdir / "state") == 0o600
