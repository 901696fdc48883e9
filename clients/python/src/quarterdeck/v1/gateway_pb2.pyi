import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import command_pb2 as _command_pb2
from quarterdeck.v1 import event_pb2 as _event_pb2
from quarterdeck.v1 import message_pb2 as _message_pb2
from quarterdeck.v1 import question_pb2 as _question_pb2
from quarterdeck.v1 import session_pb2 as _session_pb2
from quarterdeck.v1 import turn_pb2 as _turn_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FileKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_KIND_UNSPECIFIED: _ClassVar[FileKind]
    FILE_KIND_FILE: _ClassVar[FileKind]
    FILE_KIND_DIRECTORY: _ClassVar[FileKind]
    FILE_KIND_OTHER: _ClassVar[FileKind]

class FileChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_CHANGE_UNSPECIFIED: _ClassVar[FileChange]
    FILE_CHANGE_ADDED: _ClassVar[FileChange]
    FILE_CHANGE_MODIFIED: _ClassVar[FileChange]
    FILE_CHANGE_REMOVED: _ClassVar[FileChange]

class OnBusy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_BUSY_UNSPECIFIED: _ClassVar[OnBusy]
    ON_BUSY_ENQUEUE: _ClassVar[OnBusy]
    ON_BUSY_REJECT: _ClassVar[OnBusy]
    ON_BUSY_INTERRUPT: _ClassVar[OnBusy]
    ON_BUSY_STEER_OR_ENQUEUE: _ClassVar[OnBusy]

class AdmissionMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADMISSION_MODE_UNSPECIFIED: _ClassVar[AdmissionMode]
    ADMISSION_MODE_QUEUED: _ClassVar[AdmissionMode]
    ADMISSION_MODE_STEERED: _ClassVar[AdmissionMode]

class AbortMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ABORT_MODE_UNSPECIFIED: _ClassVar[AbortMode]
    ABORT_MODE_CANCEL: _ClassVar[AbortMode]
    ABORT_MODE_KILL: _ClassVar[AbortMode]
FILE_KIND_UNSPECIFIED: FileKind
FILE_KIND_FILE: FileKind
FILE_KIND_DIRECTORY: FileKind
FILE_KIND_OTHER: FileKind
FILE_CHANGE_UNSPECIFIED: FileChange
FILE_CHANGE_ADDED: FileChange
FILE_CHANGE_MODIFIED: FileChange
FILE_CHANGE_REMOVED: FileChange
ON_BUSY_UNSPECIFIED: OnBusy
ON_BUSY_ENQUEUE: OnBusy
ON_BUSY_REJECT: OnBusy
ON_BUSY_INTERRUPT: OnBusy
ON_BUSY_STEER_OR_ENQUEUE: OnBusy
ADMISSION_MODE_UNSPECIFIED: AdmissionMode
ADMISSION_MODE_QUEUED: AdmissionMode
ADMISSION_MODE_STEERED: AdmissionMode
ABORT_MODE_UNSPECIFIED: AbortMode
ABORT_MODE_CANCEL: AbortMode
ABORT_MODE_KILL: AbortMode

