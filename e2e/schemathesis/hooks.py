"""What schemathesis does not know of Caudal: who asks, and what is there. Counts the answers for contract.test.ts."""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation

from world import World

world = World.of_environment()
# By status, and by operation and status.
statuses: Counter[int] = Counter()
by_operation: dict[str, Counter[int]] = {}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    operation = case.operation
    auth = operation.definition.raw.get("x-caudal-auth")
    account = world.account(operation.label, auth)
    case.headers["X-Forwarded-For"] = account.address
    # Logging out with a token would end the session of the account.
    if auth != "anonymous":
        case.headers["Authorization"] = f"Bearer {account.token}"
    # Every second time what is named is there.
    turn = sum(by_operation.get(operation.label, Counter()).values()) % 2 == 0
    for name, value in case.path_parameters.items():
        needed = case.path.startswith("/api/admin/users/") and world.is_needed(value)
        if needed or turn and is_well_formed(case, ParameterLocation.PATH):
            there = world.existing(operation.method.upper(), case.path, name, account)
            case.path_parameters[name] = value if there is None else there
    if turn and operation.label == "GET /api/streams/mine":
        world.open_stream(account)
    if turn and operation.label == "POST /api/subscriptions" and is_well_formed(case, ParameterLocation.BODY):
        case.body = world.wish_to_subscribe()
    if turn and operation.label == "POST /api/auth/refresh" and is_well_formed(case, ParameterLocation.BODY):
        case.body = {"refreshToken": world.refresh_token(account)}


def is_well_formed(case: Any, location: ParameterLocation) -> bool:
    """Whether this part of a request is as the document wants it: what is wrong on purpose stays so."""
    part = case.meta.components.get(location) if case.meta else None
    return part is not None and part.mode.is_positive


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    label, status = case.operation.label, response.status_code
    statuses[status] += 1
    # It also tries methods that the path does not have, or that are another operation's.
    if case.method.upper() == case.operation.method.upper():
        by_operation.setdefault(label, Counter())[status] += 1
    if label == "PATCH /api/admin/registration":
        world.open_registration()
    # Logged out, deleted, or asked too often.
    if status in (401, 429) or (label == "DELETE /api/users/me" and status == 204):
        world.replace(label)


@atexit.register
def report() -> None:
    with open(os.environ["CAUDAL_REPORT"], "w", encoding="utf-8") as file:
        json.dump({"statuses": statuses, "operations": by_operation}, file)
