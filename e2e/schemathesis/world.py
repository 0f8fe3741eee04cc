"""People of a running Caudal, and what is theirs, made through its api for one operation at a time.

An operation that logs its account out, is refused it, or uses up its limits gets another one: else most answers would
say so and nothing else.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, field
from typing import Any

import requests

# That of the document's examples, so that a confirmation by password is right now and then.
PASSWORD = "correct horse battery"


@dataclass
class Account:
    """Somebody logged in, at an address that nobody else has."""

    id: str
    username: str
    token: str
    address: str
    # What was made of theirs, by what it is.
    things: dict[str, str] = field(default_factory=dict)


class World:
    def __init__(self, api: str, stripe: str, admin: str, admin_password: str) -> None:
        self._api = api
        self._stripe = stripe
        self._numbers = itertools.count(1)
        self._http = requests.Session()
        self._accounts: dict[str, Account] = {}
        self._ids: set[str] = set()
        address = self._address()
        answer = self._ask("POST", "/api/auth/login", address, {"login": admin, "password": admin_password})
        self._boss = Account(answer["user"]["id"], admin, answer["accessToken"], address)
        self._ids.add(self._boss.id)
        self._other = self._register()
        for tier, amount in (("pro", 999), ("premium", 2499)):
            self._as(self._other, "PUT", f"/api/billing/plans/{tier}", {"amount": amount})

    @classmethod
    def of_environment(cls) -> World:
        names = ("CAUDAL_API", "CAUDAL_STRIPE", "CAUDAL_ADMIN", "CAUDAL_ADMIN_PASSWORD")
        return cls(*(os.environ[name] for name in names))

    def account(self, operation: str, auth: str) -> Account:
        """Whom an operation is tried as: the owner of what it names; an admin where the document says so."""
        account = self._accounts.get(operation)
        if account is None:
            account = self._accounts[operation] = self._register()
            if auth == "admin":
                self._as(self._boss, "PUT", f"/api/admin/users/{account.id}/role", {"role": "admin"})
        return account

    def replace(self, operation: str) -> None:
        """The account is of no use any more."""
        self._accounts.pop(operation, None)

    def open_registration(self) -> None:
        """After an operation that may have closed it."""
        self._as(self._boss, "PATCH", "/api/admin/registration", {"mode": "open"})

    def is_needed(self, text: str) -> bool:
        """Whether this is somebody of ours: an admin's operation must neither ban nor demote them."""
        return text in self._ids

    def existing(self, method: str, path: str, name: str, account: Account) -> str | None:
        """Something that is there, for a parameter of a path; None where nothing can be."""
        match (path, name):
            case (_, "slug"):
                return self._as(self._boss, "POST", "/api/categories", self._category())["slug"]
            case (_, "message"):
                return self._message(account)
            case (_, "term"):
                text = f"word {next(self._numbers)}"
                return self._as(account, "POST", f"/api/chat/{self.open_stream(account)}/terms", {"term": text})["id"]
            case (_, "user"):
                return self._other.id
            case (_, "tier"):
                return "pro"
        if path.startswith(("/api/chat/", "/api/streams/")):
            return self.open_stream(account)
        if path.startswith("/api/admin/invitations/"):
            return self._as(self._boss, "POST", "/api/admin/invitations", {"uses": 1})["id"]
        if path.startswith("/api/admin/users/"):
            return self._once(account, "victim", lambda: self._register().id)
        if path.startswith("/api/auth/sessions/"):
            return self._once(account, "session", lambda: self._second_session(account))
        if path.startswith("/api/event-subscriptions/"):
            return self._once(account, "subscription", lambda: self._subscription(account))
        if path.startswith("/api/checkouts/"):
            return self._once(account, "checkout", lambda: self._checkout(account)["id"])
        if path.startswith("/api/subscriptions/streamer/") or (method, path) == ("GET", "/api/subscriptions/{id}"):
            return account.id
        if path.endswith("/withdraw"):
            mine = self._as(account, "GET", "/api/subscriptions/me")
            live = next((one["id"] for one in mine if one["status"] != "expired"), None)
            return live or self._paid_subscription(account)
        if path.startswith("/api/subscriptions/"):
            return self._once(account, "paid", lambda: self._paid_subscription(account))
        if path.startswith("/api/notifications/"):
            return self._once(account, "notification", lambda: self._notification(account))
        if path.startswith(("/api/users/{id}/followers", "/api/users/{id}/following")):
            return account.id
        if path.startswith("/api/users/"):
            return self._other.id
        return None

    def open_stream(self, account: Account) -> str:
        return self._once(account, "stream", lambda: self._as(account, "POST", "/api/streams", {"title": "Mine"})["id"])

    def _message(self, account: Account) -> str:
        """Of somebody who has said nothing for a while."""
        guest = self._register()
        said = self._as(guest, "POST", f"/api/chat/{self.open_stream(account)}/messages", {"message": "hola"})
        return said["id"]

    def refresh_token(self, account: Account) -> str:
        """Of a log-in of its own: using one twice would end the session."""
        credentials = {"login": account.username, "password": PASSWORD}
        return self._ask("POST", "/api/auth/login", account.address, credentials)["refreshToken"]

    def _second_session(self, account: Account) -> str:
        self.refresh_token(account)
        sessions = self._as(account, "GET", "/api/auth/sessions")
        return next(session["id"] for session in sessions if not session["current"])

    def _subscription(self, account: Account) -> str:
        # A name that no name server knows: nobody is asked.
        body = {"callback": "https://bot.invalid/hook", "types": ["stream_started"], "secret": "a-secret-of-ours"}
        return self._as(account, "POST", "/api/event-subscriptions", body)["id"]

    def wish_to_subscribe(self) -> dict[str, str]:
        return {"streamerId": self._other.id, "tier": "pro", "paymentMethod": "card"}

    def _checkout(self, account: Account) -> dict[str, Any]:
        # From elsewhere, because one address may not do this often.
        return self._ask("POST", "/api/subscriptions", self._address(), self.wish_to_subscribe(), account.token)

    def _paid_subscription(self, account: Account) -> str:
        checkout = self._checkout(account)
        session = checkout["url"].rsplit("/", 1)[1]
        paid = self._http.post(f"{self._stripe}/_control/pay", json={"session": session, "card": "ok"}, timeout=30)
        paid.raise_for_status()
        return self._as(account, "GET", f"/api/checkouts/{checkout['id']}")["subscriptionId"]

    def _notification(self, account: Account) -> str:
        self._as(self._register(), "POST", f"/api/users/{account.id}/follow")
        deadline = time.monotonic() + 30
        while not (told := self._as(account, "GET", "/api/notifications")):
            # The outbox is worked off in the background.
            if time.monotonic() > deadline:
                raise AssertionError("nobody was told of a new follower")
            time.sleep(0.05)
        return told[0]["id"]

    def _category(self) -> dict[str, str]:
        number = next(self._numbers)
        return {"slug": f"made-{number}", "name": f"Made {number}"}

    def _register(self) -> Account:
        username, address = f"person_{next(self._numbers)}", self._address()
        wanted = {"username": username, "email": f"{username}@example.org", "password": PASSWORD}
        answer = self._ask("POST", "/api/auth/register", address, wanted)
        self._ids.add(answer["user"]["id"])
        return Account(answer["user"]["id"], username, answer["accessToken"], address)

    def _address(self) -> str:
        """Limits count by address; the server believes what its proxy, which is us, says."""
        number = next(self._numbers)
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def _once(self, account: Account, what: str, make) -> str:
        if what not in account.things:
            account.things[what] = make()
        return account.things[what]

    def _as(self, account: Account, method: str, path: str, body: Any = None) -> Any:
        return self._ask(method, path, account.address, body, account.token)

    def _ask(self, method: str, path: str, address: str, body: Any = None, token: str | None = None) -> Any:
        headers = {"X-Forwarded-For": address}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        answer = self._http.request(method, self._api + path, json=body, headers=headers, timeout=30)
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None
