"""One root key, and its signature is checked.

ministack 1.5.33 takes the key `test`, every 12-digit key and the configured key for root, with any secret.
Here only the configured key is root, and only who holds its secret.
"""

from __future__ import annotations

import os

from ministack.core import iam_evaluator
from ministack.services import sts


def install() -> None:
    """Makes ministack check the root key like any other."""

    def is_root(access_key_id: str) -> bool:
        # ministack's own calls inside the process carry no key.
        return access_key_id in ("", os.environ["AWS_ACCESS_KEY_ID"])

    def needs_no_check(_access_key_id: str) -> bool:
        return False

    iam_evaluator.is_root_access_key = is_root
    sts.is_root_access_key = is_root
    iam_evaluator._is_root_key = needs_no_check
