"""Pipelines, monitoring schedules and data quality job definitions: kept and described, never run."""

from __future__ import annotations

import time

from localaws.sagemaker.catalogue import Catalogue
from localaws.sagemaker.kinds import DATA_QUALITY_JOB_DEFINITION, MONITORING_SCHEDULE, PIPELINE
from localaws.sagemaker.roles import check_role
from localaws.schema import Members
from localaws.service import Call, Operation


def operations(catalogue: Catalogue) -> dict[str, Operation]:
    """The operations of everything that is only kept."""

    def create_pipeline(call: Call) -> Members:
        check_role(call.params["RoleArn"])
        return catalogue.create(PIPELINE, call, PipelineStatus="Active")

    def create_schedule(call: Call) -> Members:
        monitoring_type = call.params["MonitoringScheduleConfig"].get("MonitoringType", "DataQuality")
        return catalogue.create(
            MONITORING_SCHEDULE, call, MonitoringScheduleStatus="Scheduled", MonitoringType=monitoring_type
        )

    def set_schedule_status(call: Call, status: str) -> Members:
        schedule = catalogue.get(MONITORING_SCHEDULE, call.scope, call.params["MonitoringScheduleName"])
        schedule.update(MonitoringScheduleStatus=status, LastModifiedTime=time.time())
        return {}

    definitions = catalogue.operations(DATA_QUALITY_JOB_DEFINITION)
    del definitions["UpdateDataQualityJobDefinition"]
    return {
        **catalogue.operations(PIPELINE),
        **catalogue.operations(MONITORING_SCHEDULE),
        **definitions,
        "CreatePipeline": create_pipeline,
        "CreateMonitoringSchedule": create_schedule,
        "StartMonitoringSchedule": lambda call: set_schedule_status(call, "Scheduled"),
        "StopMonitoringSchedule": lambda call: set_schedule_status(call, "Stopped"),
    }
