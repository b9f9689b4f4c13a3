"""Proof that the demo connects to nothing outside this machine. Linux, as root.

    python benchmarks/offline.py [--runtime process|container ...]

Each demo runs in a network namespace of its own, whose only way out is an interface that leads nowhere; every
packet that anything sends to it - Terraform, the provider, the local AWS, a job, a container behind its
bridge, a name lookup - is recorded. For containers a Docker engine of its own runs in there too. First the
recorder is tried: a planted connection, a planted name lookup and one from inside a container must be seen,
or nothing is proven. Writes build/bench/offline.json; exit code 1 when a packet was seen or a demo failed.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployment import RESULTS, Deployment, write_result

# Addresses that are reserved for documentation: nobody has them.
OWN_ADDRESSES = ("192.0.2.2/24", "2001:db8::2/64")
NAME_SERVER = "192.0.2.53"
PLANTED_NAME = "planted.example"
PLANTED_ADDRESS = ("203.0.113.5", 443)
PLANTED = "203.0.113.5:443"
PLANTED_LOOKUP = f"{NAME_SERVER}:53 for {PLANTED_NAME}"
INTERFACE = "outside"
PORTS = {"process": 4738, "container": 4739}
ETHERNET_BYTES = 14
UDP_HEADER_BYTES = 8
TCP, UDP = 6, 17
ENGINE_LIMIT_S = 60.0


def destination(frame: bytes) -> str:
    """Where an Ethernet frame wants to go, as `address:port`; of a name look-up also the name."""
    kind, packet = int.from_bytes(frame[12:14], "big"), frame[ETHERNET_BYTES:]
    if kind == 0x0800:
        address, protocol = str(ipaddress.IPv4Address(packet[16:20])), packet[9]
        payload = packet[(packet[0] & 0x0F) * 4 :]
    elif kind == 0x86DD:
        address, protocol = f"[{ipaddress.IPv6Address(packet[24:40])}]", packet[6]
        payload = packet[40:]
    else:
        return f"protocol {kind:#06x}"
    if protocol not in (TCP, UDP):
        return f"{address} protocol {protocol}"
    port = int.from_bytes(payload[2:4], "big")
    asked = f" for {asked_name(payload[UDP_HEADER_BYTES:])}" if (protocol, port) == (UDP, 53) else ""
    return f"{address}:{port}{asked}"


def asked_name(question: bytes) -> str:
    """The name in a DNS question: labels, each after its length, behind a header of 12 bytes."""
    labels, at = [], 12
    while at < len(question) and question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
        at += 1 + question[at]
    return ".".join(labels)


class Recorder:
    """Notes, per destination, how many packets leave by the interface and when the first one did."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind((interface, 0))
        self._seen: dict[str, list[float]] = {}
        self._since = time.monotonic()
        threading.Thread(target=self._record, daemon=True).start()

    def _record(self) -> None:
        while True:
            where = destination(self._socket.recv(65535))
            self._seen.setdefault(where, []).append(time.monotonic() - self._since)

    def take(self) -> dict[str, dict[str, float]]:
        """What was seen since the last call."""
        time.sleep(0.2)  # the last packet may still be on its way to us
        seen, self._seen, self._since = self._seen, {}, time.monotonic()
        return {
            where: {"packets": len(moments), "first_after_s": round(moments[0], 1)}
            for where, moments in seen.items()
        }


