import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import routing_pb2 as _routing_pb2
from quarterdeck.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListRoutesRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class ListRoutesResponse(_message.Message):
    __slots__ = ("routes", "etag")
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedCompositeFieldContainer[_routing_pb2.Route]
    etag: str
    def __init__(self, routes: _Optional[_Iterable[_Union[_routing_pb2.Route, _Mapping]]] = ..., etag: _Optional[str] = ...) -> None: ...

class SetRoutesRequest(_message.Message):
    __slots__ = ("routes", "etag", "request_id", "tenant")
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedCompositeFieldContainer[_routing_pb2.Route]
    etag: str
    request_id: str
    tenant: str
    def __init__(self, routes: _Optional[_Iterable[_Union[_routing_pb2.Route, _Mapping]]] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class SetRoutesResponse(_message.Message):
    __slots__ = ("etag", "replayed")
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    etag: str
    replayed: bool
    def __init__(self, etag: _Optional[str] = ..., replayed: bool = ...) -> None: ...

class ResolveRouteRequest(_message.Message):
    __slots__ = ("text", "attachment_types", "labels", "principal", "source", "agent", "tenant")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    text: str
    attachment_types: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    principal: str
    source: str
    agent: str
    tenant: str
    def __init__(self, text: _Optional[str] = ..., attachment_types: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., principal: _Optional[str] = ..., source: _Optional[str] = ..., agent: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class ResolveRouteResponse(_message.Message):
    __slots__ = ("agent", "provider", "model_id", "thinking_level", "routing")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    agent: str
    provider: str
    model_id: str
    thinking_level: str
    routing: _routing_pb2.Routing
    def __init__(self, agent: _Optional[str] = ..., provider: _Optional[str] = ..., model_id: _Optional[str] = ..., thinking_level: _Optional[str] = ..., routing: _Optional[_Union[_routing_pb2.Routing, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("session_key", "agent")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    agent: str
    def __init__(self, session_key: _Optional[str] = ..., agent: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("agent", "models", "current", "as_of")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    agent: str
    models: _containers.RepeatedCompositeFieldContainer[Model]
    current: ModelInUse
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, agent: _Optional[str] = ..., models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., current: _Optional[_Union[ModelInUse, _Mapping]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("provider", "model_id", "display_name", "capabilities", "context_window", "max_output_tokens", "thinking_levels")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVELS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model_id: str
    display_name: str
    capabilities: ModelCapabilities
    context_window: int
    max_output_tokens: int
    thinking_levels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, provider: _Optional[str] = ..., model_id: _Optional[str] = ..., display_name: _Optional[str] = ..., capabilities: _Optional[_Union[ModelCapabilities, _Mapping]] = ..., context_window: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., thinking_levels: _Optional[_Iterable[str]] = ...) -> None: ...

class ModelCapabilities(_message.Message):
    __slots__ = ("reasoning", "vision", "tools")
    REASONING_FIELD_NUMBER: _ClassVar[int]
    VISION_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    reasoning: bool
    vision: bool
    tools: bool
    def __init__(self, reasoning: bool = ..., vision: bool = ..., tools: bool = ...) -> None: ...

class ModelInUse(_message.Message):
    __slots__ = ("provider", "model_id", "thinking_level")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    THINKING_LEVEL_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model_id: str
    thinking_level: str
    def __init__(self, provider: _Optional[str] = ..., model_id: _Optional[str] = ..., thinking_level: _Optional[str] = ...) -> None: ...

class SetModelRequest(_message.Message):
    __slots__ = ("session_key", "provider", "model_id", "request_id", "expected_generation")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    provider: str
    model_id: str
    request_id: str
    expected_generation: int
    def __init__(self, session_key: _Optional[str] = ..., provider: _Optional[str] = ..., model_id: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_generation: _Optional[int] = ...) -> None: ...

class SetModelResponse(_message.Message):
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

class SetThinkingLevelRequest(_message.Message):
    __slots__ = ("session_key", "level", "request_id", "expected_generation")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    level: str
    request_id: str
    expected_generation: int
    def __init__(self, session_key: _Optional[str] = ..., level: _Optional[str] = ..., request_id: _Optional[str] = ..., expected_generation: _Optional[int] = ...) -> None: ...

class SetThinkingLevelResponse(_message.Message):
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
