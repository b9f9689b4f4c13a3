"""The generator of iac's READMEs, on small modules of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import iac_readmes

README = "# queue\n\nKeeps messages.\n\n<!-- example -->\n\n<!-- tables -->\n"
VARIABLES = """
variable "names" {
  description = <<-TEXT
    Names of the queue | its alarm,
    by "kind".
  TEXT
  type        = map(object({ queue = string, alarm = optional(string, "x") }))
  default     = { a = { queue = "b" } }
}

variable "retention_s" {
  description = "Seconds for which a message is kept."
  type        = number
}
"""
TIME = '  description = "Seconds for which a message is kept."\n'
OUTPUTS = 'output "arn" {\n  description = "ARN of the queue."\n  value       = "x"\n}\n'
EXAMPLE = 'module "queue" {\n  source      = "../.."\n  retention_s = 60\n}\n'


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A tree with one module, `queue`, and roots without any input."""
    for folder in (*iac_readmes.ROOTS, "modules/queue/examples/basic"):
        (tmp_path / folder).mkdir(parents=True)
    for root in iac_readmes.ROOTS:
        (tmp_path / root / "README.md").write_text("# root\n\n<!-- tables -->\n\n")
    folder = tmp_path / "modules" / "queue"
    (folder / "README.md").write_text(README)
    (folder / "versions.tf").write_text("terraform {}\n")
    (folder / "variables.tf").write_text(VARIABLES)
    (folder / "outputs.tf").write_text(OUTPUTS)
    (folder / "examples" / "basic" / "main.tf").write_text(EXAMPLE)
    return folder


def run(module: Path, *arguments: str) -> int:
    return iac_readmes.main(list(arguments), module.parent.parent)


def test_the_readme_gets_the_example_and_the_tables(module: Path) -> None:
    assert run(module) == 0

    assert (module / "README.md").read_text() == (
        "# queue\n\nKeeps messages.\n\n<!-- example -->\n\n```hcl\n" + EXAMPLE + "```\n\n<!-- tables -->\n\n"
        "| input | type | default | description |\n|---|---|---|---|\n"
        '| `names` | `map(object)` | `{a = {queue = "b"}}` | Names of the queue \\| its alarm, by "kind". |\n'
        "| `retention_s` | `number` | required | Seconds for which a message is kept. |\n"
        "\n| output | description |\n|---|---|\n| `arn` | ARN of the queue. |\n"
    )


def test_writing_again_changes_nothing(module: Path) -> None:
    run(module)

    assert run(module, "--check") == 0


@pytest.mark.parametrize("file", ["variables.tf", "outputs.tf", "examples/basic/main.tf"])
def test_a_readme_that_is_behind_its_code_is_red(
    module: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(module)
    code = module / file
    code.write_text(code.read_text().replace("queue", "line").replace("the line", "a line"))

    assert run(module, "--check") == 1
    assert "modules/queue/README.md. Run `make docs`." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("variables.tf", TIME, "variable retention_s has no description"),
        ("variables.tf", "  type        = number\n", "retention_s has no type"),
        ("outputs.tf", '  description = "ARN of the queue."\n', "output arn has no description"),
        ("README.md", "<!-- tables -->\n", "lacks the line <!-- tables -->"),
        ("README.md", "<!-- example -->\n", "lacks the line <!-- example -->"),
    ],
)
def test_what_is_missing_is_named(
    module: Path, file: str, line: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (module / file).write_text((module / file).read_text().replace(line, ""))

    assert run(module, "--check") == 1
    assert complaint in capsys.readouterr().err
