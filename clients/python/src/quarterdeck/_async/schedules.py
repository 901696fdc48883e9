"""Prompts that are sent by the clock: ``client.schedules``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask
from typing_extensions import Unpack

from quarterdeck._core.prompt import PromptOptions, enqueue_request
from quarterdeck._core.values import Seconds, duration
from quarterdeck.v1.schedule_pb2 import (
    CreateScheduleRequest,
    CreateScheduleResponse,
    DeleteScheduleRequest,
    DeleteScheduleResponse,
    GetScheduleRequest,
    GetScheduleResponse,
    ListScheduleRunsRequest,
    ListScheduleRunsResponse,
    ListSchedulesRequest,
    ListSchedulesResponse,
    MissedPolicy,
    OverlapPolicy,
    PreviewScheduleRequest,
    PreviewScheduleResponse,
    RunScheduleNowRequest,
    RunScheduleNowResponse,
    Schedule,
    ScheduleRun,
    ScheduleSpec,
    SessionMode,
    UpdateScheduleRequest,
    UpdateScheduleResponse,
)

from .calls import AsyncCalls
from .paging import pages


class AsyncSchedules(AsyncCalls):
    """Prompts that are sent by the clock: ``client.schedules``."""

    async def create(
        self,
        schedule_name: str,
        session_key: str,
        text: str,
        *,
        cron: str | None = None,
        every: Seconds | None = None,
        at: datetime | None = None,
        time_zone: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        jitter: Seconds | None = None,
        session_mode: SessionMode | str | None = None,
        key_template: str = "",
        overlap: OverlapPolicy | str | None = None,
        missed: MissedPolicy | str | None = None,
        missed_window: Seconds | None = None,
        paused: bool = False,
        pause_after_failures: int | None = None,
        remaining_runs: int | None = None,
        timeout: float | None = None,
        **options: Unpack[PromptOptions],
    ) -> CreateScheduleResponse:
        """Schedules a prompt: by ``cron``, ``every`` so long, or once ``at`` a time; name one of them.

        ``options`` are those of the prompt; ``request_id`` makes repeats of this call one.
        """
        request_id = options.get("request_id")
        enqueue = enqueue_request(session_key, text, **options)
        enqueue.request_id = ""
        schedule = Schedule(
            schedule_name=schedule_name,
            spec=ScheduleSpec(
                cron=cron,
                every=duration(every),
                at=at,
                time_zone=time_zone,
                start_time=start_time,
                end_time=end_time,
                jitter=duration(jitter),
            ),
            enqueue=enqueue,
            session_mode=session_mode,
            key_template=key_template,
            overlap=overlap,
            missed=missed,
            missed_window=duration(missed_window),
            paused=paused,
            pause_after_failures=pause_after_failures,
            remaining_runs=remaining_runs,
        )
        request = CreateScheduleRequest(schedule=schedule, request_id=request_id)
        return await self._connection.call("schedules", "CreateSchedule", request, CreateScheduleResponse, timeout)

    async def get(
        self,
        schedule_name: str,
        *,
        timeout: float | None = None,
    ) -> GetScheduleResponse:
        """Reads a schedule, with the next times of its runs."""
        request = GetScheduleRequest(schedule_name=schedule_name)
        return await self._connection.call("schedules", "GetSchedule", request, GetScheduleResponse, timeout)

    async def list(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListSchedulesResponse:
        """Lists schedules, by name."""
        request = ListSchedulesRequest(page_size=page_size, page_token=page_token)
        return await self._connection.call("schedules", "ListSchedules", request, ListSchedulesResponse, timeout)

    def all(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[Schedule]:
        """All schedules, by name; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list(page_size=page_size, page_token=token, timeout=timeout),
            "schedules",
        )

    async def update(
        self,
        schedule: Schedule,
        update_mask: Iterable[str],
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> UpdateScheduleResponse:
        """Changes the fields of a schedule that ``update_mask`` names, such as ``["paused"]``."""
        request = UpdateScheduleRequest(
            schedule_name=schedule.schedule_name,
            schedule=schedule,
            update_mask=FieldMask(paths=update_mask),
            request_id=request_id,
        )
        return await self._connection.call("schedules", "UpdateSchedule", request, UpdateScheduleResponse, timeout)

    async def delete(
        self,
        schedule_name: str,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> DeleteScheduleResponse:
        """Takes a schedule away. What it began goes on."""
        request = DeleteScheduleRequest(schedule_name=schedule_name, request_id=request_id)
        return await self._connection.call("schedules", "DeleteSchedule", request, DeleteScheduleResponse, timeout)

    async def run_now(
        self,
        schedule_name: str,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RunScheduleNowResponse:
        """Runs a schedule at once, beside its times."""
        request = RunScheduleNowRequest(schedule_name=schedule_name, request_id=request_id)
        return await self._connection.call("schedules", "RunScheduleNow", request, RunScheduleNowResponse, timeout)

    async def preview(
        self,
        *,
        cron: str | None = None,
        every: Seconds | None = None,
        at: datetime | None = None,
        time_zone: str = "",
        count: int = 0,
        timeout: float | None = None,
    ) -> PreviewScheduleResponse:
        """Tells the next times of what could be scheduled."""
        spec = ScheduleSpec(cron=cron, every=duration(every), at=at, time_zone=time_zone)
        request = PreviewScheduleRequest(spec=spec, count=count)
        return await self._connection.call("schedules", "PreviewSchedule", request, PreviewScheduleResponse, timeout)

    async def list_runs(
        self,
        schedule_name: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListScheduleRunsResponse:
        """Lists the runs of a schedule, newest first."""
        request = ListScheduleRunsRequest(schedule_name=schedule_name, page_size=page_size, page_token=page_token)
        return await self._connection.call("schedules", "ListScheduleRuns", request, ListScheduleRunsResponse, timeout)

    def all_runs(
        self,
        schedule_name: str,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ScheduleRun]:
        """All runs of a schedule, newest first; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list_runs(schedule_name, page_size=page_size, page_token=token, timeout=timeout),
            "runs",
        )