class EnqueueRequest(_message.Message):
    __slots__ = ("session_key", "text", "attachments", "source", "metadata", "request_id", "on_busy", "on_interrupt", "turn_timeout", "queue_ttl", "expected_generation", "agent", "model", "thinking_level", "labels", "cwd", "display_name", "memory_namespaces", "output_schema", "client_tools", "not_before", "no_approver")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ON_BUSY_FIELD_NUMBER: _ClassVar[int]
    ON_INTERRUPT_FIELD_NUMBER: _ClassVar[int]
    TURN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TTL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOOLS_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    NO_APPROVER_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    text: str
    attachments: _containers.RepeatedCompositeFieldContainer[_message_pb2.Attachment]
    source: str
    metadata: _containers.ScalarMap[str, str]
    request_id: str
    on_busy: OnBusy
    on_interrupt: _turn_pb2.OnInterrupt
    turn_timeout: _duration_pb2.Duration
    queue_ttl: _duration_pb2.Duration
    expected_generation: int
    agent: str
    model: str
    thinking_level: str
    labels: _containers.ScalarMap[str, str]
    cwd: str
    display_name: str
    memory_namespaces: _containers.RepeatedScalarFieldContainer[str]
    output_schema: str
    client_tools: _containers.RepeatedCompositeFieldContainer[ClientTool]
    not_before: _timestamp_pb2.Timestamp
    no_approver: _question_pb2.NoApprover
    def __init__(self, session_key: _Optional[str] = ..., text: _Optional[str] = ..., attachments: _Optional[_Iterable[_Union[_message_pb2.Attachment, _Mapping]]] = ..., source: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., on_busy: _Optional[_Union[OnBusy, str]] = ..., on_interrupt: _Optional[_Union[_turn_pb2.OnInterrupt, str]] = ..., turn_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., queue_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., expected_generation: _Optional[int] = ..., agent: _Optional[str] = ..., model: _Optional[str] = ..., thinking_level: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., cwd: _Optional[str] = ..., display_name: _Optional[str] = ..., memory_namespaces: _Optional[_Iterable[str]] = ..., output_schema: _Optional[str] = ..., client_tools: _Optional[_Iterable[_Union[ClientTool, _Mapping]]] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., no_approver: _Optional[_Union[_question_pb2.NoApprover, str]] = ...) -> None: ...

class ClientTool(_message.Message):
    __slots__ = ("name", "description", "schema_json")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    schema_json: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., schema_json: _Optional[str] = ...) -> None: ...

class EnqueueResponse(_message.Message):
    __slots__ = ("turn", "mode", "steer_id", "queue_position", "seq", "log_id", "replayed")
    TURN_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STEER_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    mode: AdmissionMode
    steer_id: str
    queue_position: int
    seq: int
    log_id: str
    replayed: bool
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., mode: _Optional[_Union[AdmissionMode, str]] = ..., steer_id: _Optional[str] = ..., queue_position: _Optional[int] = ..., seq: _Optional[int] = ..., log_id: _Optional[str] = ..., replayed: bool = ...) -> None: ...

class RunRequest(_message.Message):
    __slots__ = ("enqueue", "after_seq", "cancel_on_disconnect", "subagents")
    ENQUEUE_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    CANCEL_ON_DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    SUBAGENTS_FIELD_NUMBER: _ClassVar[int]
    enqueue: EnqueueRequest
    after_seq: int
    cancel_on_disconnect: bool
    subagents: bool
    def __init__(self, enqueue: _Optional[_Union[EnqueueRequest, _Mapping]] = ..., after_seq: _Optional[int] = ..., cancel_on_disconnect: bool = ..., subagents: bool = ...) -> None: ...

class AwaitTurnRequest(_message.Message):
    __slots__ = ("session_key", "turn_id", "wait", "or_question")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    OR_QUESTION_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    turn_id: str
    wait: _duration_pb2.Duration
    or_question: bool
    def __init__(self, session_key: _Optional[str] = ..., turn_id: _Optional[str] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., or_question: bool = ...) -> None: ...

class AwaitTurnResponse(_message.Message):
    __slots__ = ("turn", "questions")
    TURN_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    questions: _containers.RepeatedCompositeFieldContainer[_question_pb2.Question]
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., questions: _Optional[_Iterable[_Union[_question_pb2.Question, _Mapping]]] = ...) -> None: ...

class GetTurnRequest(_message.Message):
    __slots__ = ("session_key", "turn_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    turn_id: str
    def __init__(self, session_key: _Optional[str] = ..., turn_id: _Optional[str] = ...) -> None: ...

class GetTurnResponse(_message.Message):
    __slots__ = ("turn",)
    TURN_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ...) -> None: ...

