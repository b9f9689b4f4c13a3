"""checkov's own way to find checks: every module of this folder."""

from pathlib import Path

__all__ = [file.stem for file in Path(__file__).parent.glob("*.py") if file.stem != "__init__"]
