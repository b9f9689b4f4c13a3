#!/usr/bin/env python3
"""Has a real Jenkins say whether declarative Jenkinsfiles are valid; nothing is built there.

    export JENKINS_URL=https://jenkins.example JENKINS_USER=ann JENKINS_TOKEN=...
    python3 scripts/judge_jenkinsfile.py Jenkinsfile ...

JENKINS_TOKEN is an API token of that user (People, your name, Security). Without both it is asked as anybody.
Source: "Pipeline Development Tools", Linting via HTTP POST; "CSRF Protection", the crumb.
Exit codes: 0 all are valid; 1 one is not; 2 wrong call; 3 Jenkins cannot be asked.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from http.cookiejar import CookieJar
from pathlib import Path

TIMEOUT_S = 60
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
VALID = "Jenkinsfile successfully validated"


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    url = environ.get("JENKINS_URL", "").rstrip("/")
    if not arguments or not url:
        sys.stderr.write(__doc__ or "")
        return 2
    address = urllib.parse.urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        sys.stderr.write(f"error: JENKINS_URL must be an http or https address, not {url}\n")
        return 2
    if environ.get("JENKINS_TOKEN") and address.scheme == "http" and address.hostname not in LOOPBACK:
        sys.stderr.write("error: JENKINS_URL is plain http: the token would be read on the way. Use https.\n")
        return 2
    try:
        texts = {name: Path(name).read_text() for name in arguments}
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: not to be read: {error}\n")
        return 2
    jenkins = Jenkins(url, user=environ.get("JENKINS_USER", ""), token=environ.get("JENKINS_TOKEN", ""))
    try:
        verdicts = {name: jenkins.judge(text) for name, text in texts.items()}
    except urllib.error.HTTPError as error:
        sys.stderr.write(
            f"error: {address.hostname} answers {error.code} {error.reason}. {advise(error.code)}\n"
        )
        return 3
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {address.hostname} cannot be asked: {error}\n")
        return 3
    for name, verdict in verdicts.items():
        sys.stdout.write(f"{name}: {verdict}\n")
    return 0 if all(verdict.startswith(VALID) for verdict in verdicts.values()) else 1


def advise(code: int) -> str:
    """What to look at first."""
    if code in (401, 403):
        return "JENKINS_USER and JENKINS_TOKEN must be those of somebody who may read there."
    if code == 404:
        return "Has it the plugin Pipeline: Declarative, and is JENKINS_URL its root?"
    return "See Jenkins's own log."


class Jenkins:
    """One server, as one user; the crumb that it hands out counts for one session, which the cookie is."""

    def __init__(self, url: str, *, user: str, token: str) -> None:
        self._url = url
        self._headers = {}
        if user and token:
            pair = base64.b64encode(f"{user}:{token}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        # A redirect would take the token along to wherever it points.
        self._opener = urllib.request.build_opener(cookies, _StayHere())

    def judge(self, text: str) -> str:
        """What its declarative validator says. Raises: HTTPError, OSError."""
        form = urllib.parse.urlencode({"jenkinsfile": text}).encode()
        return self._open("/pipeline-model-converter/validate", form, self._read_crumb()).strip()

    def _read_crumb(self) -> dict[str, str]:
        """The header that a POST must bear; none where the server issues none."""
        try:
            issued = json.loads(self._open("/crumbIssuer/api/json"))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise
        return {issued["crumbRequestField"]: issued["crumb"]}

    def _open(self, path: str, form: bytes | None = None, headers: Mapping[str, str] | None = None) -> str:
        request = urllib.request.Request(  # noqa: S310 - http or https, as main has seen
            self._url + path, data=form, headers={**self._headers, **(headers or {})}
        )
        with self._opener.open(request, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read()
        return body.decode()


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object) -> None:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
