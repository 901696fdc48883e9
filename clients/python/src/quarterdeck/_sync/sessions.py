# Made of its counterpart in _async by `generate-sync`: change that.
"""Sessions, their settings and their history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.field_mask_pb2 import FieldMask

from quarterdeck._core.position import wire_cursor
from quarterdeck._core.values import Seconds, duration
from quarterdeck.errors import Cursor
from quarterdeck.v1.command_pb2 import (
    CompactSessionRequest,
    CompactSessionResponse,
    ExecuteCommandRequest,
    ExecuteCommandResponse,
    ListCommandsRequest,
    ListCommandsResponse,
    ReloadSessionRequest,
    ReloadSessionResponse,
)
from quarterdeck.v1.gateway_pb2 import (
    Artifact,
    ClientTool,
    CreateSessionRequest,
    CreateSessionResponse,
    DeleteSessionRequest,
    DeleteSessionResponse,
    FileEntry,
    ForkSessionRequest,
    ForkSessionResponse,
    GetAttachmentRequest,
    GetAttachmentResponse,
    GetDiffRequest,
    GetDiffResponse,
    GetSessionRequest,
    GetSessionResponse,
    GetSessionStateRequest,
    GetSessionStateResponse,
    ListArtifactsRequest,
    ListArtifactsResponse,
    ListFilesRequest,
    ListFilesResponse,
    ListMessagesRequest,
    ListMessagesResponse,
    ListSessionsRequest,
    ListSessionsResponse,
    ReadEventsRequest,
    ReadEventsResponse,
    ReadFileRequest,
    ReadFileResponse,
    ResetRequest,
    ResetResponse,
    SessionFilter,
    UpdateSessionRequest,
    UpdateSessionResponse,
)
from quarterdeck.v1.message_pb2 import Message
from quarterdeck.v1.question_pb2 import NoApprover, ToolRule
from quarterdeck.v1.session_pb2 import SessionSnapshot

from .calls import Calls
from .paging import pages


class SessionCalls(Calls):
    """Sessions, their settings and their history."""

    def create_session(
        self,
        session_key: str,
        *,
        agent: str = "",
        model: str = "",
        thinking_level: str = "",
        labels: Mapping[str, str] | None = None,
        cwd: str = "",
        display_name: str = "",
        expire_after_idle: Seconds | None = None,
        request_id: str | None = None,
        memory_namespaces: Iterable[str] = (),
        no_approver: NoApprover | str | None = None,
        question_ttl: Seconds | None = None,
        tool_policy: Iterable[ToolRule] = (),
        client_tools: Iterable[ClientTool] = (),
        timeout: float | None = None,
    ) -> CreateSessionResponse:
        """Creates a session.

        ``tool_policy`` says what its agent may run without asking, such as ``[ToolRule(tool="bash",
        action="TOOL_ACTION_ALLOW")]``; ``no_approver`` what becomes of a question where nobody is there, and
        ``question_ttl`` how long one waits. ``client_tools`` are tools that you run.
        """
        request = CreateSessionRequest(
            session_key=session_key,
            agent=agent,
            model=model,
            thinking_level=thinking_level,
            labels=labels,
            cwd=cwd,
            display_name=display_name,
            expire_after_idle=duration(expire_after_idle),
            request_id=request_id,
            memory_namespaces=memory_namespaces,
            no_approver=no_approver,
            question_ttl=duration(question_ttl),
            tool_policy=tool_policy,
            client_tools=client_tools,
        )
        return self._connection.call("gateway", "CreateSession", request, CreateSessionResponse, timeout)

    def get_session(
        self,
        session_key: str,
        *,
        min_seq: int = 0,
        timeout: float | None = None,
    ) -> GetSessionResponse:
        """Reads a session."""
        request = GetSessionRequest(session_key=session_key, min_seq=min_seq)
        return self._connection.call("gateway", "GetSession", request, GetSessionResponse, timeout)

    def get_session_state(
        self,
        session_key: str,
        *,
        min_seq: int = 0,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> GetSessionStateResponse:
        """Reads a session with its newest messages, the open one and running tools, all as of one ``seq``."""
        request = GetSessionStateRequest(session_key=session_key, min_seq=min_seq, page_size=page_size)
        return self._connection.call("gateway", "GetSessionState", request, GetSessionStateResponse, timeout)

    def list_sessions(
        self,
        *,
        filter: SessionFilter | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListSessionsResponse:
        """Lists sessions, the newest created first."""
        request = ListSessionsRequest(filter=filter, page_size=page_size, page_token=page_token)
        return self._connection.call("gateway", "ListSessions", request, ListSessionsResponse, timeout)

    def all_sessions(
        self,
        *,
        filter: SessionFilter | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[SessionSnapshot]:
        """All sessions, the newest created first; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list_sessions(filter=filter, page_size=page_size, page_token=token, timeout=timeout),
            "sessions",
        )

    def update_session(
        self,
        session_key: str,
        session: SessionSnapshot,
        update_mask: Iterable[str],
        *,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> UpdateSessionResponse:
        """Changes the settings that ``update_mask`` names, such as ``["labels"]``, to what ``session`` holds."""
        request = UpdateSessionRequest(
            session_key=session_key,
            session=session,
            update_mask=FieldMask(paths=update_mask),
            expected_generation=expected_generation,
            request_id=request_id,
        )
        return self._connection.call("gateway", "UpdateSession", request, UpdateSessionResponse, timeout)

    def reset(
        self,
        session_key: str,
        *,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ResetResponse:
        """Begins a fresh conversation: waiting turns are rejected, the active one is stopped."""
        request = ResetRequest(session_key=session_key, expected_generation=expected_generation, request_id=request_id)
        return self._connection.call("gateway", "Reset", request, ResetResponse, timeout)

    def delete_session(
        self,
        session_key: str,
        *,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> DeleteSessionResponse:
        """Deletes a session with everything that belongs to it. Deleting twice is fine."""
        request = DeleteSessionRequest(
            session_key=session_key, expected_generation=expected_generation, request_id=request_id
        )
        return self._connection.call("gateway", "DeleteSession", request, DeleteSessionResponse, timeout)

    def fork_session(
        self,
        session_key: str,
        new_session_key: str,
        *,
        turn_id: str = "",
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ForkSessionResponse:
        """Copies a conversation up to the end of a finished turn into a new session."""
        request = ForkSessionRequest(
            session_key=session_key,
            new_session_key=new_session_key,
            turn_id=turn_id,
            expected_generation=expected_generation,
            request_id=request_id,
        )
        return self._connection.call("gateway", "ForkSession", request, ForkSessionResponse, timeout)

    def list_commands(self, session_key: str, *, timeout: float | None = None) -> ListCommandsResponse:
        """Lists what a session can be told by a name: commands of the gateway, and those that its agent told."""
        request = ListCommandsRequest(session_key=session_key)
        return self._connection.call("gateway", "ListCommands", request, ListCommandsResponse, timeout)

    def execute_command(
        self,
        session_key: str,
        name: str,
        arguments: str = "",
        *,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ExecuteCommandResponse:
        """Runs a command: an agent's becomes a turn, what the gateway's gave stands in ``result_json``."""
        request = ExecuteCommandRequest(
            session_key=session_key,
            name=name,
            arguments=arguments,
            expected_generation=expected_generation,
            request_id=request_id,
        )
        return self._connection.call("gateway", "ExecuteCommand", request, ExecuteCommandResponse, timeout)

    def compact_session(
        self,
        session_key: str,
        instructions: str = "",
        *,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> CompactSessionResponse:
        """Lets the agent shorten what it keeps of the conversation, as a turn."""
        request = CompactSessionRequest(
            session_key=session_key,
            instructions=instructions,
            expected_generation=expected_generation,
            request_id=request_id,
        )
        return self._connection.call("gateway", "CompactSession", request, CompactSessionResponse, timeout)

    def reload_session(
        self,
        session_key: str,
        *,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ReloadSessionResponse:
        """Lets this session's agent begin afresh, after its running turn or at once."""
        request = ReloadSessionRequest(
            session_key=session_key, expected_generation=expected_generation, request_id=request_id
        )
        return self._connection.call("gateway", "ReloadSession", request, ReloadSessionResponse, timeout)

    def list_messages(
        self,
        session_key: str,
        *,
        generation: int | None = None,
        page_size: int = 0,
        page_token: str = "",
        min_seq: int = 0,
        timeout: float | None = None,
    ) -> ListMessagesResponse:
        """Reads messages: the newest page first, oldest first inside a page."""
        request = ListMessagesRequest(
            session_key=session_key, generation=generation, page_size=page_size, page_token=page_token, min_seq=min_seq
        )
        return self._connection.call("gateway", "ListMessages", request, ListMessagesResponse, timeout)

    def all_messages(
        self,
        session_key: str,
        *,
        generation: int | None = None,
        min_seq: int = 0,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[Message]:
        """All messages: the newest page first, oldest first inside a page; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list_messages(
                session_key,
                generation=generation,
                min_seq=min_seq,
                page_size=page_size,
                page_token=token,
                timeout=timeout,
            ),
            "messages",
        )

    def get_attachment(
        self,
        session_key: str,
        attachment_id: str,
        *,
        timeout: float | None = None,
    ) -> GetAttachmentResponse:
        """Reads the bytes of an attachment."""
        request = GetAttachmentRequest(session_key=session_key, attachment_id=attachment_id)
        return self._connection.call("gateway", "GetAttachment", request, GetAttachmentResponse, timeout)

    def list_files(
        self,
        session_key: str,
        path: str = "",
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListFilesResponse:
        """Lists a directory of those that the session works in."""
        request = ListFilesRequest(session_key=session_key, path=path, page_size=page_size, page_token=page_token)
        return self._connection.call("gateway", "ListFiles", request, ListFilesResponse, timeout)

    def all_files(
        self,
        session_key: str,
        path: str = "",
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[FileEntry]:
        """All that is in a directory of those that the session works in; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list_files(session_key, path, page_size=page_size, page_token=token, timeout=timeout),
            "entries",
        )

    def read_file(
        self,
        session_key: str,
        path: str,
        *,
        offset: int = 0,
        limit: int = 0,
        timeout: float | None = None,
    ) -> ReadFileResponse:
        """Reads a part of a file of the directory that the session works in."""
        request = ReadFileRequest(session_key=session_key, path=path, offset=offset, limit=limit)
        return self._connection.call("gateway", "ReadFile", request, ReadFileResponse, timeout)

    def get_diff(self, session_key: str, turn_id: str, *, timeout: float | None = None) -> GetDiffResponse:
        """Reads what a turn changed in those files."""
        request = GetDiffRequest(session_key=session_key, turn_id=turn_id)
        return self._connection.call("gateway", "GetDiff", request, GetDiffResponse, timeout)

    def list_artifacts(
        self,
        session_key: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListArtifactsResponse:
        """Lists what the session's agent made. ``get_attachment`` reads one."""
        request = ListArtifactsRequest(session_key=session_key, page_size=page_size, page_token=page_token)
        return self._connection.call("gateway", "ListArtifacts", request, ListArtifactsResponse, timeout)

    def all_artifacts(
        self,
        session_key: str,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[Artifact]:
        """All that the session's agent made, the oldest first; ``page_size`` are fetched at once."""
        return pages(
            lambda token: self.list_artifacts(session_key, page_size=page_size, page_token=token, timeout=timeout),
            "artifacts",
        )

    def read_events(
        self,
        session_key: str,
        *,
        cursor: Cursor | None = None,
        from_oldest: bool = False,
        kinds: Iterable[str] = (),
        limit: int = 0,
        wait: Seconds | None = None,
        min_seq: int = 0,
        timeout: float | None = None,
    ) -> ReadEventsResponse:
        """Reads a page of durable events, waiting up to ``wait`` for the first. Without ``cursor`` from the oldest on.

        :meth:`subscribe` is what most readers want.
        """
        request = ReadEventsRequest(
            session_key=session_key,
            cursor=wire_cursor(cursor),
            from_oldest=from_oldest,
            kinds=kinds,
            limit=limit,
            wait=duration(wait),
            min_seq=min_seq,
        )
        return self._connection.call("gateway", "ReadEvents", request, ReadEventsResponse, timeout)
