import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QuestionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUESTION_KIND_UNSPECIFIED: _ClassVar[QuestionKind]
    QUESTION_KIND_PERMISSION: _ClassVar[QuestionKind]
    QUESTION_KIND_FORM: _ClassVar[QuestionKind]
    QUESTION_KIND_LINK: _ClassVar[QuestionKind]
    QUESTION_KIND_TOOL_CALL: _ClassVar[QuestionKind]
    QUESTION_KIND_BUDGET: _ClassVar[QuestionKind]

class OptionEffect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPTION_EFFECT_UNSPECIFIED: _ClassVar[OptionEffect]
    OPTION_EFFECT_ALLOW_ONCE: _ClassVar[OptionEffect]
    OPTION_EFFECT_ALLOW_ALWAYS: _ClassVar[OptionEffect]
    OPTION_EFFECT_DENY_ONCE: _ClassVar[OptionEffect]
    OPTION_EFFECT_DENY_ALWAYS: _ClassVar[OptionEffect]

class QuestionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUESTION_STATE_UNSPECIFIED: _ClassVar[QuestionState]
    QUESTION_STATE_PENDING: _ClassVar[QuestionState]
    QUESTION_STATE_ANSWERED: _ClassVar[QuestionState]
    QUESTION_STATE_EXPIRED: _ClassVar[QuestionState]
    QUESTION_STATE_CANCELED: _ClassVar[QuestionState]

