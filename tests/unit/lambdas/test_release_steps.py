"""The steps of the release machine: authorised once, deployed once, shown to work, or taken back."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from lambda_fakes import FakeAutoscaling, FakeKms, FakeS3, FakeSageMaker, FakeStepFunctions, client_error
from release_samples import (
    DIGEST,
    IMAGE,
    PACKAGE_ARN,
    RELEASE,
    RUN_ID,
    SERVING,
    SERVING_SETTINGS,
    TRAINING_DIGEST,
)

from pipeline.approval import (
    Subject,
    approval_key,
    package_subject,
    sign_approval,
    store_approval,
    write_approval,
)
from pipeline.errors import (
    ApprovalError,
    ApprovalExpiredError,
    ApprovalForgedError,
    ApprovalMismatchError,
    ApprovalMissingError,
    ApprovalUsedError,
    EndpointBusyError,
    ReleaseRefusedError,
    RollbackError,
    SmokeError,
)
from pipeline.lambdas import answer_gate as gate
from pipeline.lambdas import authorise as authorisation
from pipeline.lambdas.deploy import deploy
from pipeline.lambdas.edge import Settings
from pipeline.lambdas.rollback import rollback
from pipeline.lambdas.scale import scale
from pipeline.lambdas.smoke import smoke
from pipeline.release import Autoscaling, Release
from pipeline.runs_table import RunsTable

MODEL = b"the model"
MODEL_SHA256 = hashlib.sha256(MODEL).hexdigest()
BOB = "arn:aws:sts::123456789012:assumed-role/mlops-approver/bob"
ENDPOINT = RELEASE.endpoint_name


class World:
    """A candidate on staging, approved by bob for production, and what production sees of it."""

    def __init__(
        self, s3: FakeS3, kms: FakeKms, sagemaker: FakeSageMaker, runs: RunsTable, now: datetime
    ) -> None:
        self.s3, self.kms, self.sagemaker, self.runs, self.now = s3, kms, sagemaker, runs, now
        self.stepfunctions = FakeStepFunctions()
        self.package: dict[str, Any] = {
            "ModelPackageArn": PACKAGE_ARN,
            "ModelApprovalStatus": "PendingManualApproval",
            "LastModifiedBy": {"IamIdentity": {"Arn": BOB}},
            "InferenceSpecification": {
                "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://staging-models/model.tar.gz"}]
            },
            "CustomerMetadataProperties": {
                "run_id": RUN_ID,
                "image_digest": DIGEST,
                "training_image_digest": TRAINING_DIGEST,
                "model_sha256": MODEL_SHA256,
                "evaluation_sha256": "c" * 64,
            },
        }
        sagemaker.packages[PACKAGE_ARN] = self.package
        s3.put_object(Bucket="staging-models", Key="model.tar.gz", Body=MODEL)
        item = {"run_id": RUN_ID, "model": "iris", "execution_arn": "run", "uploaded_by": "alice"}
        runs.claim(item, now=now)
        facts = {"task_token": "token", "model_package_arn": PACKAGE_ARN}
        runs.move(RUN_ID, "WaitingForApproval", facts=facts, now=now)

    def subject(self) -> Subject:
        return package_subject(self.package, project="mlops", environment="production")

    def approve(self, *, author: str = "alice", approver: str = "bob", **subject: str) -> None:
        approval = write_approval(
            dataclasses.replace(self.subject(), **subject),
            author=author,
            approver=approver,
            reason="good",
            now=self.now,
            valid_for=timedelta(hours=1),
        )
        store_approval(sign_approval(approval, kms=self.kms, key_id="key"), s3=self.s3, bucket="ledger")
        self.package["ModelApprovalStatus"] = "Approved"

    def authorise(
        self, settings: Settings, *, execution: str = "release-1", model: str = "iris", later_s: int = 0
    ) -> Release:
        request = {
            "model_package_arn": PACKAGE_ARN,
            "execution_arn": execution,
            "model": model,
            "endpoint_name": ENDPOINT,
            "serving": SERVING_SETTINGS,
        }
        return authorisation.authorise(
            request,
            settings=settings,
            clients=authorisation.Clients(self.sagemaker, self.s3, self.kms),
            runs=self.runs,
            now=self.now + timedelta(seconds=later_s),
        )

    def answer(self, settings: Settings, status: str) -> dict[str, Any]:
        self.package["ModelApprovalStatus"] = status
        return gate.answer_gate(
            {"detail": {"ModelPackageArn": PACKAGE_ARN, "ModelApprovalStatus": status}},
            settings=settings,
            clients=gate.Clients(self.sagemaker, self.stepfunctions, self.s3, self.kms),
            runs=self.runs,
            now=self.now,
        )


@pytest.fixture
def world(s3: FakeS3, kms: FakeKms, sagemaker: FakeSageMaker, runs: RunsTable, now: datetime) -> World:
    return World(s3, kms, sagemaker, runs, now)


# Authorise


def test_an_approved_candidate_is_authorised_and_its_artefact_copied(
    world: World, production: Settings
) -> None:
    world.approve()

    release = world.authorise(production)

    assert release.image == IMAGE
    assert release.endpoint_config_name.startswith(f"mlops-production-{RUN_ID}-")
    assert release.model_data_url == f"s3://production-models/releases/{RUN_ID}/model.tar.gz"
    assert world.s3.text("production-models", f"releases/{RUN_ID}/model.tar.gz").encode() == MODEL


def test_staging_asks_for_no_approval(world: World, production: Settings) -> None:
    staging = dataclasses.replace(production, environment="staging", approval_required=False)

    assert world.authorise(staging).environment == "staging"


def test_authorising_again_in_the_same_execution_gives_the_same_release(
    world: World, production: Settings
) -> None:
    world.approve()

    assert world.authorise(production) == world.authorise(production)


def test_an_approval_releases_once(world: World, production: Settings) -> None:
    world.approve()
    world.authorise(production)

    with pytest.raises(ApprovalUsedError, match="by release-1; an approval releases once"):
        world.authorise(production, execution="release-2")


def test_an_approval_in_the_console_releases_nothing(world: World, production: Settings) -> None:
    world.package["ModelApprovalStatus"] = "Approved"

    with pytest.raises(ApprovalMissingError, match="no signed approval"):
        world.authorise(production)

    assert not [bucket for bucket, _ in world.s3.objects if bucket == "production-models"]


def test_an_expired_approval_releases_nothing(world: World, production: Settings) -> None:
    world.approve()

    with pytest.raises(ApprovalExpiredError, match="expired at"):
        world.authorise(production, later_s=3600)


def test_an_approval_for_another_environment_releases_nothing(world: World, production: Settings) -> None:
    world.approve(environment="staging")

    with pytest.raises(ApprovalMismatchError, match="is for environment staging"):
        world.authorise(production)


def test_a_made_up_author_is_found_out(world: World, production: Settings) -> None:
    world.approve(author="carol")

    with pytest.raises(ApprovalMismatchError, match="names carol as author, but alice uploaded"):
        world.authorise(production)


def test_a_made_up_approver_is_found_out(world: World, production: Settings) -> None:
    world.approve(approver="carol")

    with pytest.raises(ApprovalMismatchError, match="is carol's, but bob marked the package"):
        world.authorise(production)


@pytest.mark.parametrize("status", ["Expired", "Rejected", "Failed"])
def test_a_run_that_ended_otherwise_is_not_released(
    status: Any, world: World, production: Settings, now: datetime
) -> None:
    world.approve()
    world.runs.move(RUN_ID, status, now=now)

    with pytest.raises(ReleaseRefusedError, match=f"is {status} and its package Approved"):
        world.authorise(production)


def test_a_package_that_is_not_approved_is_not_released(world: World, production: Settings) -> None:
    world.approve()
    world.package["ModelApprovalStatus"] = "Rejected"

    with pytest.raises(ReleaseRefusedError, match="its package Rejected; only an approved one"):
        world.authorise(production)


def test_an_artefact_changed_after_its_evaluation_is_not_released(world: World, production: Settings) -> None:
    world.approve()
    world.s3.put_object(Bucket="staging-models", Key="model.tar.gz", Body=b"another")

    with pytest.raises(ReleaseRefusedError, match=r"was evaluated\. It was changed afterwards"):
        world.authorise(production)

    assert not [key for _, key in world.s3.objects if "consumed" in key]


@pytest.mark.parametrize("image", ["repo@sha256:" + "e" * 64, "repo:latest"])
def test_an_image_of_another_digest_is_not_released(image: str, world: World, production: Settings) -> None:
    world.approve()
    world.package["InferenceSpecification"]["Containers"][0]["Image"] = image

    with pytest.raises(ReleaseRefusedError, match=f"the model was evaluated in {DIGEST}"):
        world.authorise(production)


def test_another_models_package_is_not_released(world: World, production: Settings) -> None:
    with pytest.raises(ReleaseRefusedError, match="not of model penguins"):
        world.authorise(production, model="penguins")


def test_a_package_of_a_model_whose_name_goes_on_is_not_released(world: World, production: Settings) -> None:
    world.package["CustomerMetadataProperties"]["run_id"] = "iris-two-0123456789abcdef"

    with pytest.raises(ReleaseRefusedError, match="not of model iris"):
        world.authorise(production)


# The gate


def test_an_approval_wakes_the_run_with_the_approvers_words(world: World, production: Settings) -> None:
    world.approve()

    assert world.answer(production, "Approved")["outcome"] == "answered"
    assert json.loads(world.stepfunctions.answers["token"]) == {
        "status": "Approved",
        "by": "bob",
        "reason": "good",
    }


def test_a_rejection_wakes_the_run_with_its_reason(world: World, production: Settings) -> None:
    world.package["ApprovalDescription"] = "rejected by bob: too slow"

    world.answer(production, "Rejected")

    assert json.loads(world.stepfunctions.answers["token"]) == {
        "status": "Rejected",
        "by": "bob",
        "reason": "too slow",
    }


def test_a_click_in_the_console_wakes_nobody(world: World, production: Settings) -> None:
    with pytest.raises(ApprovalError, match="no signed approval"):
        world.answer(production, "Approved")

    assert not world.stepfunctions.answers


def test_a_forged_record_wakes_nobody(world: World, production: Settings) -> None:
    world.approve()
    document = json.loads(world.s3.text("ledger", approval_key(RUN_ID)))
    document["record"]["reason"] = "better than good"
    world.s3.objects["ledger", approval_key(RUN_ID)] = [json.dumps(document).encode()]

    with pytest.raises(ApprovalForgedError, match="signature"):
        world.answer(production, "Approved")

    assert not world.stepfunctions.answers


def test_a_second_answer_is_late(world: World, production: Settings) -> None:
    world.approve()
    world.answer(production, "Approved")

    assert world.answer(production, "Approved")["outcome"] == "late"


def test_an_answer_after_the_end_of_the_run_finds_no_gate(
    world: World, production: Settings, now: datetime
) -> None:
    world.approve()
    world.runs.move(RUN_ID, "Expired", now=now)

    assert world.answer(production, "Approved")["outcome"] == "no gate"
    assert not world.stepfunctions.answers


@pytest.mark.parametrize("status", ["Approved", "Rejected"])
def test_an_answer_about_the_package_that_a_stopped_run_had_finds_no_gate(
    world: World, production: Settings, now: datetime, status: str
) -> None:
    world.approve()
    world.runs.note(RUN_ID, {"model_package_arn": f"{PACKAGE_ARN}0"}, now=now)

    assert world.answer(production, status)["outcome"] == "no gate"
    assert not world.stepfunctions.answers


def test_an_answer_about_a_package_of_no_run_finds_no_gate(world: World, production: Settings) -> None:
    world.package["CustomerMetadataProperties"] = {}

    assert world.answer(production, "Rejected")["outcome"] == "no gate"


# Deploy


def put_into_service(sagemaker: FakeSageMaker, release: Release = RELEASE) -> None:
    deploy(release, serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())
    sagemaker.finish(release.endpoint_name)


def named(name: str) -> Release:
    return dataclasses.replace(RELEASE, model_name=name, endpoint_config_name=name)


def test_the_first_release_makes_the_endpoint(sagemaker: FakeSageMaker) -> None:
    deployed = deploy(RELEASE, serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    assert deployed == {"previous_endpoint_config_name": None, "created": True}
    assert sagemaker.calls == ["create model", "create endpoint configuration", "create endpoint"]


def test_a_later_release_updates_the_endpoint(sagemaker: FakeSageMaker) -> None:
    put_into_service(sagemaker, named("first"))

    deployed = deploy(named("second"), serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    assert deployed == {"previous_endpoint_config_name": "first", "created": False}
    assert sagemaker.endpoints[ENDPOINT]["LastRequest"]["DeploymentConfig"]["AutoRollbackConfiguration"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_repeated_deploy_adopts_what_is_there_and_still_knows_the_way_back(
    finished: bool, sagemaker: FakeSageMaker
) -> None:
    put_into_service(sagemaker, named("first"))
    deploy(named("second"), serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())
    if finished:
        sagemaker.finish(ENDPOINT)
    calls = list(sagemaker.calls)

    again = deploy(named("second"), serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    assert again == {"previous_endpoint_config_name": "first", "created": False}
    assert sagemaker.calls == calls


def test_a_deploy_that_died_half_way_is_finished(sagemaker: FakeSageMaker) -> None:
    put_into_service(sagemaker)
    del sagemaker.endpoints[ENDPOINT]
    sagemaker.calls.clear()

    deploy(RELEASE, serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    assert sagemaker.calls == ["create endpoint"]


def test_a_release_from_before_gets_its_new_way_back(sagemaker: FakeSageMaker) -> None:
    for name in ("first", "second", "third", "second"):
        put_into_service(sagemaker, named(name))

    assert sagemaker.tags["arn:config/second"]["Previous"] == "third"


def test_a_busy_endpoint_is_waited_for(sagemaker: FakeSageMaker) -> None:
    deploy(named("first"), serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    with pytest.raises(EndpointBusyError, match=f"is Creating with first; run {RUN_ID} has to wait"):
        deploy(named("second"), serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    assert "second" not in sagemaker.configs


def test_an_endpoint_that_failed_to_be_made_is_made_anew(sagemaker: FakeSageMaker) -> None:
    deploy(named("first"), serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())
    sagemaker.finish(ENDPOINT, "Failed")

    assert deploy(RELEASE, serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())["created"]


def test_an_error_that_is_not_an_absence_rises(sagemaker: FakeSageMaker) -> None:
    def denied(**request: str) -> dict[str, Any]:
        raise client_error("AccessDeniedException", "no")

    sagemaker.describe_endpoint = denied  # type: ignore[method-assign]

    with pytest.raises(Exception, match="AccessDeniedException"):
        deploy(RELEASE, serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())


# Smoke

GOLDEN: list[dict[str, Any]] = [{"instance": {"length": 5.0}, "expect": {"label": "setosa"}}]


class FakeRuntime:
    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        if self.answer == b"broken":
            raise client_error("ModelError", "the container answered 500")
        assert json.loads(request["Body"]) == {"instances": [{"length": 5.0}]}
        return {"Body": io.BytesIO(self.answer)}


def serve(sagemaker: FakeSageMaker, **facts: Any) -> None:
    put_into_service(sagemaker)
    variants = [{"DeployedImages": [{"SpecifiedImage": IMAGE, "ResolvedImage": IMAGE}]}]
    sagemaker.endpoints[ENDPOINT].update({"ProductionVariants": variants, **facts})


def run_smoke(
    sagemaker: FakeSageMaker,
    answer: bytes = b'{"predictions": [{"label": "setosa"}]}',
    golden: list[dict[str, Any]] = GOLDEN,
) -> dict[str, Any]:
    ticks = itertools.count(step=0.004)
    return smoke(
        RELEASE,
        golden=golden,
        sagemaker=sagemaker,
        runtime=FakeRuntime(answer),
        clock=lambda: next(ticks),
    )


def test_an_endpoint_that_answers_as_expected_passes(sagemaker: FakeSageMaker) -> None:
    serve(sagemaker)

    assert run_smoke(sagemaker) == {
        "passed": True,
        "image_digest": DIGEST,
        "requests": [{"number": 1, "latency_ms": 4.0, "prediction": {"label": "setosa"}}],
    }


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"EndpointStatus": "Updating"}, "is Updating, not InService"),
        ({"EndpointConfigName": "other"}, "runs other, not .*rolled back or changed"),
        ({"FailureReason": "alarm 5xx"}, "reports a failure: alarm 5xx"),
        ({"ProductionVariants": [{}]}, "runs image unknown"),
        (
            {"ProductionVariants": [{"DeployedImages": [{"ResolvedImage": "repo@sha256:beef"}]}]},
            r"runs image \['repo@sha256:beef'\], not sha256:aaa",
        ),
    ],
)
def test_an_endpoint_that_runs_something_else_fails(
    facts: dict[str, Any], reason: str, sagemaker: FakeSageMaker
) -> None:
    serve(sagemaker, **facts)

    with pytest.raises(SmokeError, match=reason) as error:
        run_smoke(sagemaker)

    assert error.value.exit_code == 9


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            b'{"predictions": [{"label": "virginica"}]}',
            "golden request 1: label 'virginica' instead of 'setosa'",
        ),
        (b'{"predictions": []}', "is not one prediction"),
        (b'{"predictions": [{}, {}]}', "is not one prediction"),
        (b"<html>", "is not one prediction: <html>"),
        (b"broken", "ModelError.*the container answered 500"),
    ],
)
def test_a_wrong_answer_fails(answer: bytes, reason: str, sagemaker: FakeSageMaker) -> None:
    serve(sagemaker)

    with pytest.raises(SmokeError, match=reason):
        run_smoke(sagemaker, answer)


@pytest.mark.parametrize(("value", "passes"), [(3.4, True), (3.6, False), ("NaN", False), ('"3"', False)])
def test_a_value_must_be_within_its_tolerance(value: Any, passes: bool, sagemaker: FakeSageMaker) -> None:
    serve(sagemaker)
    golden = [{"instance": {"length": 5.0}, "expect": {"value": 3.0, "tolerance": 0.5}}]
    answer = f'{{"predictions": [{{"value": {value}}}]}}'.encode()

    if passes:
        assert run_smoke(sagemaker, answer, golden)["passed"]
    else:
        with pytest.raises(SmokeError, match=r"instead of 3\.0 ± 0\.5"):
            run_smoke(sagemaker, answer, golden)


def test_without_golden_requests_nothing_passes(sagemaker: FakeSageMaker) -> None:
    serve(sagemaker)

    with pytest.raises(SmokeError, match="no golden requests"):
        run_smoke(sagemaker, golden=[])


# Scaling

SCALING = dataclasses.replace(SERVING, autoscaling=Autoscaling(2, 6, 1000, 300, 60))
TARGET = f"endpoint/{ENDPOINT}/variant/main"


def scale_out(sagemaker: FakeSageMaker, count: int) -> None:
    sagemaker.endpoints[ENDPOINT]["ProductionVariants"] = [
        {"VariantName": "main", "DesiredInstanceCount": count}
    ]


def test_a_released_endpoint_scales_within_its_bounds(sagemaker: FakeSageMaker) -> None:
    autoscaling = FakeAutoscaling()
    put_into_service(sagemaker)
    scale_out(sagemaker, 2)

    scaled = scale(RELEASE, serving=SCALING, sagemaker=sagemaker, autoscaling=autoscaling)

    assert scaled == {"scaling": [TARGET]}
    assert (autoscaling.targets[TARGET]["MinCapacity"], autoscaling.targets[TARGET]["MaxCapacity"]) == (2, 6)
    policy = autoscaling.policies[TARGET]["TargetTrackingScalingPolicyConfiguration"]
    assert (policy["TargetValue"], policy["ScaleInCooldown"], policy["ScaleOutCooldown"]) == (1000.0, 300, 60)


def test_an_endpoint_without_scaling_gets_none(sagemaker: FakeSageMaker) -> None:
    autoscaling = FakeAutoscaling()
    put_into_service(sagemaker)

    assert scale(RELEASE, serving=SERVING, sagemaker=sagemaker, autoscaling=autoscaling) == {"scaling": []}
    assert autoscaling.targets == {}


def test_an_endpoint_that_is_gone_after_a_rollback_scales_not(sagemaker: FakeSageMaker) -> None:
    scaled = scale(RELEASE, serving=SCALING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    assert scaled == {"scaling": []}


@pytest.mark.parametrize(("count", "kept"), [(1, False), (2, True), (5, True), (7, False)])
def test_a_release_keeps_the_count_that_scaling_came_to_within_its_bounds(
    count: int, kept: bool, sagemaker: FakeSageMaker
) -> None:
    put_into_service(sagemaker, named("first"))
    scale_out(sagemaker, count)

    deploy(named("second"), serving=SCALING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    request = sagemaker.endpoints[ENDPOINT]["LastRequest"]
    assert request.get("RetainAllVariantProperties", False) is kept
    if kept:
        excluded = [item["VariantPropertyType"] for item in request["ExcludeRetainedVariantProperties"]]
        assert excluded == ["DesiredWeight", "DataCaptureConfig"]


def test_without_scaling_the_configured_count_holds(sagemaker: FakeSageMaker) -> None:
    put_into_service(sagemaker, named("first"))
    scale_out(sagemaker, 5)

    deploy(named("second"), serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    assert "RetainAllVariantProperties" not in sagemaker.endpoints[ENDPOINT]["LastRequest"]


def test_scaling_is_held_while_a_release_is_under_way(sagemaker: FakeSageMaker) -> None:
    autoscaling = FakeAutoscaling()
    put_into_service(sagemaker, named("first"))
    scale_out(sagemaker, 3)
    scale(named("first"), serving=SCALING, sagemaker=sagemaker, autoscaling=autoscaling)

    deploy(named("second"), serving=SCALING, sagemaker=sagemaker, autoscaling=autoscaling)

    assert (autoscaling.targets, autoscaling.policies) == ({}, {})


def test_a_release_that_has_to_wait_holds_nothing(sagemaker: FakeSageMaker) -> None:
    autoscaling = FakeAutoscaling()
    put_into_service(sagemaker, named("first"))
    scale_out(sagemaker, 3)
    scale(named("first"), serving=SCALING, sagemaker=sagemaker, autoscaling=autoscaling)
    sagemaker.endpoints[ENDPOINT]["EndpointStatus"] = "Updating"

    with pytest.raises(EndpointBusyError):
        deploy(named("second"), serving=SCALING, sagemaker=sagemaker, autoscaling=autoscaling)

    assert set(autoscaling.targets) == {TARGET}


def test_a_rollback_keeps_the_count_too(sagemaker: FakeSageMaker) -> None:
    put_into_service(sagemaker, named("first"))
    put_into_service(sagemaker, named("second"))
    scale_out(sagemaker, 5)

    rollback(named("second"), serving=SCALING, sagemaker=sagemaker)

    assert sagemaker.endpoints[ENDPOINT]["LastRequest"]["RetainAllVariantProperties"] is True


# Rollback


def settle(sagemaker: FakeSageMaker, release: Release, *, between: Callable[[], None]) -> dict[str, Any]:
    """Call the rollback as the state machine does, letting SageMaker work in between."""
    for _ in range(5):
        answer = rollback(release, serving=SERVING, sagemaker=sagemaker)
        if answer["settled"]:
            return answer
        between()
    raise AssertionError("never settled")


def test_a_failed_first_release_leaves_nothing(sagemaker: FakeSageMaker) -> None:
    deploy(RELEASE, serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    answer = settle(sagemaker, RELEASE, between=lambda: fail_creation(sagemaker))

    assert answer["rolled_back_to"] is None
    assert (sagemaker.endpoints, sagemaker.configs, sagemaker.models) == ({}, {}, {})


def fail_creation(sagemaker: FakeSageMaker) -> None:
    if ENDPOINT in sagemaker.endpoints:
        sagemaker.finish(ENDPOINT, "Failed")


def test_a_failed_smoke_test_brings_the_previous_configuration_back(sagemaker: FakeSageMaker) -> None:
    put_into_service(sagemaker, named("first"))
    put_into_service(sagemaker, named("second"))

    answer = settle(sagemaker, named("second"), between=lambda: sagemaker.finish(ENDPOINT))

    assert answer == {"settled": True, "rolled_back_to": "first"}
    assert sagemaker.endpoints[ENDPOINT]["EndpointConfigName"] == "first"
    assert (set(sagemaker.configs), set(sagemaker.models)) == ({"first"}, {"first"})


def test_a_deployment_under_way_is_waited_for(sagemaker: FakeSageMaker) -> None:
    put_into_service(sagemaker, named("first"))
    deploy(named("second"), serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())

    assert rollback(named("second"), serving=SERVING, sagemaker=sagemaker) == {
        "settled": False,
        "rolled_back_to": "first",
    }
    assert "second" in sagemaker.configs


def test_what_sagemaker_rolled_back_by_itself_is_only_cleaned_up(sagemaker: FakeSageMaker) -> None:
    put_into_service(sagemaker, named("first"))
    deploy(named("second"), serving=SERVING, sagemaker=sagemaker, autoscaling=FakeAutoscaling())
    sagemaker.finish(ENDPOINT, FailureReason="alarm 5xx")
    sagemaker.calls.clear()

    answer = rollback(named("second"), serving=SERVING, sagemaker=sagemaker)

    assert answer == {"settled": True, "rolled_back_to": "first"}
    assert sagemaker.calls == ["delete endpoint configuration", "delete model"]


def test_a_rollback_before_anything_was_made_changes_nothing(sagemaker: FakeSageMaker) -> None:
    put_into_service(sagemaker, named("first"))
    sagemaker.calls.clear()

    assert rollback(named("second"), serving=SERVING, sagemaker=sagemaker)["rolled_back_to"] == "first"
    assert sagemaker.calls == []


def test_a_rollback_that_cannot_be_is_loud(sagemaker: FakeSageMaker) -> None:
    put_into_service(sagemaker, named("first"))
    put_into_service(sagemaker, named("second"))
    sagemaker.finish(ENDPOINT, "UpdateRollbackFailed", FailureReason="no capacity")

    with pytest.raises(RollbackError, match=r"is UpdateRollbackFailed \(no capacity\) and takes no update"):
        rollback(named("second"), serving=SERVING, sagemaker=sagemaker)
