from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Route(_message.Message):
    __slots__ = ("name", "when", "use")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    name: str
    when: RouteCondition
    use: RouteTarget
    def __init__(self, name: _Optional[str] = ..., when: _Optional[_Union[RouteCondition, _Mapping]] = ..., use: _Optional[_Union[RouteTarget, _Mapping]] = ...) -> None: ...

class RouteCondition(_message.Message):
    __slots__ = ("text_matches", "min_text_bytes", "has_attachment_type", "labels", "principals", "sources")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TEXT_MATCHES_FIELD_NUMBER: _ClassVar[int]
    MIN_TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    HAS_ATTACHMENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRINCIPALS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    text_matches: str
    min_text_bytes: int
    has_attachment_type: str
    labels: _containers.ScalarMap[str, str]
    principals: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, text_matches: _Optional[str] = ..., min_text_bytes: _Optional[int] = ..., has_attachment_type: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., principals: _Optional[_Iterable[str]] = ..., sources: _Optional[_Iterable[str]] = ...) -> None: ...

class RouteTarget(_message.Message):
    __slots__ = ("agent", "provider", "model_id", "thinking_level")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    agent: str
    provider: str
    model_id: str
    thinking_level: str
    def __init__(self, agent: _Optional[str] = ..., provider: _Optional[str] = ..., model_id: _Optional[str] = ..., thinking_level: _Optional[str] = ...) -> None: ...

class Routing(_message.Message):
    __slots__ = ("rule_name", "reason", "skipped_rules")
    RULE_NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_RULES_FIELD_NUMBER: _ClassVar[int]
    rule_name: str
    reason: str
    skipped_rules: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rule_name: _Optional[str] = ..., reason: _Optional[str] = ..., skipped_rules: _Optional[_Iterable[str]] = ...) -> None: ...
