"""The text of `pytest-repro init`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_repro.adopting.init import Plan, PlannedFile
from pytest_repro.model.text import escape


def describe_plan(plan: Plan, written: Sequence[str] | None) -> str:
    """Return what would be written, or what was; `written` is None for a plan alone."""
    lines = _describe_choice(plan)
    for planned in plan.files:
        lines += ["", _title(planned, written)]
        lines += [f"  {line}".rstrip() for line in planned.shown.splitlines()]
    lines += [part for note in plan.notes for part in ("", *note.splitlines())]
    lines += ["", *_next_steps(plan, written)]
    return "\n".join(lines)


def plan_to_json(plan: Plan, written: Sequence[str] | None) -> dict[str, Any]:
    """Return the document that ``--json`` prints."""
    chosen = plan.chosen
    return {
        "path": str(plan.root),
        "training": None
        if chosen is None
        else {
            "place": f"{chosen.file}:{chosen.line}",
            "module": chosen.module,
            "function": chosen.name,
            "reasons": list(chosen.reasons),
            "unknown_arguments": list(chosen.unknown),
        },
        "files": [
            {
                "name": each.name,
                "new_text": each.shown,
                "exists": each.before is not None,
                "refused": each.refused or None,
                "written": written is not None and each.name in written,
            }
            for each in plan.files
        ],
        "notes": plan.notes,
    }


def _describe_choice(plan: Plan) -> list[str]:
    if plan.chosen is None:
        return ["no function named train, fit or run_training was found: the test is an example that runs"]
    chosen = plan.chosen
    lines = [f"training found: {escape(chosen.file)}:{chosen.line} {chosen.name}; {', '.join(chosen.reasons)}"]
    others = ", ".join(f"{escape(each.file)}:{each.line} {each.name}" for each in plan.others[:5])
    return lines + ([f"others: {others}"] if others else [])


def _title(planned: PlannedFile, written: Sequence[str] | None) -> str:
    name = escape(planned.name)
    if planned.refused:
        return f"{name}: not written: {planned.refused}"
    if written is None:
        return f"{name}: {'these lines would be added' if planned.before is not None else 'would be created'}"
    return f"{name}: {'these lines were added' if planned.before is not None else 'was created'}"


def _next_steps(plan: Plan, written: Sequence[str] | None) -> list[str]:
    if written is None:
        return ["nothing was changed; --write writes it"]
    test = next((each.name for each in plan.files if each.name.endswith(".py")), "")
    return [f"next: pytest {test}"]