class ListTurnsRequest(_message.Message):
    __slots__ = ("session_key", "states", "page_size", "page_token")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    states: _containers.RepeatedScalarFieldContainer[_turn_pb2.TurnState]
    page_size: int
    page_token: str
    def __init__(self, session_key: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_turn_pb2.TurnState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTurnsResponse(_message.Message):
    __slots__ = ("turns", "next_page_token")
    TURNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    turns: _containers.RepeatedCompositeFieldContainer[_turn_pb2.Turn]
    next_page_token: str
    def __init__(self, turns: _Optional[_Iterable[_Union[_turn_pb2.Turn, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListFilesRequest(_message.Message):
    __slots__ = ("session_key", "path", "page_size", "page_token")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    path: str
    page_size: int
    page_token: str
    def __init__(self, session_key: _Optional[str] = ..., path: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "truncated")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[FileEntry]
    next_page_token: str
    truncated: bool
    def __init__(self, entries: _Optional[_Iterable[_Union[FileEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., truncated: bool = ...) -> None: ...

class FileEntry(_message.Message):
    __slots__ = ("name", "kind", "size", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: FileKind
    size: int
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[FileKind, str]] = ..., size: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReadFileRequest(_message.Message):
    __slots__ = ("session_key", "path", "offset", "limit")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    path: str
    offset: int
    limit: int
    def __init__(self, session_key: _Optional[str] = ..., path: _Optional[str] = ..., offset: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ReadFileResponse(_message.Message):
    __slots__ = ("data", "size")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    size: int
    def __init__(self, data: _Optional[bytes] = ..., size: _Optional[int] = ...) -> None: ...

class GetDiffRequest(_message.Message):
    __slots__ = ("session_key", "turn_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    turn_id: str
    def __init__(self, session_key: _Optional[str] = ..., turn_id: _Optional[str] = ...) -> None: ...

class GetDiffResponse(_message.Message):
    __slots__ = ("files", "truncated")
    FILES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[FileDiff]
    truncated: bool
    def __init__(self, files: _Optional[_Iterable[_Union[FileDiff, _Mapping]]] = ..., truncated: bool = ...) -> None: ...

class FileDiff(_message.Message):
    __slots__ = ("path", "change", "unified_diff", "omitted")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    UNIFIED_DIFF_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    path: str
    change: FileChange
    unified_diff: str
    omitted: bool
    def __init__(self, path: _Optional[str] = ..., change: _Optional[_Union[FileChange, str]] = ..., unified_diff: _Optional[str] = ..., omitted: bool = ...) -> None: ...

class ListArtifactsRequest(_message.Message):
    __slots__ = ("session_key", "page_size", "page_token")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    page_size: int
    page_token: str
    def __init__(self, session_key: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListArtifactsResponse(_message.Message):
    __slots__ = ("artifacts", "next_page_token")
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    next_page_token: str
    def __init__(self, artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("attachment", "title", "turn_id", "seq", "create_time")
    ATTACHMENT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    attachment: _message_pb2.AttachmentRef
    title: str
    turn_id: str
    seq: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, attachment: _Optional[_Union[_message_pb2.AttachmentRef, _Mapping]] = ..., title: _Optional[str] = ..., turn_id: _Optional[str] = ..., seq: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SteerRequest(_message.Message):
    __slots__ = ("session_key", "text", "attachments", "expected_turn_id", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_TURN_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    text: str
    attachments: _containers.RepeatedCompositeFieldContainer[_message_pb2.Attachment]
    expected_turn_id: str
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., text: _Optional[str] = ..., attachments: _Optional[_Iterable[_Union[_message_pb2.Attachment, _Mapping]]] = ..., expected_turn_id: _Optional[str] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class SteerResponse(_message.Message):
    __slots__ = ("mode", "turn", "steer_id", "seq", "replayed", "log_id")
    MODE_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    STEER_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    mode: AdmissionMode
    turn: _turn_pb2.Turn
    steer_id: str
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, mode: _Optional[_Union[AdmissionMode, str]] = ..., turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., steer_id: _Optional[str] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class AbortRequest(_message.Message):
    __slots__ = ("session_key", "turn_id", "clear_queue", "mode", "grace", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    CLEAR_QUEUE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    turn_id: str
    clear_queue: bool
    mode: AbortMode
    grace: _duration_pb2.Duration
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., turn_id: _Optional[str] = ..., clear_queue: bool = ..., mode: _Optional[_Union[AbortMode, str]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class AbortResponse(_message.Message):
    __slots__ = ("aborted", "turn", "cleared_turn_ids", "seq", "replayed", "log_id")
    ABORTED_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    CLEARED_TURN_IDS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    aborted: bool
    turn: _turn_pb2.Turn
    cleared_turn_ids: _containers.RepeatedScalarFieldContainer[str]
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, aborted: bool = ..., turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., cleared_turn_ids: _Optional[_Iterable[str]] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class ResetRequest(_message.Message):
    __slots__ = ("session_key", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ResetResponse(_message.Message):
    __slots__ = ("session", "rejected_turn_ids", "seq", "replayed", "log_id")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REJECTED_TURN_IDS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    rejected_turn_ids: _containers.RepeatedScalarFieldContainer[str]
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ..., rejected_turn_ids: _Optional[_Iterable[str]] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class ListQueueRequest(_message.Message):
    __slots__ = ("session_key",)
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    def __init__(self, session_key: _Optional[str] = ...) -> None: ...

class ListQueueResponse(_message.Message):
    __slots__ = ("turns",)
    TURNS_FIELD_NUMBER: _ClassVar[int]
    turns: _containers.RepeatedCompositeFieldContainer[_turn_pb2.Turn]
    def __init__(self, turns: _Optional[_Iterable[_Union[_turn_pb2.Turn, _Mapping]]] = ...) -> None: ...

class UpdateQueuedRequest(_message.Message):
    __slots__ = ("session_key", "turn_id", "text", "position", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    turn_id: str
    text: str
    position: int
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., turn_id: _Optional[str] = ..., text: _Optional[str] = ..., position: _Optional[int] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateQueuedResponse(_message.Message):
    __slots__ = ("turn", "queue_position", "seq", "replayed", "log_id")
    TURN_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    queue_position: int
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., queue_position: _Optional[int] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class RemoveQueuedRequest(_message.Message):
    __slots__ = ("session_key", "turn_id", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    turn_id: str
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., turn_id: _Optional[str] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class RemoveQueuedResponse(_message.Message):
    __slots__ = ("turn", "seq", "replayed", "log_id")
    TURN_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class ClearQueueRequest(_message.Message):
    __slots__ = ("session_key", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ClearQueueResponse(_message.Message):
    __slots__ = ("turns", "seq", "replayed", "log_id")
    TURNS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    turns: _containers.RepeatedCompositeFieldContainer[_turn_pb2.Turn]
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, turns: _Optional[_Iterable[_Union[_turn_pb2.Turn, _Mapping]]] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class Cursor(_message.Message):
    __slots__ = ("log_id", "after_seq")
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    log_id: str
    after_seq: int
    def __init__(self, log_id: _Optional[str] = ..., after_seq: _Optional[int] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("session_key", "cursor", "from_oldest", "deltas", "kinds", "min_seq", "progress_interval", "coalesce", "subagents")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    FROM_OLDEST_FIELD_NUMBER: _ClassVar[int]
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    COALESCE_FIELD_NUMBER: _ClassVar[int]
    SUBAGENTS_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    cursor: Cursor
    from_oldest: bool
    deltas: bool
    kinds: _containers.RepeatedScalarFieldContainer[str]
    min_seq: int
    progress_interval: _duration_pb2.Duration
    coalesce: _duration_pb2.Duration
    subagents: bool
    def __init__(self, session_key: _Optional[str] = ..., cursor: _Optional[_Union[Cursor, _Mapping]] = ..., from_oldest: bool = ..., deltas: bool = ..., kinds: _Optional[_Iterable[str]] = ..., min_seq: _Optional[int] = ..., progress_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., coalesce: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., subagents: bool = ...) -> None: ...

class SubscribeManyRequest(_message.Message):
    __slots__ = ("filter", "cursors", "kinds", "deltas", "watch", "progress_interval", "coalesce", "subagents")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    CURSORS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    COALESCE_FIELD_NUMBER: _ClassVar[int]
    SUBAGENTS_FIELD_NUMBER: _ClassVar[int]
    filter: SessionFilter
    cursors: _containers.RepeatedCompositeFieldContainer[SessionCursor]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    deltas: bool
    watch: SessionFilter
    progress_interval: _duration_pb2.Duration
    coalesce: _duration_pb2.Duration
    subagents: bool
    def __init__(self, filter: _Optional[_Union[SessionFilter, _Mapping]] = ..., cursors: _Optional[_Iterable[_Union[SessionCursor, _Mapping]]] = ..., kinds: _Optional[_Iterable[str]] = ..., deltas: bool = ..., watch: _Optional[_Union[SessionFilter, _Mapping]] = ..., progress_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., coalesce: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., subagents: bool = ...) -> None: ...

class SessionCursor(_message.Message):
    __slots__ = ("session_key", "log_id", "after_seq", "from_head", "from_oldest", "events")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    FROM_HEAD_FIELD_NUMBER: _ClassVar[int]
    FROM_OLDEST_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    log_id: str
    after_seq: int
    from_head: bool
    from_oldest: bool
    events: EventSelection
    def __init__(self, session_key: _Optional[str] = ..., log_id: _Optional[str] = ..., after_seq: _Optional[int] = ..., from_head: bool = ..., from_oldest: bool = ..., events: _Optional[_Union[EventSelection, _Mapping]] = ...) -> None: ...

class EventSelection(_message.Message):
    __slots__ = ("kinds", "deltas", "subagents")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    SUBAGENTS_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    deltas: bool
    subagents: bool
    def __init__(self, kinds: _Optional[_Iterable[str]] = ..., deltas: bool = ..., subagents: bool = ...) -> None: ...

class ReadEventsRequest(_message.Message):
    __slots__ = ("session_key", "cursor", "from_oldest", "kinds", "limit", "wait", "min_seq", "subagents")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    FROM_OLDEST_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    SUBAGENTS_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    cursor: Cursor
    from_oldest: bool
    kinds: _containers.RepeatedScalarFieldContainer[str]
    limit: int
    wait: _duration_pb2.Duration
    min_seq: int
    subagents: bool
    def __init__(self, session_key: _Optional[str] = ..., cursor: _Optional[_Union[Cursor, _Mapping]] = ..., from_oldest: bool = ..., kinds: _Optional[_Iterable[str]] = ..., limit: _Optional[int] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., min_seq: _Optional[int] = ..., subagents: bool = ...) -> None: ...

class ReadEventsResponse(_message.Message):
    __slots__ = ("events", "next_after_seq", "head_seq", "first_seq", "log_id")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.GatewayEvent]
    next_after_seq: int
    head_seq: int
    first_seq: int
    log_id: str
    def __init__(self, events: _Optional[_Iterable[_Union[_event_pb2.GatewayEvent, _Mapping]]] = ..., next_after_seq: _Optional[int] = ..., head_seq: _Optional[int] = ..., first_seq: _Optional[int] = ..., log_id: _Optional[str] = ...) -> None: ...

class WatchSessionsRequest(_message.Message):
    __slots__ = ("filter", "initial")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    INITIAL_FIELD_NUMBER: _ClassVar[int]
    filter: SessionFilter
    initial: bool
    def __init__(self, filter: _Optional[_Union[SessionFilter, _Mapping]] = ..., initial: bool = ...) -> None: ...

class SessionFilter(_message.Message):
    __slots__ = ("labels", "agent", "states", "key_prefix")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABELS_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    KEY_PREFIX_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.ScalarMap[str, str]
    agent: str
    states: _containers.RepeatedScalarFieldContainer[_session_pb2.SessionState]
    key_prefix: str
    def __init__(self, labels: _Optional[_Mapping[str, str]] = ..., agent: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_session_pb2.SessionState, str]]] = ..., key_prefix: _Optional[str] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("session_key", "agent", "model", "thinking_level", "labels", "cwd", "display_name", "expire_after_idle", "request_id", "memory_namespaces", "no_approver", "question_ttl", "tool_policy", "client_tools")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_AFTER_IDLE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    NO_APPROVER_FIELD_NUMBER: _ClassVar[int]
    QUESTION_TTL_FIELD_NUMBER: _ClassVar[int]
    TOOL_POLICY_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOOLS_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    agent: str
    model: str
    thinking_level: str
    labels: _containers.ScalarMap[str, str]
    cwd: str
    display_name: str
    expire_after_idle: _duration_pb2.Duration
    request_id: str
    memory_namespaces: _containers.RepeatedScalarFieldContainer[str]
    no_approver: _question_pb2.NoApprover
    question_ttl: _duration_pb2.Duration
    tool_policy: _containers.RepeatedCompositeFieldContainer[_question_pb2.ToolRule]
    client_tools: _containers.RepeatedCompositeFieldContainer[ClientTool]
    def __init__(self, session_key: _Optional[str] = ..., agent: _Optional[str] = ..., model: _Optional[str] = ..., thinking_level: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., cwd: _Optional[str] = ..., display_name: _Optional[str] = ..., expire_after_idle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ..., memory_namespaces: _Optional[_Iterable[str]] = ..., no_approver: _Optional[_Union[_question_pb2.NoApprover, str]] = ..., question_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., tool_policy: _Optional[_Iterable[_Union[_question_pb2.ToolRule, _Mapping]]] = ..., client_tools: _Optional[_Iterable[_Union[ClientTool, _Mapping]]] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("session", "seq", "replayed", "log_id")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session_key", "min_seq")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    min_seq: int
    def __init__(self, session_key: _Optional[str] = ..., min_seq: _Optional[int] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ...) -> None: ...

class GetSessionStateRequest(_message.Message):
    __slots__ = ("session_key", "min_seq", "page_size")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    min_seq: int
    page_size: int
    def __init__(self, session_key: _Optional[str] = ..., min_seq: _Optional[int] = ..., page_size: _Optional[int] = ...) -> None: ...

class GetSessionStateResponse(_message.Message):
    __slots__ = ("session", "messages", "open_message", "running_tools", "seq", "log_id", "next_page_token", "questions", "plan")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    OPEN_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TOOLS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    open_message: _message_pb2.Message
    running_tools: _containers.RepeatedCompositeFieldContainer[_message_pb2.ToolCallPart]
    seq: int
    log_id: str
    next_page_token: str
    questions: _containers.RepeatedCompositeFieldContainer[_question_pb2.Question]
    plan: _containers.RepeatedCompositeFieldContainer[_event_pb2.PlanEntry]
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., open_message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., running_tools: _Optional[_Iterable[_Union[_message_pb2.ToolCallPart, _Mapping]]] = ..., seq: _Optional[int] = ..., log_id: _Optional[str] = ..., next_page_token: _Optional[str] = ..., questions: _Optional[_Iterable[_Union[_question_pb2.Question, _Mapping]]] = ..., plan: _Optional[_Iterable[_Union[_event_pb2.PlanEntry, _Mapping]]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: SessionFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[SessionFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[_session_pb2.SessionSnapshot]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[_session_pb2.SessionSnapshot, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateSessionRequest(_message.Message):
    __slots__ = ("session_key", "session", "update_mask", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    session: _session_pb2.SessionSnapshot
    update_mask: _field_mask_pb2.FieldMask
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateSessionResponse(_message.Message):
    __slots__ = ("session", "seq", "replayed", "log_id")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("session_key", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    __slots__ = ("seq", "replayed", "log_id")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class ForkSessionRequest(_message.Message):
    __slots__ = ("session_key", "new_session_key", "turn_id", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    NEW_SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    new_session_key: str
    turn_id: str
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., new_session_key: _Optional[str] = ..., turn_id: _Optional[str] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ForkSessionResponse(_message.Message):
    __slots__ = ("session", "seq", "replayed", "log_id")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ("session_key", "generation", "page_size", "page_token", "min_seq")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    generation: int
    page_size: int
    page_token: str
    min_seq: int
    def __init__(self, session_key: _Optional[str] = ..., generation: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., min_seq: _Optional[int] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetAttachmentRequest(_message.Message):
    __slots__ = ("session_key", "attachment_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    attachment_id: str
    def __init__(self, session_key: _Optional[str] = ..., attachment_id: _Optional[str] = ...) -> None: ...

class GetAttachmentResponse(_message.Message):
    __slots__ = ("attachment",)
    ATTACHMENT_FIELD_NUMBER: _ClassVar[int]
    attachment: _message_pb2.Attachment
    def __init__(self, attachment: _Optional[_Union[_message_pb2.Attachment, _Mapping]] = ...) -> None: ...

class ListQuestionsRequest(_message.Message):
    __slots__ = ("session_key", "filter", "states", "page_size", "page_token")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    filter: SessionFilter
    states: _containers.RepeatedScalarFieldContainer[_question_pb2.QuestionState]
    page_size: int
    page_token: str
    def __init__(self, session_key: _Optional[str] = ..., filter: _Optional[_Union[SessionFilter, _Mapping]] = ..., states: _Optional[_Iterable[_Union[_question_pb2.QuestionState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQuestionsResponse(_message.Message):
    __slots__ = ("questions", "next_page_token")
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    questions: _containers.RepeatedCompositeFieldContainer[_question_pb2.Question]
    next_page_token: str
    def __init__(self, questions: _Optional[_Iterable[_Union[_question_pb2.Question, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetQuestionRequest(_message.Message):
    __slots__ = ("session_key", "question_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    QUESTION_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    question_id: str
    def __init__(self, session_key: _Optional[str] = ..., question_id: _Optional[str] = ...) -> None: ...

class GetQuestionResponse(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: _question_pb2.Question
    def __init__(self, question: _Optional[_Union[_question_pb2.Question, _Mapping]] = ...) -> None: ...

class AnswerQuestionRequest(_message.Message):
    __slots__ = ("session_key", "question_id", "answer", "action_digest", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    QUESTION_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ACTION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    question_id: str
    answer: _question_pb2.Answer
    action_digest: str
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., question_id: _Optional[str] = ..., answer: _Optional[_Union[_question_pb2.Answer, _Mapping]] = ..., action_digest: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class AnswerQuestionResponse(_message.Message):
    __slots__ = ("question", "seq", "replayed", "log_id")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    question: _question_pb2.Question
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, question: _Optional[_Union[_question_pb2.Question, _Mapping]] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class ListOptionsRequest(_message.Message):
    __slots__ = ("session_key",)
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    def __init__(self, session_key: _Optional[str] = ...) -> None: ...

class ListOptionsResponse(_message.Message):
    __slots__ = ("options", "as_of")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    options: _containers.RepeatedCompositeFieldContainer[AgentOption]
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, options: _Optional[_Iterable[_Union[AgentOption, _Mapping]]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AgentOption(_message.Message):
    __slots__ = ("option_id", "name", "description", "category", "values", "current", "chosen", "needs_approval")
    OPTION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    NEEDS_APPROVAL_FIELD_NUMBER: _ClassVar[int]
    option_id: str
    name: str
    description: str
    category: str
    values: _containers.RepeatedCompositeFieldContainer[AgentOptionValue]
    current: str
    chosen: str
    needs_approval: bool
    def __init__(self, option_id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., category: _Optional[str] = ..., values: _Optional[_Iterable[_Union[AgentOptionValue, _Mapping]]] = ..., current: _Optional[str] = ..., chosen: _Optional[str] = ..., needs_approval: bool = ...) -> None: ...

class AgentOptionValue(_message.Message):
    __slots__ = ("value", "name", "description")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    value: str
    name: str
    description: str
    def __init__(self, value: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class SetOptionRequest(_message.Message):
    __slots__ = ("session_key", "option_id", "value", "request_id", "expected_generation")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    OPTION_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    option_id: str
    value: str
    request_id: str
    expected_generation: int
    def __init__(self, session_key: _Optional[str] = ..., option_id: _Optional[str] = ..., value: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_generation: _Optional[int] = ...) -> None: ...

class SetOptionResponse(_message.Message):
    __slots__ = ("session", "seq", "replayed", "log_id")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.SessionSnapshot
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, session: _Optional[_Union[_session_pb2.SessionSnapshot, _Mapping]] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...
