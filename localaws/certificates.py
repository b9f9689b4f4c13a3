"""The server's certificate and the authority that signed it, made anew at each `up`."""

from __future__ import annotations

import trustme

from localaws.settings import HOST, Settings


def write_certificates(settings: Settings) -> None:
    """Writes the authority (`ca.pem`), the server's certificate and its key."""
    authority = trustme.CA(organization_name="local AWS")
    server = authority.issue_cert("localhost", HOST)
    authority.cert_pem.write_to_path(settings.ca_file)
    certificate = b"".join(blob.bytes() for blob in server.cert_chain_pems)
    settings.certificate_file.write_bytes(certificate)
    settings.key_file.touch(mode=0o600)
    settings.key_file.write_bytes(server.private_key_pem.bytes())
