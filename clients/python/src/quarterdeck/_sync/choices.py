# Made of its counterpart in _async by `generate-sync`: change that.
"""Models, thinking levels and options of a session's agent."""

from __future__ import annotations

from collections.abc import Iterable

from quarterdeck.v1.gateway_pb2 import (
    ListOptionsRequest,
    ListOptionsResponse,
    SetOptionRequest,
    SetOptionResponse,
)
from quarterdeck.v1.model_pb2 import (
    ListModelsRequest,
    ListModelsResponse,
    ListRoutesRequest,
    ListRoutesResponse,
    ResolveRouteRequest,
    ResolveRouteResponse,
    SetModelRequest,
    SetModelResponse,
    SetRoutesRequest,
    SetRoutesResponse,
    SetThinkingLevelRequest,
    SetThinkingLevelResponse,
)
from quarterdeck.v1.routing_pb2 import Route

from .calls import Calls


class ChoiceCalls(Calls):
    """Models, thinking levels and options of a session's agent. Choices count from the next start of a turn."""

    def list_models(
        self,
        *,
        session_key: str = "",
        agent: str = "",
        timeout: float | None = None,
    ) -> ListModelsResponse:
        """What a session's agent offers, or a named one, and what is in use."""
        request = ListModelsRequest(session_key=session_key, agent=agent)
        return self._connection.call("models", "ListModels", request, ListModelsResponse, timeout)

    def set_model(
        self,
        session_key: str,
        model_id: str,
        *,
        provider: str = "",
        request_id: str | None = None,
        expected_generation: int | None = None,
        timeout: float | None = None,
    ) -> SetModelResponse:
        """Chooses a session's model; an empty one gives the choice back."""
        request = SetModelRequest(
            session_key=session_key,
            provider=provider,
            model_id=model_id,
            request_id=request_id,
            expected_generation=expected_generation,
        )
        return self._connection.call("models", "SetModel", request, SetModelResponse, timeout)

    def set_thinking_level(
        self,
        session_key: str,
        level: str,
        *,
        request_id: str | None = None,
        expected_generation: int | None = None,
        timeout: float | None = None,
    ) -> SetThinkingLevelResponse:
        """Chooses a session's thinking level; an empty one gives the choice back."""
        request = SetThinkingLevelRequest(
            session_key=session_key, level=level, request_id=request_id, expected_generation=expected_generation
        )
        return self._connection.call("models", "SetThinkingLevel", request, SetThinkingLevelResponse, timeout)

    def list_routes(self, *, tenant: str = "", timeout: float | None = None) -> ListRoutesResponse:
        """A tenant's routes in their order. Needs ``admin.config``."""
        request = ListRoutesRequest(tenant=tenant)
        return self._connection.call("models", "ListRoutes", request, ListRoutesResponse, timeout)

    def set_routes(
        self,
        routes: Iterable[Route],
        *,
        etag: str = "",
        request_id: str | None = None,
        tenant: str = "",
        timeout: float | None = None,
    ) -> SetRoutesResponse:
        """Replaces a tenant's routes, all of them. Raises ``RoutesChanged`` where they have changed since ``etag``."""
        request = SetRoutesRequest(routes=routes, etag=etag, request_id=request_id, tenant=tenant)
        return self._connection.call("models", "SetRoutes", request, SetRoutesResponse, timeout)

    def resolve_route(self, request: ResolveRouteRequest, *, timeout: float | None = None) -> ResolveRouteResponse:
        """What the routes would do with a turn; nothing is sent. Needs ``admin.config``."""
        return self._connection.call("models", "ResolveRoute", request, ResolveRouteResponse, timeout)

    def list_options(self, session_key: str, *, timeout: float | None = None) -> ListOptionsResponse:
        """What a session's agent lets be chosen besides model and thinking level, and what is chosen."""
        request = ListOptionsRequest(session_key=session_key)
        return self._connection.call("gateway", "ListOptions", request, ListOptionsResponse, timeout)

    def set_option(
        self,
        session_key: str,
        option_id: str,
        value: str,
        *,
        request_id: str | None = None,
        expected_generation: int | None = None,
        timeout: float | None = None,
    ) -> SetOptionResponse:
        """Chooses an option; an empty value gives the choice back."""
        request = SetOptionRequest(
            session_key=session_key,
            option_id=option_id,
            value=value,
            request_id=request_id,
            expected_generation=expected_generation,
        )
        return self._connection.call("gateway", "SetOption", request, SetOptionResponse, timeout)
