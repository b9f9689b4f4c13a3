#!/usr/bin/env python3
"""Prints who let this run of GitHub Actions into an environment: the login of its reviewer.

    APPROVER=$(python3 scripts/reviewer.py production)

Reads GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_RUN_ID and GITHUB_TOKEN, which needs `actions: read`.
Source: REST API, "Get the review history for a workflow run". Exit code 1: nobody did, or GitHub cannot say.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

TIMEOUT_S = 30


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(__doc__ or "")
        return 2
    try:
        reviewer = find_reviewer(read_reviews(environ), environment=arguments[0])
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"error: GitHub does not say who reviewed this run: {error!r}\n")
        return 1
    if reviewer is None:
        sys.stderr.write(
            f"error: nobody let this run into {arguments[0]}. Give that environment required reviewers.\n"
        )
        return 1
    sys.stdout.write(f"{reviewer}\n")
    return 0


def read_reviews(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    path = f"repos/{environ['GITHUB_REPOSITORY']}/actions/runs/{environ['GITHUB_RUN_ID']}/approvals"
    request = urllib.request.Request(  # noqa: S310 - the address is GitHub's own, of the job's environment
        f"{environ['GITHUB_API_URL']}/{path}",
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {environ['GITHUB_TOKEN']}",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        reviews: list[dict[str, Any]] = json.load(answer)
    return reviews


def find_reviewer(reviews: Sequence[Mapping[str, Any]], *, environment: str) -> str | None:
    """Who approved this environment; None where nobody did, or anybody said no."""
    of_it = [
        review
        for review in reviews
        if any(reviewed["name"] == environment for reviewed in review["environments"])
    ]
    if not of_it or any(review["state"] != "approved" for review in of_it):
        return None
    return str(of_it[-1]["user"]["login"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
