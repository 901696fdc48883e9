from quarterdeck.v1 import turn_pb2 as _turn_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CommandSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_SOURCE_UNSPECIFIED: _ClassVar[CommandSource]
    COMMAND_SOURCE_AGENT: _ClassVar[CommandSource]
    COMMAND_SOURCE_GATEWAY: _ClassVar[CommandSource]
COMMAND_SOURCE_UNSPECIFIED: CommandSource
COMMAND_SOURCE_AGENT: CommandSource
COMMAND_SOURCE_GATEWAY: CommandSource

class Command(_message.Message):
    __slots__ = ("name", "description", "input_hint", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_HINT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    input_hint: str
    source: CommandSource
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., input_hint: _Optional[str] = ..., source: _Optional[_Union[CommandSource, str]] = ...) -> None: ...

class ListCommandsRequest(_message.Message):
    __slots__ = ("session_key",)
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    def __init__(self, session_key: _Optional[str] = ...) -> None: ...

class ListCommandsResponse(_message.Message):
    __slots__ = ("commands", "complete")
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[Command]
    complete: bool
    def __init__(self, commands: _Optional[_Iterable[_Union[Command, _Mapping]]] = ..., complete: bool = ...) -> None: ...

class ExecuteCommandRequest(_message.Message):
    __slots__ = ("session_key", "name", "arguments", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    name: str
    arguments: str
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[str] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ExecuteCommandResponse(_message.Message):
    __slots__ = ("turn", "result_json", "seq", "replayed", "log_id")
    TURN_FIELD_NUMBER: _ClassVar[int]
    RESULT_JSON_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    turn: _turn_pb2.Turn
    result_json: str
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, turn: _Optional[_Union[_turn_pb2.Turn, _Mapping]] = ..., result_json: _Optional[str] = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...

class CompactSessionRequest(_message.Message):
    __slots__ = ("session_key", "instructions", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    instructions: str
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., instructions: _Optional[str] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class CompactSessionResponse(_message.Message):
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

class ReloadSessionRequest(_message.Message):
    __slots__ = ("session_key", "expected_generation", "request_id")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    expected_generation: int
    request_id: str
    def __init__(self, session_key: _Optional[str] = ..., expected_generation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReloadSessionResponse(_message.Message):
    __slots__ = ("was_awake", "seq", "replayed", "log_id")
    WAS_AWAKE_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    was_awake: bool
    seq: int
    replayed: bool
    log_id: str
    def __init__(self, was_awake: bool = ..., seq: _Optional[int] = ..., replayed: bool = ..., log_id: _Optional[str] = ...) -> None: ...
