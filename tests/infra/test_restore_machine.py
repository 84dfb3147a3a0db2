"""The state machine of a restore: the way to the report, and that whatever fails ends the execution as failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infra.asl import Definition, TaskError, caught, definitions, ends_after, walk
from tests.infra.conftest import Assembly
from tests.infra.policies import flat, may, of_type, statements

WAY = ["Preflight", "Prepare", "HowManyUnits", "RunArray", "Reconcile", "IsComparisonAsked", "Compare"]
END = ["AreGroupsAsked", "Groups", "Finish", "Report", "Notify", "Done"]
FAILED = ["ReportFailure", "NotifyFailure", "Failed"]
STEPS = ["Validate", "Plan", "Preflight", "Prepare", "Reconcile", "Compare", "Groups", "Finish", "Report"]
TASKS = {*STEPS, "RunOne", "RunArray", "WhatIsMissing", "ReportFailure", "Notify", "NotifyFailure"}


@pytest.fixture
def definition(assembly: Assembly) -> Definition:
    return definitions(assembly.operations)["RestoreMachine"]


def results(*failing: str, units: int = 2, groups: bool = True, compare: str = "sampled") -> Any:
    """Made-up results of the tasks; those that are named fail."""

    def run(name: str) -> Any:
        if name in failing:
            raise TaskError(f"{name} failed")
        match name:
            case "Validate":
                return {"run_id": "r1"}
            case "Plan":
                return {"run_id": "r1", "lines": 3, "units": units, "groups": groups, "compare": compare}
            case "ReportFailure":
                return {"Error": "as told", "Cause": "the reason", "Message": {"run_id": "r1"}}
        return {"from": name}

    return run


def test_a_whole_run_passes_every_step_and_ends_with_its_report(definition: Definition) -> None:
    passed, output = walk(definition, results())
    assert passed == ["Named", "Validate", "Plan", *WAY, *END]
    assert output == {"from": "Report"}


@pytest.mark.parametrize(("units", "step"), [(1, "RunOne"), (2, "RunArray"), (10_000, "RunArray")])
def test_the_work_is_a_job_of_as_many_units_as_the_plan_has(definition: Definition, units: int, step: str) -> None:
    passed, _ = walk(definition, results(units=units))
    assert step in passed and len({"RunOne", "RunArray"} & set(passed)) == 1


@pytest.mark.parametrize(
    ("asked", "left_out"),
    [
        ({"groups": False}, {"Groups"}),
        ({"compare": "none"}, {"Compare"}),
        ({"groups": False, "compare": "none"}, {"Groups", "Compare"}),
        ({"compare": "whole"}, set()),
    ],
)
def test_steps_that_nobody_asked_for_are_left_out(
    definition: Definition, asked: dict[str, Any], left_out: set[str]
) -> None:
    passed, _ = walk(definition, results(**asked))
    assert {"Groups", "Compare"} - set(passed) == left_out
    assert passed[-4:] == ["Finish", "Report", "Notify", "Done"]


def test_topics_without_records_are_made_without_a_job(definition: Definition) -> None:
    passed, output = walk(definition, results(units=0))
    assert passed == ["Named", "Validate", "Plan", *(step for step in WAY if step != "RunArray"), *END]
    assert output == {"from": "Report"}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_is_reported_told_and_fails_the_execution(definition: Definition, step: str) -> None:
    passed, error = walk(definition, results(step))
    assert passed[-4:] == [step, *FAILED]
    assert error == "as told"


@pytest.mark.parametrize(("step", "units"), [("RunOne", 1), ("RunArray", 2)])
def test_of_a_failed_job_it_is_said_what_is_missing(definition: Definition, step: str, units: int) -> None:
    passed, _ = walk(definition, results(step, units=units))
    assert passed[-5:] == [step, "WhatIsMissing", *FAILED]
    passed, _ = walk(definition, results(step, "WhatIsMissing", units=units))
    assert passed[-5:] == [step, "WhatIsMissing", *FAILED]


def test_a_report_or_message_that_fails_too_does_not_hide_the_first_error(definition: Definition) -> None:
    passed, error = walk(definition, results("Prepare", "ReportFailure"))
    assert passed[-4:] == ["ReportFailure", "Unreported", "NotifyFailure", "Failed"]
    assert error == "Prepare failed"
    assert walk(definition, results("Prepare", "ReportFailure", "NotifyFailure"))[1] == "Prepare failed"
    assert walk(definition, results("Prepare", "NotifyFailure"))[1] == "as told"


def test_a_good_run_of_which_nobody_could_be_told_is_not_green(definition: Definition) -> None:
    passed, error = walk(definition, results("Notify"))
    assert passed[-2:] == ["Notify", "Failed"] and error == "Notify failed"


def test_every_task_catches_everything_and_no_way_from_there_leads_to_success(definition: Definition) -> None:
    tasks = {name: state for name, state in definition["States"].items() if state["Type"] == "Task"}
    assert set(tasks) == TASKS
    for name, task in tasks.items():
        assert [rule["ErrorEquals"] for rule in task["Catch"]] == [["States.ALL"]], name
        assert {end for follower in caught(task) for end in ends_after(definition, follower)} == {"Fail"}, name


def test_the_end_of_a_failed_run_has_the_error_and_the_cause_of_its_step(definition: Definition) -> None:
    (end,) = (state for state in definition["States"].values() if state["Type"] == "Fail")
    assert (end["ErrorPath"], end["CausePath"]) == ("$.failure.Error", "$.failure.Cause")


def test_the_input_reaches_nothing_but_its_two_readers(definition: Definition) -> None:
    """Whatever a person typed, even no object at all, a failure can be put beside it and told."""
    assert definition["StartAt"] == "Named" and definition["States"]["Named"]["Parameters"] == {
        "run_id.$": "$$.Execution.Name"
    }
    readers = {name for name, state in definition["States"].items() if "$$.Execution.Input" in str(state)}
    assert readers == {"Validate", "Plan"}


def test_what_may_succeed_later_is_tried_again_and_nothing_else_of_ours(definition: Definition) -> None:
    for step in STEPS:
        names = {error for rule in definition["States"][step]["Retry"] for error in rule["ErrorEquals"]}
        ours = {name for name in names if not name.startswith(("Lambda.", "Sandbox."))}
        assert ours == {"TryAgain"}, step


def test_a_comparison_of_all_records_goes_on_when_its_function_was_ended(definition: Definition) -> None:
    states = definition["States"]
    again = {name for name in STEPS for rule in states[name]["Retry"] if "Sandbox.Timedout" in rule["ErrorEquals"]}
    assert again == {"Compare"}
    (rule,) = (rule for rule in states["Compare"]["Retry"] if "Sandbox.Timedout" in rule["ErrorEquals"])
    assert rule["MaxAttempts"] * 15 * 60 == 24 * 3600


def test_a_message_is_the_report_in_small(definition: Definition) -> None:
    states = definition["States"]
    assert states["Notify"]["Parameters"]["Message.$"] == "States.JsonToString($)"
    assert states["NotifyFailure"]["Parameters"]["Message.$"] == "States.JsonToString($.failure.Message)"


# -- what is told, and to whom


def test_messages_are_encrypted_and_travel_by_tls(assembly: Assembly) -> None:
    (topic,) = of_type(assembly.operations, "AWS::SNS::Topic").values()
    assert flat(topic["KmsMasterKeyId"]) == "<ResultsKey>"
    (key,) = of_type(assembly.operations, "AWS::KMS::Key").values()
    assert key["EnableKeyRotation"] is True
    (policy,) = of_type(assembly.operations, "AWS::SNS::TopicPolicy").values()
    (refusal,) = policy["PolicyDocument"]["Statement"]
    assert refusal["Effect"] == "Deny" and refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_restores_alone_may_tell(assembly: Assembly) -> None:
    roles = ("RestoreMachineRole", "RedactMachineRole", "ReportRestoreRole", "RestoreJobRole")
    telling = [role for role in roles if may(assembly.operations, role, "sns:Publish", "<ResultsTopic>")]
    assert telling == ["RestoreMachineRole"]
    keys = [
        (statement["Action"], flat(statement["Resource"]))
        for statement in statements(assembly.operations, "RestoreMachineRole")
        if "kms:" in str(statement["Action"])
    ]
    assert keys == [(["kms:Decrypt", "kms:GenerateDataKey"], "<ResultsKey>")]


def test_nobody_gets_mail_unless_named(assembly: Assembly) -> None:
    assert of_type(assembly.operations, "AWS::SNS::Subscription") == {}


def test_addresses_of_the_file_are_told_by_mail(wheel_node: None, tmp_path: Path) -> None:
    import aws_cdk as cdk

    from infra.units.results import RunResults

    stack = cdk.Stack(cdk.App(outdir=str(tmp_path)), "S")
    RunResults(stack, "Results", emails=["ops@example.com", "b@example.com"])
    template = cdk.assertions.Template.from_stack(stack).to_json()
    told = [(each["Protocol"], each["Endpoint"]) for each in of_type(template, "AWS::SNS::Subscription").values()]
    assert told == [("email", "ops@example.com"), ("email", "b@example.com")]
