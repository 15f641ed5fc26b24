"""The ts blocks of README.md, as one module, against the types of the official client."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from .harness import JS, ROOT

TSC = JS / "node_modules" / "typescript" / "bin" / "tsc"
CLIENT_TYPES = JS / "node_modules" / "sio48" / "build" / "esm" / "index.d.ts"
CONFIG = 'export const WS_URL = "http://127.0.0.1:8008";\nexport const SIO_PATH = "/socket.io";\n'
OPTIONS = {
    "strict": True,
    "noEmit": True,
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "lib": ["es2022", "dom"],
    "types": [],
    "skipLibCheck": True,
    "paths": {"socket.io-client": [str(CLIENT_TYPES)]},
}


def snippets(text: str) -> str:
    """The ts blocks alone, on the lines on which they stand in the text."""
    kept, is_inside = [], False
    for line in text.splitlines():
        is_fence = line.startswith("```")
        kept.append(line if is_inside and not is_fence else "")
        if is_fence:
            is_inside = line == "```ts"
    return "\n".join(kept) + "\n"


def complaints(node: str, source: str, folder: Path) -> list[str]:
    """`line: message` for each error of a module."""
    (folder / "snippets").mkdir()
    (folder / "config.ts").write_text(CONFIG)
    (folder / "snippets" / "README.ts").write_text(source)
    config = {"compilerOptions": OPTIONS, "files": ["snippets/README.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(config))
    command = [node, str(TSC), "--pretty", "false", "-p", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    found = re.findall(r"^snippets/README\.ts\((\d+),\d+\): error (.*)", done.stdout, re.MULTILINE)
    assert bool(found) == (done.returncode != 0), done.stdout + done.stderr
    return [f"{line}: {message}" for line, message in found]


def test_the_snippets_of_the_readme(javascript: str, tmp_path: Path) -> None:
    source = snippets((ROOT / "README.md").read_text())
    assert source.strip(), "README.md has no ```ts block"
    assert complaints(javascript, source, tmp_path) == []


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("io(WS_URL, { path: 7 });", "TS2322: Type 'number' is not assignable to type 'string'."),
        ("io(WS_URL, { pfad: SIO_PATH });", "TS2353: Object literal may only specify known"),
        ("io(WS_URL).emitt('message');", "TS2551: Property 'emitt' does not exist on type"),
    ],
)
def test_the_check_sees_what_it_should(
    javascript: str, tmp_path: Path, line: str, error: str
) -> None:
    imports = (
        "import { io } from 'socket.io-client';\nimport { WS_URL, SIO_PATH } from '../config';"
    )
    text = f"# Title\n```ts\n{imports}\n```\ntext\n```python\nx = 1\n```\n```ts\n{line}\n```\n"
    [found] = complaints(javascript, snippets(text), tmp_path)
    assert found.startswith(f"11: {error}")
