"""Handlers below /api/auth and /api/admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from ..chassis.access import current_caller
from ..chassis.auth import client_of
from ..chassis.http import describe, json_response, read_body, read_id, read_query
from ..models.auth import (
    AccountChanges,
    AccountCursorPage,
    AccountOut,
    AccountPage,
    AccountQuery,
    Credentials,
    PasswordChange,
    RefreshRequest,
    TokenPair,
)
from ..models.user import UserCreate, UserOut

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..services.auth import Authentication
    from ..services.auth_accounts import Accounts
    from ..services.auth_directory import Directory

_TAGS = ["auth"]
_ADMIN_TAGS = ["admin"]


class AuthController:
    """Registration, login and logout, and the caller's own account."""

    def __init__(self, authentication: Authentication, directory: Directory) -> None:
        self._authentication = authentication
        self._directory = directory

    @describe(
        summary="Register",
        description="Creates a user who may log in at once. The e-mail must not be taken, in whatever letter case.",
        body=UserCreate,
        responses={201: UserOut},
        problems=[400, 409, 413, 415, 422, 429, 503],
        tags=_TAGS,
    )
    async def register(self, request: Request) -> Response:
        client = await self._counted_client(request)
        user = await self._authentication.register(await read_body(request, UserCreate), client)
        return json_response(user, status=201, headers={"Location": f"/api/users/{user.id}"})

    @describe(
        summary="Log in",
        description="An unknown e-mail, a wrong password and a deactivated account get the same response.",
        body=Credentials,
        responses={200: TokenPair},
        problems=[400, 401, 413, 415, 422, 429, 503],
        tags=_TAGS,
    )
    async def log_in(self, request: Request) -> Response:
        client = await self._counted_client(request)
        credentials = await read_body(request, Credentials)
        return json_response(await self._authentication.log_in(credentials, client))

    @describe(
        summary="Get a new pair of tokens",
        description="A refresh token is good once, and for 10 seconds more: a second use in that time gets the same "
        "new refresh token. A later use ends the session, because the token was stolen.",
        body=RefreshRequest,
        responses={200: TokenPair},
        problems=[400, 401, 413, 415, 422, 429, 503],
        tags=_TAGS,
    )
    async def refresh(self, request: Request) -> Response:
        client = await self._counted_client(request)
        token = (await read_body(request, RefreshRequest)).refresh_token.get_secret_value()
        return json_response(await self._authentication.refresh(token, client))

    @describe(
        summary="Log out",
        description="Ends the session of the token: neither it nor its refresh token is accepted any more.",
        responses={204: None},
        problems=[503],
        tags=_TAGS,
    )
    async def log_out(self, request: Request) -> Response:
        await self._authentication.log_out(request.state.claims, client_of(request))
        return Response(status_code=204)

    @describe(
        summary="Get the current user",
        description="The account of the caller.",
        responses={200: AccountOut},
        problems=[503],
        tags=_TAGS,
    )
    async def me(self, _request: Request) -> Response:
        return json_response(await self._directory.get(current_caller.get().user_id))

    @describe(
        summary="Change your password",
        description="Ends every session of the caller, this one too.",
        body=PasswordChange,
        responses={204: None},
        problems=[400, 413, 415, 422, 429, 503],
        tags=_TAGS,
    )
    async def change_password(self, request: Request) -> Response:
        await self._counted_client(request)
        change = await read_body(request, PasswordChange)
        await self._authentication.change_password(current_caller.get(), change)
        return Response(status_code=204)

    async def _counted_client(self, request: Request) -> str:
        """The client's address, whose request is counted before its body is read."""
        client = client_of(request)
        await self._authentication.count_request(client)
        return client


class AdminController:
    """What admins do about accounts."""

    def __init__(self, accounts: Accounts, directory: Directory) -> None:
        self._accounts = accounts
        self._directory = directory

    @describe(
        summary="List accounts",
        description="With role and activity. By `page` or by `cursor`, sorted and filtered, as the users are.",
        query=AccountQuery,
        responses={200: (AccountPage, AccountCursorPage)},
        problems=[400, 422, 503],
        tags=_ADMIN_TAGS,
    )
    async def list(self, request: Request) -> Response:
        return json_response(await self._directory.find(read_query(request, AccountQuery)))

    @describe(
        summary="Change a role, deactivate or activate an account",
        description="Ends every session of the account. Only a superadmin may do it to an admin, or make one; it "
        "cannot be your own.",
        body=AccountChanges,
        responses={200: AccountOut},
        problems=[400, 404, 413, 415, 422, 503],
        tags=_ADMIN_TAGS,
    )
    async def update(self, request: Request) -> Response:
        user_id = read_id(request, "user_id")
        changes = await read_body(request, AccountChanges)
        await self._accounts.change(current_caller.get(), user_id, changes)
        return json_response(await self._directory.get(user_id))