def enter_namespace() -> None:
    """Starts this program again in network and mount namespaces of its own."""
    os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv, "--inside"])  # noqa: S606


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def build_network() -> None:
    """Loopback, and a default route over a cable whose other end nobody holds."""
    ip("link", "set", "lo", "up")
    ip("link", "add", INTERFACE, "type", "veth", "peer", "name", "nowhere")
    for link in (INTERFACE, "nowhere"):
        # No address resolution and no router discovery: the kernel itself must send nothing.
        ip("link", "set", link, "addrgenmode", "none", "arp", "off", "up")
    for address in OWN_ADDRESSES:
        ip("addr", "add", address, "dev", INTERFACE, *(["nodad"] if ":" in address else []))
    ip("route", "add", "default", "dev", INTERFACE)
    ip("-6", "route", "add", "default", "dev", INTERFACE)
    # A name server on loopback, as systemd-resolved is, would swallow look-ups unseen.
    resolver = Path(tempfile.mkdtemp()) / "resolv.conf"
    resolver.write_text(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", str(resolver), os.path.realpath("/etc/resolv.conf")], check=True)


def plant_connection() -> None:
    try:
        socket.create_connection(PLANTED_ADDRESS, timeout=0.2).close()
    except OSError:
        return


def plant_lookup() -> None:
    try:
        socket.getaddrinfo(PLANTED_NAME, 443)
    except OSError:
        return


def demand_sight(recorder: Recorder, where: str, what: str) -> None:
    seen = recorder.take()
    if where not in seen:
        raise SystemExit(f"the recorder did not see {what} ({where}); it saw {seen}: nothing is proven")


@contextmanager
def own_engine(base_image: str) -> Iterator[dict[str, str]]:
    """A Docker engine in this namespace that has the base image; the variables that lead to it."""
    tar = RESULTS / "base.tar"
    # By its socket: the machine's own engine lives outside, and that it is reached does no harm here.
    subprocess.run(["docker", "save", "-o", str(tar), base_image], check=True)
    folder = Path(tempfile.mkdtemp(prefix="offline-engine-"))
    address = f"unix://{folder}/docker.sock"
    options = [f"--host={address}", f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
    log = (RESULTS / "offline-engine.log").open("w")
    engine = subprocess.Popen(
        ["dockerd", *options, f"--pidfile={folder}/docker.pid"], stdout=log, stderr=subprocess.STDOUT
    )
    variables = {"DOCKER_HOST": address, "MLOPS_BASE_IMAGE": base_image}
    try:
        wait_for(["docker", "version"], variables)
        subprocess.run(["docker", "load", "-q", "-i", str(tar)], check=True, env={**os.environ, **variables})
        yield variables
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait(timeout=ENGINE_LIMIT_S)
        shutil.rmtree(folder, ignore_errors=True)
        tar.unlink()


def wait_for(command: list[str], variables: dict[str, str]) -> None:
    deadline = time.monotonic() + ENGINE_LIMIT_S
    while subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, check=False
    ).returncode:
        if time.monotonic() > deadline:
            raise SystemExit(f"{' '.join(command)} fails; see build/bench/offline-engine.log")
        time.sleep(0.2)


def plant_in_container(variables: dict[str, str]) -> None:
    program = f"import socket; socket.create_connection({PLANTED_ADDRESS!r}, timeout=0.5)"
    command = ["docker", "run", "--rm", variables["MLOPS_BASE_IMAGE"], "python3", "-c", program]
    subprocess.run(command, env={**os.environ, **variables}, capture_output=True, check=False)


def observe_demo(recorder: Recorder, runtime: str, variables: dict[str, str]) -> dict[str, Any]:
    """One whole demo, teardown included: its exit code and the packets that wanted out."""
    deployment = Deployment(RESULTS / f"offline-{runtime}", PORTS[runtime], runtime, variables)
    ended = deployment.demo()
    (RESULTS / f"offline-{runtime}.log").write_text(ended.stdout + ended.stderr)
    return {"exit_code": ended.returncode, "packets_by_destination": recorder.take()}


def observe(runtimes: list[str]) -> dict[str, Any]:
    build_network()
    recorder = Recorder(INTERFACE)
    plant_connection()
    demand_sight(recorder, PLANTED, "a planted connection")
    plant_lookup()
    demand_sight(recorder, PLANTED_LOOKUP, "a planted name lookup")
    results = {}
    if "process" in runtimes:
        results["process"] = observe_demo(recorder, "process", {"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    if "container" in runtimes:
        base_image = os.environ.get("MLOPS_BASE_IMAGE", "local/python:3.11-bookworm")
        with own_engine(base_image) as variables:
            plant_in_container(variables)
            demand_sight(recorder, PLANTED, "a planted connection from a container")
            results["container"] = observe_demo(recorder, "container", variables)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runtime", action="append", choices=list(PORTS), help="again for both (default)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if sys.platform != "linux" or os.geteuid() != 0:
        raise SystemExit("offline.py needs Linux and root: it makes a network namespace.")
    if not arguments.inside:
        enter_namespace()
    RESULTS.mkdir(parents=True, exist_ok=True)
    results = observe(arguments.runtime or list(PORTS))
    write_result("offline", {"planted_connections_seen": True, **results})
    clean = all(r["exit_code"] == 0 and not r["packets_by_destination"] for r in results.values())
    raise SystemExit(0 if clean else 1)


if __name__ == "__main__":
    main()
