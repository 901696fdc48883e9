import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import message_pb2 as _message_pb2
from quarterdeck.v1 import routing_pb2 as _routing_pb2
from quarterdeck.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TurnState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TURN_STATE_UNSPECIFIED: _ClassVar[TurnState]
    TURN_STATE_QUEUED: _ClassVar[TurnState]
    TURN_STATE_RUNNING: _ClassVar[TurnState]
    TURN_STATE_WAITING_INPUT: _ClassVar[TurnState]
    TURN_STATE_CANCELING: _ClassVar[TurnState]
    TURN_STATE_COMPLETED: _ClassVar[TurnState]
    TURN_STATE_FAILED: _ClassVar[TurnState]
    TURN_STATE_CANCELED: _ClassVar[TurnState]
    TURN_STATE_INTERRUPTED: _ClassVar[TurnState]
    TURN_STATE_REJECTED: _ClassVar[TurnState]
    TURN_STATE_EXPIRED: _ClassVar[TurnState]
    TURN_STATE_SCHEDULED: _ClassVar[TurnState]

class StopReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STOP_REASON_UNSPECIFIED: _ClassVar[StopReason]
    STOP_REASON_STOP: _ClassVar[StopReason]
    STOP_REASON_LENGTH: _ClassVar[StopReason]
    STOP_REASON_TOOL_USE: _ClassVar[StopReason]
    STOP_REASON_ERROR: _ClassVar[StopReason]
    STOP_REASON_ABORTED: _ClassVar[StopReason]

class OnInterrupt(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_INTERRUPT_UNSPECIFIED: _ClassVar[OnInterrupt]
    ON_INTERRUPT_MARK: _ClassVar[OnInterrupt]
    ON_INTERRUPT_RETRY: _ClassVar[OnInterrupt]
TURN_STATE_UNSPECIFIED: TurnState
TURN_STATE_QUEUED: TurnState
TURN_STATE_RUNNING: TurnState
TURN_STATE_WAITING_INPUT: TurnState
TURN_STATE_CANCELING: TurnState
TURN_STATE_COMPLETED: TurnState
TURN_STATE_FAILED: TurnState
TURN_STATE_CANCELED: TurnState
TURN_STATE_INTERRUPTED: TurnState
TURN_STATE_REJECTED: TurnState
TURN_STATE_EXPIRED: TurnState
TURN_STATE_SCHEDULED: TurnState
STOP_REASON_UNSPECIFIED: StopReason
STOP_REASON_STOP: StopReason
STOP_REASON_LENGTH: StopReason
STOP_REASON_TOOL_USE: StopReason
STOP_REASON_ERROR: StopReason
STOP_REASON_ABORTED: StopReason
ON_INTERRUPT_UNSPECIFIED: OnInterrupt
ON_INTERRUPT_MARK: OnInterrupt
ON_INTERRUPT_RETRY: OnInterrupt

class Turn(_message.Message):
    __slots__ = ("turn_id", "session_key", "state", "text", "response_text", "stop_reason", "error", "attempt", "agent", "model", "usage", "create_time", "start_time", "end_time", "generation", "source", "metadata", "attachments", "text_truncated", "response_text_truncated", "on_interrupt", "expire_time", "principal", "agent_revision", "command", "output_json", "not_before", "routing", "thinking_level")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TEXT_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    TEXT_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TEXT_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    ON_INTERRUPT_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    AGENT_REVISION_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    turn_id: str
    session_key: str
    state: TurnState
    text: str
    response_text: str
    stop_reason: StopReason
    error: TurnError
    attempt: int
    agent: str
    model: str
    usage: _session_pb2.Usage
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    generation: int
    source: str
    metadata: _containers.ScalarMap[str, str]
    attachments: _containers.RepeatedCompositeFieldContainer[_message_pb2.AttachmentRef]
    text_truncated: bool
    response_text_truncated: bool
    on_interrupt: OnInterrupt
    expire_time: _timestamp_pb2.Timestamp
    principal: str
    agent_revision: str
    command: str
    output_json: str
    not_before: _timestamp_pb2.Timestamp
    routing: _routing_pb2.Routing
    thinking_level: str
    def __init__(self, turn_id: _Optional[str] = ..., session_key: _Optional[str] = ..., state: _Optional[_Union[TurnState, str]] = ..., text: _Optional[str] = ..., response_text: _Optional[str] = ..., stop_reason: _Optional[_Union[StopReason, str]] = ..., error: _Optional[_Union[TurnError, _Mapping]] = ..., attempt: _Optional[int] = ..., agent: _Optional[str] = ..., model: _Optional[str] = ..., usage: _Optional[_Union[_session_pb2.Usage, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., generation: _Optional[int] = ..., source: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., attachments: _Optional[_Iterable[_Union[_message_pb2.AttachmentRef, _Mapping]]] = ..., text_truncated: bool = ..., response_text_truncated: bool = ..., on_interrupt: _Optional[_Union[OnInterrupt, str]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., principal: _Optional[str] = ..., agent_revision: _Optional[str] = ..., command: _Optional[str] = ..., output_json: _Optional[str] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., routing: _Optional[_Union[_routing_pb2.Routing, _Mapping]] = ..., thinking_level: _Optional[str] = ...) -> None: ...

class TurnError(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
