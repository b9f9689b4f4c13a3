"""The recorder behind `benchmarks/offline.py` sees what it must see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from offline import destination

ETHERNET = bytes(12)


def test_the_destination_of_a_version_4_packet_is_its_address() -> None:
    packet = bytes(16) + bytes([203, 0, 113, 5])

    assert destination(ETHERNET + b"\x08\x00" + packet) == "203.0.113.5"


def test_the_destination_of_a_version_6_packet_is_its_address() -> None:
    packet = bytes(24) + bytes.fromhex("20010db8000000000000000000000005")

    assert destination(ETHERNET + b"\x86\xdd" + packet) == "2001:db8::5"


def test_any_other_frame_is_named_by_its_protocol() -> None:
    assert destination(ETHERNET + b"\x08\x06") == "protocol 0x0806"


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip"),
    reason="a network namespace needs Linux, root and iproute2",
)
def test_a_planted_connection_is_seen_and_silence_is_silent() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import offline;"
        " offline.build_network(); recorder = offline.Recorder(offline.INTERFACE);"
        " assert recorder.take() == {};"
        " offline.plant_connection(); offline.demand_sight(recorder, offline.PLANTED, 'it');"
        " offline.demand_sight(recorder, offline.PLANTED, 'nothing')"
    )

    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-c", program], capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "did not see nothing" in done.stderr
