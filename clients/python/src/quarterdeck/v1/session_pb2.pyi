import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import question_pb2 as _question_pb2
from quarterdeck.v1 import routing_pb2 as _routing_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ShareAccess(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHARE_ACCESS_UNSPECIFIED: _ClassVar[ShareAccess]
    SHARE_ACCESS_READ: _ClassVar[ShareAccess]
    SHARE_ACCESS_WRITE: _ClassVar[ShareAccess]

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_IDLE: _ClassVar[SessionState]
    SESSION_STATE_RUNNING: _ClassVar[SessionState]
    SESSION_STATE_WAITING_INPUT: _ClassVar[SessionState]
    SESSION_STATE_CANCELING: _ClassVar[SessionState]
    SESSION_STATE_RESETTING: _ClassVar[SessionState]
    SESSION_STATE_DELETING: _ClassVar[SessionState]
    SESSION_STATE_DELETED: _ClassVar[SessionState]
SHARE_ACCESS_UNSPECIFIED: ShareAccess
SHARE_ACCESS_READ: ShareAccess
SHARE_ACCESS_WRITE: ShareAccess
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_IDLE: SessionState
SESSION_STATE_RUNNING: SessionState
SESSION_STATE_WAITING_INPUT: SessionState
SESSION_STATE_CANCELING: SessionState
SESSION_STATE_RESETTING: SessionState
SESSION_STATE_DELETING: SessionState
SESSION_STATE_DELETED: SessionState

class SessionSnapshot(_message.Message):
    __slots__ = ("session_key", "session_id", "generation", "display_name", "agent", "model", "thinking_level", "state", "active_turn_id", "queue_depth", "message_count", "last_message_preview", "labels", "primary", "head_seq", "first_seq", "log_id", "create_time", "update_time", "last_active_time", "usage", "cwd", "next_agent", "expire_after_idle", "owner", "shares", "memory_namespaces", "pending_questions", "no_approver", "question_ttl", "tool_policy", "context_tokens", "context_window", "routing", "wait_reason")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_TURN_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_DEPTH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_MESSAGE_PREVIEW_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    NEXT_AGENT_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_AFTER_IDLE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    PENDING_QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    NO_APPROVER_FIELD_NUMBER: _ClassVar[int]
    QUESTION_TTL_FIELD_NUMBER: _ClassVar[int]
    TOOL_POLICY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    WAIT_REASON_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    session_id: str
    generation: int
    display_name: str
    agent: str
    model: str
    thinking_level: str
    state: SessionState
    active_turn_id: str
    queue_depth: int
    message_count: int
    last_message_preview: str
    labels: _containers.ScalarMap[str, str]
    primary: bool
    head_seq: int
    first_seq: int
    log_id: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    last_active_time: _timestamp_pb2.Timestamp
    usage: Usage
    cwd: str
    next_agent: str
    expire_after_idle: _duration_pb2.Duration
    owner: str
    shares: _containers.RepeatedCompositeFieldContainer[SessionShare]
    memory_namespaces: _containers.RepeatedScalarFieldContainer[str]
    pending_questions: int
    no_approver: _question_pb2.NoApprover
    question_ttl: _duration_pb2.Duration
    tool_policy: _containers.RepeatedCompositeFieldContainer[_question_pb2.ToolRule]
    context_tokens: int
    context_window: int
    routing: _routing_pb2.Routing
    wait_reason: str
    def __init__(self, session_key: _Optional[str] = ..., session_id: _Optional[str] = ..., generation: _Optional[int] = ..., display_name: _Optional[str] = ..., agent: _Optional[str] = ..., model: _Optional[str] = ..., thinking_level: _Optional[str] = ..., state: _Optional[_Union[SessionState, str]] = ..., active_turn_id: _Optional[str] = ..., queue_depth: _Optional[int] = ..., message_count: _Optional[int] = ..., last_message_preview: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., primary: bool = ..., head_seq: _Optional[int] = ..., first_seq: _Optional[int] = ..., log_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_active_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., cwd: _Optional[str] = ..., next_agent: _Optional[str] = ..., expire_after_idle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., owner: _Optional[str] = ..., shares: _Optional[_Iterable[_Union[SessionShare, _Mapping]]] = ..., memory_namespaces: _Optional[_Iterable[str]] = ..., pending_questions: _Optional[int] = ..., no_approver: _Optional[_Union[_question_pb2.NoApprover, str]] = ..., question_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., tool_policy: _Optional[_Iterable[_Union[_question_pb2.ToolRule, _Mapping]]] = ..., context_tokens: _Optional[int] = ..., context_window: _Optional[int] = ..., routing: _Optional[_Union[_routing_pb2.Routing, _Mapping]] = ..., wait_reason: _Optional[str] = ...) -> None: ...

class SessionShare(_message.Message):
    __slots__ = ("principal", "access")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    principal: str
    access: ShareAccess
    def __init__(self, principal: _Optional[str] = ..., access: _Optional[_Union[ShareAccess, str]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_micros", "model_calls", "unpriced_calls", "reasoning_tokens")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_MICROS_FIELD_NUMBER: _ClassVar[int]
    MODEL_CALLS_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_CALLS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_micros: int
    model_calls: int
    unpriced_calls: int
    reasoning_tokens: int
    def __init__(self, input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cache_read_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., cost_micros: _Optional[int] = ..., model_calls: _Optional[int] = ..., unpriced_calls: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ...) -> None: ...
