import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToolCallState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_CALL_STATE_UNSPECIFIED: _ClassVar[ToolCallState]
    TOOL_CALL_STATE_RUNNING: _ClassVar[ToolCallState]
    TOOL_CALL_STATE_RESULT: _ClassVar[ToolCallState]
    TOOL_CALL_STATE_ERROR: _ClassVar[ToolCallState]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_USER: _ClassVar[Role]
    ROLE_ASSISTANT: _ClassVar[Role]
    ROLE_TOOL: _ClassVar[Role]
    ROLE_SYSTEM: _ClassVar[Role]

class BlockKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BLOCK_KIND_UNSPECIFIED: _ClassVar[BlockKind]
    BLOCK_KIND_TEXT: _ClassVar[BlockKind]
    BLOCK_KIND_THINKING: _ClassVar[BlockKind]
    BLOCK_KIND_TOOL_INPUT: _ClassVar[BlockKind]
    BLOCK_KIND_TOOL_RESULT: _ClassVar[BlockKind]
TOOL_CALL_STATE_UNSPECIFIED: ToolCallState
TOOL_CALL_STATE_RUNNING: ToolCallState
TOOL_CALL_STATE_RESULT: ToolCallState
TOOL_CALL_STATE_ERROR: ToolCallState
ROLE_UNSPECIFIED: Role
ROLE_USER: Role
ROLE_ASSISTANT: Role
ROLE_TOOL: Role
ROLE_SYSTEM: Role
BLOCK_KIND_UNSPECIFIED: BlockKind
BLOCK_KIND_TEXT: BlockKind
BLOCK_KIND_THINKING: BlockKind
BLOCK_KIND_TOOL_INPUT: BlockKind
BLOCK_KIND_TOOL_RESULT: BlockKind

class Message(_message.Message):
    __slots__ = ("item_id", "turn_id", "generation", "role", "parts", "create_time", "seq", "partial", "continued")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    turn_id: str
    generation: int
    role: Role
    parts: _containers.RepeatedCompositeFieldContainer[MessagePart]
    create_time: _timestamp_pb2.Timestamp
    seq: int
    partial: bool
    continued: bool
    def __init__(self, item_id: _Optional[str] = ..., turn_id: _Optional[str] = ..., generation: _Optional[int] = ..., role: _Optional[_Union[Role, str]] = ..., parts: _Optional[_Iterable[_Union[MessagePart, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seq: _Optional[int] = ..., partial: bool = ..., continued: bool = ...) -> None: ...

class MessagePart(_message.Message):
    __slots__ = ("content_index", "text", "thinking", "tool_call", "attachment")
    CONTENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_FIELD_NUMBER: _ClassVar[int]
    content_index: int
    text: TextPart
    thinking: ThinkingPart
    tool_call: ToolCallPart
    attachment: AttachmentRef
    def __init__(self, content_index: _Optional[int] = ..., text: _Optional[_Union[TextPart, _Mapping]] = ..., thinking: _Optional[_Union[ThinkingPart, _Mapping]] = ..., tool_call: _Optional[_Union[ToolCallPart, _Mapping]] = ..., attachment: _Optional[_Union[AttachmentRef, _Mapping]] = ...) -> None: ...

class TextPart(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ThinkingPart(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ToolCallPart(_message.Message):
    __slots__ = ("tool_call_id", "tool_name", "args_json", "state", "result_json", "full_size")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESULT_JSON_FIELD_NUMBER: _ClassVar[int]
    FULL_SIZE_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    tool_name: str
    args_json: str
    state: ToolCallState
    result_json: str
    full_size: int
    def __init__(self, tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ..., args_json: _Optional[str] = ..., state: _Optional[_Union[ToolCallState, str]] = ..., result_json: _Optional[str] = ..., full_size: _Optional[int] = ...) -> None: ...

class Attachment(_message.Message):
    __slots__ = ("name", "media_type", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    media_type: str
    data: bytes
    def __init__(self, name: _Optional[str] = ..., media_type: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class AttachmentRef(_message.Message):
    __slots__ = ("attachment_id", "name", "media_type", "size")
    ATTACHMENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    attachment_id: str
    name: str
    media_type: str
    size: int
    def __init__(self, attachment_id: _Optional[str] = ..., name: _Optional[str] = ..., media_type: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...
