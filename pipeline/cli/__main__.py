"""`python -m pipeline.cli`, the same as `mlops`."""

from pipeline.cli import main

main()