class QuestionResolution(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUESTION_RESOLUTION_UNSPECIFIED: _ClassVar[QuestionResolution]
    QUESTION_RESOLUTION_ANSWERED: _ClassVar[QuestionResolution]
    QUESTION_RESOLUTION_POLICY: _ClassVar[QuestionResolution]
    QUESTION_RESOLUTION_EXPIRED: _ClassVar[QuestionResolution]
    QUESTION_RESOLUTION_TURN_CANCELED: _ClassVar[QuestionResolution]
    QUESTION_RESOLUTION_TURN_ENDED: _ClassVar[QuestionResolution]
    QUESTION_RESOLUTION_AGENT_GONE: _ClassVar[QuestionResolution]
    QUESTION_RESOLUTION_GATEWAY_CRASHED: _ClassVar[QuestionResolution]
    QUESTION_RESOLUTION_DRAINING: _ClassVar[QuestionResolution]
    QUESTION_RESOLUTION_WITHDRAWN: _ClassVar[QuestionResolution]

class ToolAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_ACTION_UNSPECIFIED: _ClassVar[ToolAction]
    TOOL_ACTION_ALLOW: _ClassVar[ToolAction]
    TOOL_ACTION_ASK: _ClassVar[ToolAction]
    TOOL_ACTION_DENY: _ClassVar[ToolAction]

class NoApprover(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NO_APPROVER_UNSPECIFIED: _ClassVar[NoApprover]
    NO_APPROVER_WAIT: _ClassVar[NoApprover]
    NO_APPROVER_DENY: _ClassVar[NoApprover]
QUESTION_KIND_UNSPECIFIED: QuestionKind
QUESTION_KIND_PERMISSION: QuestionKind
QUESTION_KIND_FORM: QuestionKind
QUESTION_KIND_LINK: QuestionKind
QUESTION_KIND_TOOL_CALL: QuestionKind
QUESTION_KIND_BUDGET: QuestionKind
OPTION_EFFECT_UNSPECIFIED: OptionEffect
OPTION_EFFECT_ALLOW_ONCE: OptionEffect
OPTION_EFFECT_ALLOW_ALWAYS: OptionEffect
OPTION_EFFECT_DENY_ONCE: OptionEffect
OPTION_EFFECT_DENY_ALWAYS: OptionEffect
QUESTION_STATE_UNSPECIFIED: QuestionState
QUESTION_STATE_PENDING: QuestionState
QUESTION_STATE_ANSWERED: QuestionState
QUESTION_STATE_EXPIRED: QuestionState
QUESTION_STATE_CANCELED: QuestionState
QUESTION_RESOLUTION_UNSPECIFIED: QuestionResolution
QUESTION_RESOLUTION_ANSWERED: QuestionResolution
QUESTION_RESOLUTION_POLICY: QuestionResolution
QUESTION_RESOLUTION_EXPIRED: QuestionResolution
QUESTION_RESOLUTION_TURN_CANCELED: QuestionResolution
QUESTION_RESOLUTION_TURN_ENDED: QuestionResolution
QUESTION_RESOLUTION_AGENT_GONE: QuestionResolution
QUESTION_RESOLUTION_GATEWAY_CRASHED: QuestionResolution
QUESTION_RESOLUTION_DRAINING: QuestionResolution
QUESTION_RESOLUTION_WITHDRAWN: QuestionResolution
TOOL_ACTION_UNSPECIFIED: ToolAction
TOOL_ACTION_ALLOW: ToolAction
TOOL_ACTION_ASK: ToolAction
TOOL_ACTION_DENY: ToolAction
NO_APPROVER_UNSPECIFIED: NoApprover
NO_APPROVER_WAIT: NoApprover
NO_APPROVER_DENY: NoApprover

class Question(_message.Message):
    __slots__ = ("question_id", "session_key", "turn_id", "kind", "state", "title", "tool_call_id", "tool_name", "args_json", "args_full_size", "action_digest", "options", "schema_json", "url", "agent_path", "policy_rule", "answer", "answered_by", "resolution", "create_time", "expire_time", "resolve_time", "delivered")
    QUESTION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ARGS_FULL_SIZE_FIELD_NUMBER: _ClassVar[int]
    ACTION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    AGENT_PATH_FIELD_NUMBER: _ClassVar[int]
    POLICY_RULE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    RESOLVE_TIME_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    question_id: str
    session_key: str
    turn_id: str
    kind: QuestionKind
    state: QuestionState
    title: str
    tool_call_id: str
    tool_name: str
    args_json: str
    args_full_size: int
    action_digest: str
    options: _containers.RepeatedCompositeFieldContainer[QuestionOption]
    schema_json: str
    url: str
    agent_path: _containers.RepeatedScalarFieldContainer[str]
    policy_rule: str
    answer: Answer
    answered_by: str
    resolution: QuestionResolution
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    resolve_time: _timestamp_pb2.Timestamp
    delivered: bool
    def __init__(self, question_id: _Optional[str] = ..., session_key: _Optional[str] = ..., turn_id: _Optional[str] = ..., kind: _Optional[_Union[QuestionKind, str]] = ..., state: _Optional[_Union[QuestionState, str]] = ..., title: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., tool_name: _Optional[str] = ..., args_json: _Optional[str] = ..., args_full_size: _Optional[int] = ..., action_digest: _Optional[str] = ..., options: _Optional[_Iterable[_Union[QuestionOption, _Mapping]]] = ..., schema_json: _Optional[str] = ..., url: _Optional[str] = ..., agent_path: _Optional[_Iterable[str]] = ..., policy_rule: _Optional[str] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., answered_by: _Optional[str] = ..., resolution: _Optional[_Union[QuestionResolution, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolve_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delivered: bool = ...) -> None: ...

class QuestionOption(_message.Message):
    __slots__ = ("option_id", "label", "effect")
    OPTION_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    option_id: str
    label: str
    effect: OptionEffect
    def __init__(self, option_id: _Optional[str] = ..., label: _Optional[str] = ..., effect: _Optional[_Union[OptionEffect, str]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("option_id", "content_json", "is_error", "declined", "comment")
    OPTION_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_JSON_FIELD_NUMBER: _ClassVar[int]
    IS_ERROR_FIELD_NUMBER: _ClassVar[int]
    DECLINED_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    option_id: str
    content_json: str
    is_error: bool
    declined: bool
    comment: str
    def __init__(self, option_id: _Optional[str] = ..., content_json: _Optional[str] = ..., is_error: bool = ..., declined: bool = ..., comment: _Optional[str] = ...) -> None: ...

class ToolRule(_message.Message):
    __slots__ = ("tool", "action")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    tool: str
    action: ToolAction
    def __init__(self, tool: _Optional[str] = ..., action: _Optional[_Union[ToolAction, str]] = ...) -> None: ...
