"""The AWS profiles that `up` writes, and the people behind them.

admin     the root keys of this account, random at each start
deployer  carol as the deployer
uploader  alice as a data scientist
approver  bob as an approver
"""

from __future__ import annotations

import configparser
import io
import json
from dataclasses import dataclass
from typing import Any

from localaws.settings import ACCOUNT_ID, REGION, Settings

PROJECT = "mlops"


@dataclass(frozen=True)
class Keys:
    """An access key pair."""

    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class Person:
    """An IAM user who may assume one role, under her own name."""

    name: str
    profile: str
    role: str


PEOPLE = (
    Person("alice", "uploader", f"{PROJECT}-data-scientist"),
    Person("bob", "approver", f"{PROJECT}-approver"),
    Person("carol", "deployer", f"{PROJECT}-deployer"),
)
PROFILES = ("admin", *(person.profile for person in PEOPLE), *(person.name for person in PEOPLE))


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"


def assume_policy(role: str) -> str:
    """A policy that allows to assume exactly one role."""
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role_arn(role)}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def create_person(iam: Any, person: Person) -> Keys:
    """The keys of a new IAM user who may assume her role."""
    iam.create_user(UserName=person.name)
    iam.put_user_policy(
        UserName=person.name, PolicyName="assume-role", PolicyDocument=assume_policy(person.role)
    )
    key = iam.create_access_key(UserName=person.name)["AccessKey"]
    return Keys(key["AccessKeyId"], key["SecretAccessKey"])


def credentials_text(keys_by_profile: dict[str, Keys]) -> str:
    """The shared credentials file."""
    return _ini(
        {
            profile: {
                "aws_access_key_id": keys.access_key_id,
                "aws_secret_access_key": keys.secret_access_key,
            }
            for profile, keys in keys_by_profile.items()
        }
    )


def config_text() -> str:
    """The shared configuration file: which role each profile assumes, and from whose keys."""
    sections: dict[str, dict[str, str]] = {name: {} for name in ("admin", *(p.name for p in PEOPLE))}
    for person in PEOPLE:
        sections[person.profile] = {
            "role_arn": role_arn(person.role),
            "source_profile": person.name,
            "role_session_name": person.name,
        }
    return _ini({f"profile {name}": {"region": REGION, **values} for name, values in sections.items()})


def environment(settings: Settings) -> dict[str, str]:
    """The variables that point any AWS client at this server."""
    return {
        "AWS_ENDPOINT_URL": settings.endpoint,
        # Terraform's SDK asks for a profile's role at the real STS unless the service is named.
        "AWS_ENDPOINT_URL_STS": settings.endpoint,
        "AWS_CA_BUNDLE": str(settings.ca_file),
        "AWS_CONFIG_FILE": str(settings.config_file),
        "AWS_SHARED_CREDENTIALS_FILE": str(settings.credentials_file),
        "AWS_PROFILE": "admin",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def write_profiles(settings: Settings, keys_by_profile: dict[str, Keys]) -> None:
    """Writes `credentials` (readable by its owner only), `config` and `aws.env`."""
    settings.credentials_file.touch(mode=0o600)
    settings.credentials_file.write_text(credentials_text(keys_by_profile))
    settings.config_file.write_text(config_text())
    lines = (f"{name}={value}\n" for name, value in environment(settings).items())
    settings.env_file.write_text("".join(lines))


def _ini(sections: dict[str, dict[str, str]]) -> str:
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()
