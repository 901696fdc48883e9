# Made of its counterpart in _async by `generate-sync`: change that.
"""Memory that survives, is found, and reaches the agent: ``client.memory``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from quarterdeck.v1.memory_pb2 import (
    ForgetRequest,
    ForgetResponse,
    GetMemoryRequest,
    GetMemoryResponse,
    GetMemoryStatusRequest,
    GetMemoryStatusResponse,
    ImportMemoriesRequest,
    ImportMemoriesResponse,
    ListCoreMemoriesRequest,
    ListCoreMemoriesResponse,
    ListMemoriesRequest,
    ListMemoriesResponse,
    MemoryBucket,
    MemoryItem,
    MemoryKind,
    RebuildMemoryRequest,
    RebuildMemoryResponse,
    RememberRequest,
    RememberResponse,
    SearchMemoryRequest,
    SearchMemoryResponse,
    SearchMode,
)

from .calls import Calls
from .paging import pages


class Memory(Calls):
    """Memory that survives, is found, and reaches the agent: ``client.memory``."""

    def remember(
        self,
        content: str,
        *,
        namespace: str = "",
        session_key: str = "",
        bucket: MemoryBucket | str | None = None,
        kind: MemoryKind | str | None = None,
        key: str = "",
        tags: Iterable[str] = (),
        request_id: str | None = None,
        expire_time: datetime | None = None,
        timeout: float | None = None,
    ) -> RememberResponse:
        """Writes a memory. With a ``key`` it takes the place of the memory of that key."""
        request = RememberRequest(
            content=content,
            namespace=namespace,
            session_key=session_key,
            bucket=bucket,
            kind=kind,
            key=key,
            tags=tags,
            request_id=request_id,
            expire_time=expire_time,
        )
        return self._connection.call("memory", "Remember", request, RememberResponse, timeout)

    def search(
        self,
        query: str = "",
        *,
        namespace: str = "",
        session_key: str = "",
        limit: int = 0,
        mode: SearchMode | str | None = None,
        tags: Iterable[str] = (),
        kinds: Iterable[MemoryKind | str] = (),
        episodes: bool = True,
        timeout: float | None = None,
    ) -> SearchMemoryResponse:
        """Finds the best matches in one scope: memories, and messages of conversations."""
        request = SearchMemoryRequest(
            query=query,
            namespace=namespace,
            session_key=session_key,
            limit=limit,
            mode=mode,
            tags=tags,
            kinds=kinds,
            episodes=episodes,
        )
        return self._connection.call("memory", "SearchMemory", request, SearchMemoryResponse, timeout)

    def forget(
        self,
        *,
        namespace: str = "",
        session_key: str = "",
        id: str = "",
        key: str = "",
        hard: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ForgetResponse:
        """Forgets a memory by its ``id``, or by its ``key``. ``hard`` erases it; otherwise it is hidden."""
        request = ForgetRequest(
            namespace=namespace, session_key=session_key, id=id, key=key, hard=hard, request_id=request_id
        )
        return self._connection.call("memory", "Forget", request, ForgetResponse, timeout)

    def get(
        self,
        id: str,
        *,
        reveal: bool = False,
        timeout: float | None = None,
    ) -> GetMemoryResponse:
        """Reads one memory with its past. ``reveal`` shows the content of a secret."""
        request = GetMemoryRequest(id=id, reveal=reveal)
        return self._connection.call("memory", "GetMemory", request, GetMemoryResponse, timeout)

    def list(
        self,
        *,
        namespace: str = "",
        session_key: str = "",
        page_size: int = 0,
        page_token: str = "",
        bucket: MemoryBucket | str | None = None,
        kinds: Iterable[MemoryKind | str] = (),
        tags: Iterable[str] = (),
        timeout: float | None = None,
    ) -> ListMemoriesResponse:
        """Lists the memories of one scope, newest change first."""
        request = ListMemoriesRequest(
            namespace=namespace,
            session_key=session_key,
            page_size=page_size,
            page_token=page_token,
            bucket=bucket,
            kinds=kinds,
            tags=tags,
        )
        return self._connection.call("memory", "ListMemories", request, ListMemoriesResponse, timeout)

    def all(
        self,
        *,
        namespace: str = "",
        session_key: str = "",
        bucket: MemoryBucket | str | None = None,
        kinds: Iterable[MemoryKind | str] = (),
        tags: Iterable[str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[MemoryItem]:
        """All memories of one scope, newest change first; ``page_size`` are fetched at once."""
        kinds = tuple(kinds)
        tags = tuple(tags)
        return pages(
            lambda token: self.list(
                namespace=namespace,
                session_key=session_key,
                bucket=bucket,
                kinds=kinds,
                tags=tags,
                page_size=page_size,
                page_token=token,
                timeout=timeout,
            ),
            "memories",
        )

    def list_core(
        self,
        *,
        namespace: str = "",
        session_key: str = "",
        timeout: float | None = None,
    ) -> ListCoreMemoriesResponse:
        """Reads the memories of one scope that are always given to the agent."""
        request = ListCoreMemoriesRequest(namespace=namespace, session_key=session_key)
        return self._connection.call("memory", "ListCoreMemories", request, ListCoreMemoriesResponse, timeout)

    def get_status(
        self,
        *,
        namespace: str = "",
        session_key: str = "",
        timeout: float | None = None,
    ) -> GetMemoryStatusResponse:
        """Counts the memories of one scope, and tells the health of index and embeddings."""
        request = GetMemoryStatusRequest(namespace=namespace, session_key=session_key)
        return self._connection.call("memory", "GetMemoryStatus", request, GetMemoryStatusResponse, timeout)

    def rebuild(
        self,
        *,
        timeout: float | None = None,
    ) -> RebuildMemoryResponse:
        """Starts to derive the index anew, and returns."""
        request = RebuildMemoryRequest()
        return self._connection.call("memory", "RebuildMemory", request, RebuildMemoryResponse, timeout)

    def import_memories(
        self,
        memories: Iterable[MemoryItem],
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ImportMemoriesResponse:
        """Writes up to 1000 memories in one transaction, with source and times as they are given."""
        request = ImportMemoriesRequest(memories=memories, request_id=request_id)
        return self._connection.call("memory", "ImportMemories", request, ImportMemoriesResponse, timeout)
