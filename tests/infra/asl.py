"""State machine definitions: taken out of a template, checked for structure, and walked with made-up results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.infra.policies import flat, of_type

Definition = dict[str, Any]
TERMINAL = {"Succeed", "Fail"}


class TaskError(Exception):
    """A task that fails in a walk."""


def definitions(template: dict[str, Any]) -> dict[str, Definition]:
    machines = of_type(template, "AWS::StepFunctions::StateMachine")
    return {name: json.loads(flat(machine["DefinitionString"])) for name, machine in machines.items()}


def successors(state: dict[str, Any]) -> Iterator[str]:
    for holder in (state, *state.get("Choices", []), *state.get("Catch", [])):
        yield from (holder[field] for field in ("Next", "Default") if field in holder)


def problems(definition: Definition) -> list[str]:
    """Everything that Step Functions would refuse at creation, as far as the structure tells."""
    states, found = definition["States"], []
    reached, todo = set(), [definition["StartAt"]]
    while todo:
        name = todo.pop()
        if name not in states:
            found.append(f"{name} is no state")
        elif name not in reached:
            reached.add(name)
            todo.extend(successors(states[name]))
    found += [f"{name} is never reached" for name in states if name not in reached]
    for name, state in states.items():
        ends = state["Type"] in TERMINAL or state.get("End") or "Next" in state
        if not ends and not (state["Type"] == "Choice" and "Default" in state):
            found.append(f"{name} leads nowhere")
    return found


def caught(state: dict[str, Any]) -> list[str]:
    """Names of the states that follow a failure of this one."""
    return [rule["Next"] for rule in state.get("Catch", [])]


def ends_after(definition: Definition, name: str) -> set[str]:
    """Types of the terminal states that can be reached from this one."""
    states, reached, todo = definition["States"], set(), [name]
    while todo:
        if (name := todo.pop()) not in reached:
            reached.add(name)
            todo.extend(successors(states[name]))
    return {states[name]["Type"] for name in reached} & TERMINAL


def walk(
    definition: Definition, run: Callable[[str], Any], context: dict[str, Any] | None = None
) -> tuple[list[str], Any]:
    """Names of the states passed, and the last state's output (of a Fail: its error). `run(name)` gives a task's result
    or raises TaskError; one that no Catch takes ends the walk there."""
    states, name, data, passed = definition["States"], definition["StartAt"], {}, []
    while True:
        state = states[name]
        passed.append(name)
        match state["Type"]:
            case "Succeed":
                return passed, _get(data, state.get("OutputPath", "$"))
            case "Fail":
                return passed, state["Error"] if "Error" in state else _get(data, state["ErrorPath"])
            case "Choice":
                name = next((rule["Next"] for rule in state["Choices"] if _holds(rule, data)), state["Default"])
                continue
            case "Pass":
                result = state["Result"] if "Result" in state else _filled(state["Parameters"], data, context or {})
                data, name = _put(data, state.get("ResultPath", "$"), result), state["Next"]
                continue
        try:
            data, name = _put(data, state.get("ResultPath", "$"), run(name)), state["Next"]
        except TaskError as error:
            if "Catch" not in state:
                return passed, str(error)
            catch = state["Catch"][0]
            data, name = _put(data, catch["ResultPath"], {"Error": str(error), "Cause": "c"}), catch["Next"]


def _filled(template: dict[str, Any], data: Any, context: dict[str, Any]) -> dict[str, Any]:
    return {
        key.removesuffix(".$"): (context.get(value) if value.startswith("$$") else _get(data, value))
        if key.endswith(".$")
        else value
        for key, value in template.items()
    }


def _holds(rule: dict[str, Any], data: Any) -> bool:
    field = rule["Variable"].removeprefix("$.")
    if "IsPresent" in rule:
        return (field in data) == rule["IsPresent"]
    (compared,) = (rule[kind] for kind in ("NumericEquals", "BooleanEquals", "StringEquals") if kind in rule)
    return bool(data[field] == compared)


def _get(data: Any, path: str) -> Any:
    for field in path.split(".")[1:]:
        data = data[field]
    return data


def _put(data: Any, path: str | None, result: Any) -> Any:
    if path is None:
        return data
    first, _, rest = path.removeprefix("$").removeprefix(".").partition(".")
    if not first:
        return result
    return {**data, first: _put(data.get(first, {}), f"$.{rest}", result) if rest else result}
