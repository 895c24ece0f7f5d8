"""Handlers below /api/users."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ..chassis.http import describe, json_response, read_body, read_id, read_if_match, read_query, version_headers
from ..models.user import LISTS, UserChanges, UserCreate, UserOut, UserQuery, UserSearch

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..chassis.http import Idempotency
    from ..services.users import Users

_TAGS = ["users"]
_LISTED: dict[str, Any] = {
    "summary": "List users",
    "description": "With `page`, or nothing, the response has totals; with `cursor` it costs the same at any depth; "
    "with `ids` it holds those users in the order asked, without those that do not exist.",
    "responses": {200: LISTS},
    "problems": [400, 422, 503],
    "tags": _TAGS,
}


class UsersController:
    """One method for each method and path of the users."""

    def __init__(self, users: Users, idempotency: Idempotency) -> None:
        self._users = users
        self._idempotency = idempotency

    @describe(
        summary="Create a user",
        description="The e-mail must not be taken, in whatever letter case; `Location` names the new user's path.",
        body=UserCreate,
        responses={201: UserOut},
        problems=[400, 409, 413, 415, 422, 503],
        tags=_TAGS,
        idempotent=True,
        versioned=True,
    )
    async def create(self, request: Request) -> Response:
        def created(user: UserOut) -> Response:
            headers = {"Location": f"{request.url.path}/{user.id}", **version_headers(user.version)}
            return json_response(user, status=201, headers=headers)

        new = await read_body(request, UserCreate)
        return await self._idempotency.respond(request, new, partial(self._users.create, new), created)

    @describe(query=UserQuery, **_LISTED)
    async def list(self, request: Request) -> Response:
        return json_response(await self._users.find(read_query(request, UserQuery)))

    @describe(query=UserSearch, **_LISTED)
    async def search(self, request: Request) -> Response:
        return json_response(await self._users.find(read_query(request, UserSearch)))

    @describe(
        summary="Get a user",
        description="Served from a cache that every change of the user invalidates.",
        responses={200: UserOut},
        problems=[404, 422, 503],
        tags=_TAGS,
        versioned=True,
    )
    async def get(self, request: Request) -> Response:
        version, document = await self._users.get_json(read_id(request, "user_id"))
        return Response(document, headers=version_headers(version), media_type="application/json")

    @describe(
        summary="Change a user",
        description="Changes the fields that are given, at least one, and leaves the others.",
        body=UserChanges,
        responses={200: UserOut},
        problems=[400, 404, 409, 413, 415, 422, 503],
        tags=_TAGS,
        versioned=True,
    )
    async def update(self, request: Request) -> Response:
        user_id, versions = read_id(request, "user_id"), read_if_match(request)
        user = await self._users.update(user_id, await read_body(request, UserChanges), versions)
        return json_response(user, headers=version_headers(user.version))

    @describe(
        summary="Delete a user",
        description="The user is gone at once, also from every cache.",
        responses={204: None},
        problems=[404, 422, 503],
        tags=_TAGS,
        versioned=True,
    )
    async def delete(self, request: Request) -> Response:
        await self._users.delete(read_id(request, "user_id"), read_if_match(request))
        return Response(status_code=204)
