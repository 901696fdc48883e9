# Made of its counterpart in _async by `generate-sync`: change that.
"""The server itself: who may call, how it is set, what it says: ``client.admin``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from quarterdeck._core.position import LogPosition
from quarterdeck._core.retry import FOREVER
from quarterdeck._core.values import Seconds, duration
from quarterdeck.v1.admin_pb2 import (
    ApiKey,
    BroadcastReloadRequest,
    BroadcastReloadResponse,
    Channel,
    CreateApiKeyRequest,
    CreateApiKeyResponse,
    DeleteBudgetRequest,
    DeleteBudgetResponse,
    GetConfigRequest,
    GetConfigResponse,
    GetServerInfoRequest,
    GetServerInfoResponse,
    GetUsageRequest,
    GetUsageResponse,
    ListAgentsRequest,
    ListAgentsResponse,
    ListApiKeysRequest,
    ListApiKeysResponse,
    ListBudgetsRequest,
    ListBudgetsResponse,
    ListChannelsRequest,
    ListChannelsResponse,
    LogLevel,
    RevokeApiKeyRequest,
    RevokeApiKeyResponse,
    SetBudgetRequest,
    SetBudgetResponse,
    TailLogsRequest,
    UpdateConfigRequest,
    UpdateConfigResponse,
    WhoAmIRequest,
    WhoAmIResponse,
)
from quarterdeck.v1.usage_pb2 import (
    Budget,
    BudgetPeriod,
    BudgetScope,
    OnExceeded,
    UsageFilter,
    UsageGrouping,
    UsageRow,
)

from .calls import Calls
from .paging import pages
from .streams import LogTail


class Admin(Calls):
    """The server itself: who may call, how it is set, what it says: ``client.admin``."""

    def get_server_info(
        self,
        *,
        timeout: float | None = None,
    ) -> GetServerInfoResponse:
        """Tells what runs here: version, limits, agents, retention."""
        request = GetServerInfoRequest()
        return self._connection.call("admin", "GetServerInfo", request, GetServerInfoResponse, timeout)

    def list_agents(
        self,
        *,
        timeout: float | None = None,
    ) -> ListAgentsResponse:
        """Lists the configured agents, and what each can do."""
        request = ListAgentsRequest()
        return self._connection.call("admin", "ListAgents", request, ListAgentsResponse, timeout)

    def who_am_i(
        self,
        *,
        timeout: float | None = None,
    ) -> WhoAmIResponse:
        """Tells who the caller is, and what it may do."""
        request = WhoAmIRequest()
        return self._connection.call("admin", "WhoAmI", request, WhoAmIResponse, timeout)

    def get_config(
        self,
        keys: Iterable[str] = (),
        *,
        timeout: float | None = None,
    ) -> GetConfigResponse:
        """Reads the configuration; without ``keys`` all that may be read."""
        request = GetConfigRequest(keys=keys)
        return self._connection.call("admin", "GetConfig", request, GetConfigResponse, timeout)

    def update_config(
        self,
        values: Mapping[str, str] | None = None,
        *,
        clear: Iterable[str] = (),
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> UpdateConfigResponse:
        """Changes configuration keys that are safe at run time, all of them or none."""
        request = UpdateConfigRequest(values=values, clear=clear, validate_only=validate_only)
        return self._connection.call("admin", "UpdateConfig", request, UpdateConfigResponse, timeout)

    def list_channels(
        self,
        *,
        session_key: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListChannelsResponse:
        """Lists the open streams of the caller's tenant."""
        request = ListChannelsRequest(session_key=session_key, page_size=page_size, page_token=page_token)
        return self._connection.call("admin", "ListChannels", request, ListChannelsResponse, timeout)

    def all_channels(
        self,
        *,
        session_key: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[Channel]:
        """All open streams of the caller's tenant; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list_channels(
                session_key=session_key, page_size=page_size, page_token=token, timeout=timeout
            ),
            "channels",
        )

    def broadcast_reload(
        self,
        *,
        reason: str = "",
        timeout: float | None = None,
    ) -> BroadcastReloadResponse:
        """Tells every listening client to read again what it keeps."""
        request = BroadcastReloadRequest(reason=reason)
        return self._connection.call("admin", "BroadcastReload", request, BroadcastReloadResponse, timeout)

    def create_api_key(
        self,
        scopes: Iterable[str],
        *,
        subject: str = "",
        display_name: str = "",
        ttl: Seconds | None = None,
        request_id: str | None = None,
        tenant: str = "",
        timeout: float | None = None,
    ) -> CreateApiKeyResponse:
        """Makes an API key. Its ``secret`` is in this answer and never again."""
        request = CreateApiKeyRequest(
            scopes=scopes,
            subject=subject,
            display_name=display_name,
            ttl=duration(ttl),
            request_id=request_id,
            tenant=tenant,
        )
        return self._connection.call("admin", "CreateApiKey", request, CreateApiKeyResponse, timeout)

    def list_api_keys(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        include_ended: bool = False,
        tenant: str = "",
        timeout: float | None = None,
    ) -> ListApiKeysResponse:
        """Lists API keys, newest first, without secrets."""
        request = ListApiKeysRequest(
            page_size=page_size, page_token=page_token, include_ended=include_ended, tenant=tenant
        )
        return self._connection.call("admin", "ListApiKeys", request, ListApiKeysResponse, timeout)

    def all_api_keys(
        self,
        *,
        include_ended: bool = False,
        tenant: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ApiKey]:
        """All API keys, newest first, without secrets; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list_api_keys(
                include_ended=include_ended, tenant=tenant, page_size=page_size, page_token=token, timeout=timeout
            ),
            "api_keys",
        )

    def revoke_api_key(
        self,
        key_id: str,
        *,
        tenant: str = "",
        timeout: float | None = None,
    ) -> RevokeApiKeyResponse:
        """Revokes an API key."""
        request = RevokeApiKeyRequest(key_id=key_id, tenant=tenant)
        return self._connection.call("admin", "RevokeApiKey", request, RevokeApiKeyResponse, timeout)

    def get_usage(
        self,
        *,
        filter: UsageFilter | None = None,
        group_by: Iterable[UsageGrouping] = (),
        page_size: int = 0,
        page_token: str = "",
        tenant: str = "",
        timeout: float | None = None,
    ) -> GetUsageResponse:
        """What was used, summed up by group. Sums outlive their sessions."""
        request = GetUsageRequest(
            filter=filter, group_by=group_by, page_size=page_size, page_token=page_token, tenant=tenant
        )
        return self._connection.call("admin", "GetUsage", request, GetUsageResponse, timeout)

    def all_usage(
        self,
        *,
        filter: UsageFilter | None = None,
        group_by: Iterable[UsageGrouping] = (),
        tenant: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[UsageRow]:
        """All rows of what was used, summed up by group; ``page_size`` are fetched at once."""
        group_by = tuple(group_by)
        return pages(
            lambda token: self.get_usage(
                filter=filter, group_by=group_by, tenant=tenant, page_size=page_size, page_token=token, timeout=timeout
            ),
            "rows",
        )

    def set_budget(
        self,
        scope: BudgetScope | str,
        key: str = "",
        *,
        period: BudgetPeriod | str,
        soft_micros: int | None = None,
        hard_micros: int | None = None,
        soft_tokens: int | None = None,
        hard_tokens: int | None = None,
        on_exceeded: OnExceeded | str | None = None,
        request_id: str | None = None,
        tenant: str = "",
        timeout: float | None = None,
    ) -> SetBudgetResponse:
        """Sets a budget, all of it. What was used in its present period before counts."""
        request = SetBudgetRequest(
            scope=scope,
            key=key,
            period=period,
            soft_micros=soft_micros,
            hard_micros=hard_micros,
            soft_tokens=soft_tokens,
            hard_tokens=hard_tokens,
            on_exceeded=on_exceeded,
            request_id=request_id,
            tenant=tenant,
        )
        return self._connection.call("admin", "SetBudget", request, SetBudgetResponse, timeout)

    def list_budgets(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        tenant: str = "",
        timeout: float | None = None,
    ) -> ListBudgetsResponse:
        """Lists the budgets of a tenant, and what of them is used."""
        request = ListBudgetsRequest(page_size=page_size, page_token=page_token, tenant=tenant)
        return self._connection.call("admin", "ListBudgets", request, ListBudgetsResponse, timeout)

    def all_budgets(
        self,
        *,
        tenant: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[Budget]:
        """All budgets of a tenant, and what of them is used; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list_budgets(tenant=tenant, page_size=page_size, page_token=token, timeout=timeout),
            "budgets",
        )

    def delete_budget(
        self,
        scope: BudgetScope | str,
        key: str = "",
        *,
        period: BudgetPeriod | str,
        request_id: str | None = None,
        tenant: str = "",
        timeout: float | None = None,
    ) -> DeleteBudgetResponse:
        """Takes a budget away; where there is none, that is fine."""
        request = DeleteBudgetRequest(scope=scope, key=key, period=period, request_id=request_id, tenant=tenant)
        return self._connection.call("admin", "DeleteBudget", request, DeleteBudgetResponse, timeout)

    def tail_logs(
        self,
        *,
        last: int | None = None,
        level: LogLevel | str | None = None,
        target: str = "",
        session_key: str = "",
        principal: str = "",
        follow: bool = True,
        patience: float = FOREVER,
    ) -> LogTail:
        """Follows the server's log: the newest ``last`` records (default 100), then each new one.

        Where records may be missing, because the server was started again, there is a :class:`LogGap`.
        """
        request = TailLogsRequest(
            last=last,
            level=level,
            target=target,
            session_key=session_key,
            principal=principal,
            no_follow=not follow,
        )
        return LogTail(self._connection, "admin", LogPosition(request), patience=patience)
