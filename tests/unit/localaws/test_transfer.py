"""Names of objects below a prefix."""

from __future__ import annotations

import pytest

from localaws.sagemaker.transfer import join_uri, name_below, split_uri


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("dir/a.csv", "dir/a.csv", "a.csv"),
        ("dir/a.csv", "dir/", "a.csv"),
        ("dir/a.csv", "dir", "a.csv"),
        ("dir/deep/a.csv", "dir", "deep/a.csv"),
        ("dir/a.csv", "dir/a", "a.csv"),
        ("a.csv", "", "a.csv"),
    ],
)
def test_object_is_named_below_its_prefix(key: str, prefix: str, name: str) -> None:
    assert name_below(key, prefix) == name


def test_uri_is_taken_apart_and_put_together() -> None:
    assert split_uri("s3://bucket/a/b") == ("bucket", "a/b")
    assert join_uri("s3://bucket/a/", "b", "c") == "s3://bucket/a/b/c"
