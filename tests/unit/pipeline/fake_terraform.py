"""A small program in the place of Terraform: says what it was told to, remembers how it was called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PROGRAM = """#!/bin/sh
here=$(dirname "$0")
printf '%s\\n' "$*" >> "$here/calls"
env > "$here/environment"
for word in "$@"; do case $word in -out=*) echo plan > "${word#-out=}";; esac; done
[ -f "$here/$1.sleep" ] && sleep "$(cat "$here/$1.sleep")"
[ -f "$here/$1.out" ] && cat "$here/$1.out"
[ -f "$here/$1.err" ] && cat "$here/$1.err" >&2
exit "$(cat "$here/$1.code" 2>/dev/null || echo 0)"
"""


class FakeTerraform:
    """Its answers are files beside it, named after Terraform's commands."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.binary = folder / "terraform"
        self.binary.write_text(_PROGRAM)
        self.binary.chmod(0o755)

    def answer(
        self, command: str, out: str = "", *, err: str = "", code: int = 0, sleep_s: float = 0
    ) -> None:
        parts: dict[str, Any] = {"out": out, "err": err, "code": code}
        for suffix, content in parts.items():
            (self._folder / f"{command}.{suffix}").write_text(str(content))
        if sleep_s:
            (self._folder / f"{command}.sleep").write_text(str(sleep_s))

    def answer_lines(self, command: str, *lines: dict[str, Any], code: int = 0) -> None:
        self.answer(command, "".join(json.dumps(line) + "\n" for line in lines), code=code)

    @property
    def calls(self) -> list[str]:
        file = self._folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        """What the last call was given."""
        lines = (self._folder / "environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)
