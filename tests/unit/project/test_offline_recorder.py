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

MACHINES = bytes(12)
IPV4 = b"\x08\x00"
IPV6 = b"\x86\xdd"
TCP, UDP, ICMP = 6, 17, 1


def version_4(protocol: int, payload: bytes) -> bytes:
    """A frame to 203.0.113.5 with a packet header of 20 bytes."""
    return (
        MACHINES
        + IPV4
        + b"\x45"
        + bytes(8)
        + bytes([protocol])
        + bytes(6)
        + bytes([203, 0, 113, 5])
        + payload
    )


def version_6(protocol: int, payload: bytes) -> bytes:
    """A frame to 2001:db8::5."""
    address = bytes.fromhex("20010db8000000000000000000000005")
    return MACHINES + IPV6 + bytes(6) + bytes([protocol]) + bytes(17) + address + payload


def ports(destination_port: int) -> bytes:
    return bytes([0x80, 0]) + destination_port.to_bytes(2, "big") + bytes(4)


def test_a_connection_is_told_by_address_and_port() -> None:
    assert destination(version_4(TCP, ports(443))) == "203.0.113.5:443"
    assert destination(version_6(TCP, ports(443))) == "[2001:db8::5]:443"


def test_a_name_lookup_is_told_by_its_name() -> None:
    question = bytes(12) + b"\x03sts\x09amazonaws\x03com\x00" + bytes(4)

    assert destination(version_4(UDP, ports(53) + question)) == "203.0.113.5:53 for sts.amazonaws.com"


def test_a_packet_without_ports_is_told_by_its_protocol() -> None:
    assert destination(version_4(ICMP, bytes(8))) == "203.0.113.5 protocol 1"


def test_any_other_frame_is_told_by_its_protocol() -> None:
    assert destination(MACHINES + b"\x08\x06") == "protocol 0x0806"


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
