"""What happens in sessions, posted to addresses: ``client.webhooks``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from google.protobuf.field_mask_pb2 import FieldMask

from quarterdeck.v1.webhook_pb2 import (
    CreateWebhookRequest,
    CreateWebhookResponse,
    DeleteWebhookRequest,
    DeleteWebhookResponse,
    Delivery,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    ListWebhooksRequest,
    ListWebhooksResponse,
    RedeliverWebhookRequest,
    RedeliverWebhookResponse,
    UpdateWebhookRequest,
    UpdateWebhookResponse,
    Webhook,
    WebhookFilter,
    WebhookPayload,
)

from .calls import AsyncCalls
from .paging import pages


class AsyncWebhooks(AsyncCalls):
    """What happens in sessions, posted to addresses: ``client.webhooks``."""

    async def create(
        self,
        url: str,
        *,
        kinds: Iterable[str] = (),
        filter: WebhookFilter | None = None,
        payload: WebhookPayload | str | None = None,
        display_name: str = "",
        secrets: Iterable[str] = (),
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> CreateWebhookResponse:
        """Makes a webhook. Without ``secrets`` the server makes one, which this answer alone shows."""
        webhook = Webhook(url=url, kinds=kinds, filter=filter, payload=payload, display_name=display_name)
        request = CreateWebhookRequest(webhook=webhook, secrets=secrets, request_id=request_id)
        return await self._connection.call("webhooks", "CreateWebhook", request, CreateWebhookResponse, timeout)

    async def list(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListWebhooksResponse:
        """Lists one's own webhooks, the oldest first."""
        request = ListWebhooksRequest(page_size=page_size, page_token=page_token)
        return await self._connection.call("webhooks", "ListWebhooks", request, ListWebhooksResponse, timeout)

    def all(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[Webhook]:
        """All one's own webhooks, the oldest first; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list(page_size=page_size, page_token=token, timeout=timeout),
            "webhooks",
        )

    async def update(
        self,
        webhook: Webhook,
        update_mask: Iterable[str],
        *,
        secrets: Iterable[str] = (),
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> UpdateWebhookResponse:
        """Changes the fields of a webhook that ``update_mask`` names, such as ``["paused"]``; ``secrets`` sign from
        then on where there are any."""
        request = UpdateWebhookRequest(
            webhook_id=webhook.webhook_id,
            webhook=webhook,
            update_mask=FieldMask(paths=update_mask),
            secrets=secrets,
            request_id=request_id,
        )
        return await self._connection.call("webhooks", "UpdateWebhook", request, UpdateWebhookResponse, timeout)

    async def delete(
        self,
        webhook_id: str,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> DeleteWebhookResponse:
        """Deletes a webhook and the list of its deliveries."""
        request = DeleteWebhookRequest(webhook_id=webhook_id, request_id=request_id)
        return await self._connection.call("webhooks", "DeleteWebhook", request, DeleteWebhookResponse, timeout)

    async def redeliver(
        self,
        webhook_id: str,
        *,
        session_key: str = "",
        from_seq: int = 0,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RedeliverWebhookResponse:
        """Delivers a session's events again from a place on; without ``session_key`` what waits is tried at once."""
        request = RedeliverWebhookRequest(
            webhook_id=webhook_id, session_key=session_key, from_seq=from_seq, request_id=request_id
        )
        return await self._connection.call("webhooks", "RedeliverWebhook", request, RedeliverWebhookResponse, timeout)

    async def list_deliveries(
        self,
        webhook_id: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListDeliveriesResponse:
        """Lists the deliveries of a webhook, those that were tried last first."""
        request = ListDeliveriesRequest(webhook_id=webhook_id, page_size=page_size, page_token=page_token)
        return await self._connection.call("webhooks", "ListDeliveries", request, ListDeliveriesResponse, timeout)

    def all_deliveries(
        self,
        webhook_id: str,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[Delivery]:
        """All deliveries of a webhook, those that were tried last first; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list_deliveries(webhook_id, page_size=page_size, page_token=token, timeout=timeout),
            "deliveries",
        )
