"""The state machines: their structure, what they hand over, and how a redaction can end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.asl import Definition, TaskError, definitions, problems, walk
from tests.infra.conftest import Assembly
from tests.infra.policies import may, of_type

MACHINES = ["RestoreMachine", "RedactMachine"]
both = pytest.mark.parametrize("name", MACHINES)
redact = pytest.mark.parametrize("name", ["RedactMachine"])


@pytest.fixture
def definition(assembly: Assembly, name: str) -> Definition:
    return definitions(assembly.operations)[name]


def results(units: int, *, failing: str = "") -> Any:
    """Made-up results of the tasks: Plan gives that many units, one task fails."""

    def run(name: str) -> Any:
        if name == failing:
            raise TaskError(f"{name} failed")
        if name == "Plan":
            return {"run_id": "r1", "lines": 3 * units, "units": units}
        return {"from": name}

    return run


@both
def test_definitions_are_well_formed(definition: Definition) -> None:
    assert problems(definition) == []


@both
def test_what_a_function_is_told_is_an_object_or_all_there_is(definition: Definition) -> None:
    """CDK writes "$" for a payload that is a path, which Step Functions takes for that very text."""
    assert not [name for name, state in definition["States"].items() if isinstance(state.get("Parameters", {}), str)]


@both
def test_one_unit_is_a_plain_job_and_more_are_an_array_of_that_size(definition: Definition) -> None:
    one, array = (definition["States"][state]["Parameters"] for state in ("RunOne", "RunArray"))
    assert "ArrayProperties" not in one
    assert array["ArrayProperties"] == {"Size.$": "$.units"}
    assert one["JobDefinition"] == array["JobDefinition"]


@both
def test_jobs_are_waited_for_and_told_the_run(definition: Definition) -> None:
    for state in ("RunOne", "RunArray"):
        task = definition["States"][state]
        assert task["Resource"].endswith(":states:::batch:submitJob.sync")
        assert task["Parameters"]["ContainerOverrides"] == {
            "Environment": [
                {"Name": "MILLPOND_RUN_ID", "Value.$": "$.run_id"},
                {"Name": "MILLPOND_UNITS", "Value.$": "States.Format('{}', $.units)"},
            ]
        }


@pytest.mark.parametrize("role", ["RestoreMachineRole", "RedactMachineRole"])
def test_stopping_an_execution_may_stop_its_job(assembly: Assembly, role: str) -> None:
    jobs = "arn:<AWS::Partition>:batch:<AWS::Region>:<AWS::AccountId>:job/1"
    assert may(assembly.operations, role, "batch:TerminateJob", jobs)
    assert may(assembly.operations, role, "batch:DescribeJobs", "*")


def test_every_step_is_logged_but_no_data_of_a_redaction(assembly: Assembly) -> None:
    logging = {
        name: (machine["LoggingConfiguration"]["Level"], machine["LoggingConfiguration"]["IncludeExecutionData"])
        for name, machine in of_type(assembly.operations, "AWS::StepFunctions::StateMachine").items()
    }
    assert logging == {"RestoreMachine": ("ALL", True), "RedactMachine": ("ALL", False)}


# -- redact


@redact
def test_the_request_is_the_input_and_the_run_id_the_executions_name(definition: Definition) -> None:
    parameters = definition["States"]["Plan"]["Parameters"]
    assert parameters == {"run_id.$": "$$.Execution.Name", "request.$": "$$.Execution.Input"}


@redact
@pytest.mark.parametrize(("units", "step"), [(1, "RunOne"), (2, "RunArray"), (10_000, "RunArray")])
def test_a_good_run_ends_with_the_reconcilers_report(definition: Definition, units: int, step: str) -> None:
    passed, output = walk(definition, results(units))
    assert passed == ["Plan", "HowMany", step, "Reconcile", "DidTheJobFail", "Done"]
    assert output == {"from": "Reconcile"}


@redact
def test_a_failed_job_is_reconciled_and_fails_all_the_same(definition: Definition) -> None:
    passed, error = walk(definition, results(2, failing="RunArray"))
    assert passed[-3:] == ["Reconcile", "DidTheJobFail", "JobFailed"]
    assert error == "JobFailed"
    assert definition["States"]["JobFailed"]["CausePath"] == "$.failure.Cause"


@redact
@pytest.mark.parametrize("step", ["Plan", "Reconcile"])
def test_a_failing_controller_fails_the_execution(definition: Definition, step: str) -> None:
    passed, error = walk(definition, results(1, failing=step))
    assert passed[-1] == step and error == f"{step} failed"


@redact
def test_controllers_are_retried_for_lambdas_failures_never_for_ours(definition: Definition) -> None:
    retries = [rule for state in definition["States"].values() for rule in state.get("Retry", [])]
    assert retries
    assert all(error.startswith("Lambda.") for rule in retries for error in rule["ErrorEquals"])


@redact
def test_a_redaction_that_finds_nothing_gets_its_receipt(definition: Definition) -> None:
    passed, _ = walk(definition, results(0))
    assert passed == ["Plan", "HowMany", "Reconcile", "DidTheJobFail", "Done"]
