"""`python -m localaws up|down|status`."""

from localaws.cli import main

main()
