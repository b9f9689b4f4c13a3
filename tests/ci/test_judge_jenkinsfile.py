"""scripts/judge_jenkinsfile.py against a server that asks for what a Jenkins asks for."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from front_ends import ROOT

GRANTED = "Basic " + base64.b64encode(b"ann:s3cret-token").decode()
# It shows the line, which may say anything.
SAYS = """Errors encountered validating Jenkinsfile:
WorkflowScript: 3: Expected a stage @ line 3, column 5.
     echo 'Jenkinsfile successfully validated.'"""


class Handler(BaseHTTPRequestHandler):
    """A crumb that counts with its session's cookie only, and the validator's two answers."""

    def do_GET(self) -> None:
        if self.path != "/prefix/crumbIssuer/api/json":
            self.answer(404)
        elif self.headers["Authorization"] != GRANTED:
            self.answer(401)
        elif self.server.server_name == "without crumbs":
            self.answer(404)
        else:
            crumb = json.dumps({"crumb": "c-1", "crumbRequestField": "Jenkins-Crumb"})
            self.answer(200, crumb, cookie="JSESSIONID=s-1; Path=/prefix; HttpOnly")

    def do_POST(self) -> None:
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        is_in_session = (self.headers["Jenkins-Crumb"], self.headers["Cookie"]) == ("c-1", "JSESSIONID=s-1")
        if self.headers["Authorization"] != GRANTED:
            self.answer(401)
        elif self.server.server_name != "without crumbs" and not is_in_session:
            self.answer(403, "No valid crumb was included in the request")
        elif self.path != "/prefix/pipeline-model-converter/validate":
            self.answer(404)
        else:
            is_valid = "stages {" in form["jenkinsfile"][0]
            self.answer(200, "Jenkinsfile successfully validated.\n" if is_valid else SAYS)

    def answer(self, code: int, body: str = "", *, cookie: str = "") -> None:
        self.send_response(code)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_arguments: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def judge(*files: str, port: int, **environ: str) -> subprocess.CompletedProcess[str]:
    given = {
        "JENKINS_URL": f"http://127.0.0.1:{port}/prefix/",
        "JENKINS_USER": "ann",
        "JENKINS_TOKEN": "s3cret-token",
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "judge_jenkinsfile.py"), *files],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **given, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["", "without crumbs"])
def test_our_jenkinsfiles_are_shown_to_it(server: ThreadingHTTPServer, name: str) -> None:
    server.server_name = name

    done = judge("Jenkinsfile", "Jenkinsfile.drift", port=server.server_port)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("successfully validated") == 2
    assert "s3cret" not in done.stdout + done.stderr


def test_what_it_refuses_is_told_in_its_words(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "Jenkinsfile").write_text("pipeline {\n  agent any\n  stage {}\n}\n")

    done = judge("Jenkinsfile", str(tmp_path / "Jenkinsfile"), port=server.server_port)

    assert done.returncode == 1
    assert SAYS in done.stdout


@pytest.mark.parametrize(
    ("environ", "code", "text"),
    [
        ({"JENKINS_TOKEN": "gu3ssed"}, 3, "answers 401"),
        ({"JENKINS_URL": "http://127.0.0.1:1"}, 3, "cannot be asked"),
        ({"JENKINS_URL": ""}, 2, "Exit codes"),
        ({"JENKINS_URL": "file:///etc"}, 2, "must be an http or https address"),
        ({"JENKINS_URL": "http://jenkins.example"}, 2, "the token would be read"),
    ],
)
def test_why_it_cannot_be_asked_is_told(
    server: ThreadingHTTPServer, environ: dict[str, str], code: int, text: str
) -> None:
    done = judge("Jenkinsfile", port=server.server_port, **environ)

    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "gu3ssed" not in done.stderr


def test_a_file_that_is_not_there_is_not_jenkinss_matter(server: ThreadingHTTPServer) -> None:
    done = judge("Jenkinsfile", "Jenkinsfile.gone", port=server.server_port)

    assert done.returncode == 2
    assert "not to be read" in done.stderr
    assert "Jenkinsfile.gone" in done.stderr


def test_another_page_is_no_success(server: ThreadingHTTPServer) -> None:
    server.server_name = "without crumbs"

    done = judge("Jenkinsfile", port=server.server_port, JENKINS_URL=f"http://127.0.0.1:{server.server_port}")

    assert done.returncode == 3
    assert "is JENKINS_URL its root?" in done.stderr
