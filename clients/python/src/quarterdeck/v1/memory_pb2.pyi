import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MemoryBucket(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMORY_BUCKET_UNSPECIFIED: _ClassVar[MemoryBucket]
    MEMORY_BUCKET_CORE: _ClassVar[MemoryBucket]
    MEMORY_BUCKET_ARCHIVAL: _ClassVar[MemoryBucket]

class MemoryKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMORY_KIND_UNSPECIFIED: _ClassVar[MemoryKind]
    MEMORY_KIND_PROFILE: _ClassVar[MemoryKind]
    MEMORY_KIND_PREFERENCE: _ClassVar[MemoryKind]
    MEMORY_KIND_RELATIONSHIP: _ClassVar[MemoryKind]
    MEMORY_KIND_FACT: _ClassVar[MemoryKind]
    MEMORY_KIND_SECRET: _ClassVar[MemoryKind]

class MemorySource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMORY_SOURCE_UNSPECIFIED: _ClassVar[MemorySource]
    MEMORY_SOURCE_MANUAL: _ClassVar[MemorySource]
    MEMORY_SOURCE_AUTO: _ClassVar[MemorySource]
    MEMORY_SOURCE_IMPORT: _ClassVar[MemorySource]

class SearchMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_MODE_UNSPECIFIED: _ClassVar[SearchMode]
    SEARCH_MODE_LEXICAL: _ClassVar[SearchMode]
    SEARCH_MODE_VECTOR: _ClassVar[SearchMode]
    SEARCH_MODE_HYBRID: _ClassVar[SearchMode]

class RememberOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REMEMBER_OUTCOME_UNSPECIFIED: _ClassVar[RememberOutcome]
    REMEMBER_OUTCOME_CREATED: _ClassVar[RememberOutcome]
    REMEMBER_OUTCOME_TOUCHED: _ClassVar[RememberOutcome]
    REMEMBER_OUTCOME_SUPERSEDED: _ClassVar[RememberOutcome]
MEMORY_BUCKET_UNSPECIFIED: MemoryBucket
MEMORY_BUCKET_CORE: MemoryBucket
MEMORY_BUCKET_ARCHIVAL: MemoryBucket
MEMORY_KIND_UNSPECIFIED: MemoryKind
MEMORY_KIND_PROFILE: MemoryKind
MEMORY_KIND_PREFERENCE: MemoryKind
MEMORY_KIND_RELATIONSHIP: MemoryKind
MEMORY_KIND_FACT: MemoryKind
MEMORY_KIND_SECRET: MemoryKind
MEMORY_SOURCE_UNSPECIFIED: MemorySource
MEMORY_SOURCE_MANUAL: MemorySource
MEMORY_SOURCE_AUTO: MemorySource
MEMORY_SOURCE_IMPORT: MemorySource
SEARCH_MODE_UNSPECIFIED: SearchMode
SEARCH_MODE_LEXICAL: SearchMode
SEARCH_MODE_VECTOR: SearchMode
SEARCH_MODE_HYBRID: SearchMode
REMEMBER_OUTCOME_UNSPECIFIED: RememberOutcome
REMEMBER_OUTCOME_CREATED: RememberOutcome
REMEMBER_OUTCOME_TOUCHED: RememberOutcome
REMEMBER_OUTCOME_SUPERSEDED: RememberOutcome

class MemoryItem(_message.Message):
    __slots__ = ("id", "namespace", "session_key", "bucket", "kind", "key", "content", "source", "turn_id", "tags", "expire_time", "version", "create_time", "update_time", "last_used_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    session_key: str
    bucket: MemoryBucket
    kind: MemoryKind
    key: str
    content: str
    source: MemorySource
    turn_id: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    expire_time: _timestamp_pb2.Timestamp
    version: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    last_used_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ..., session_key: _Optional[str] = ..., bucket: _Optional[_Union[MemoryBucket, str]] = ..., kind: _Optional[_Union[MemoryKind, str]] = ..., key: _Optional[str] = ..., content: _Optional[str] = ..., source: _Optional[_Union[MemorySource, str]] = ..., turn_id: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_used_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MemoryVersion(_message.Message):
    __slots__ = ("version", "bucket", "kind", "content", "source", "tags", "update_time", "supersede_time")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDE_TIME_FIELD_NUMBER: _ClassVar[int]
    version: int
    bucket: MemoryBucket
    kind: MemoryKind
    content: str
    source: MemorySource
    tags: _containers.RepeatedScalarFieldContainer[str]
    update_time: _timestamp_pb2.Timestamp
    supersede_time: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[int] = ..., bucket: _Optional[_Union[MemoryBucket, str]] = ..., kind: _Optional[_Union[MemoryKind, str]] = ..., content: _Optional[str] = ..., source: _Optional[_Union[MemorySource, str]] = ..., tags: _Optional[_Iterable[str]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., supersede_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetMemoryStatusRequest(_message.Message):
    __slots__ = ("namespace", "session_key")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    session_key: str
    def __init__(self, namespace: _Optional[str] = ..., session_key: _Optional[str] = ...) -> None: ...

class GetMemoryStatusResponse(_message.Message):
    __slots__ = ("core_count", "archival_count", "forgotten_count", "content_bytes", "last_write_time", "episode_count", "pending_episode_count", "indexed_count", "embedding_model", "pending_embedding_count", "mismatched_embedding_count", "rebuild")
    CORE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ARCHIVAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_WRITE_TIME_FIELD_NUMBER: _ClassVar[int]
    EPISODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PENDING_EPISODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    INDEXED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    PENDING_EMBEDDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISMATCHED_EMBEDDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    REBUILD_FIELD_NUMBER: _ClassVar[int]
    core_count: int
    archival_count: int
    forgotten_count: int
    content_bytes: int
    last_write_time: _timestamp_pb2.Timestamp
    episode_count: int
    pending_episode_count: int
    indexed_count: int
    embedding_model: str
    pending_embedding_count: int
    mismatched_embedding_count: int
    rebuild: MemoryRebuild
    def __init__(self, core_count: _Optional[int] = ..., archival_count: _Optional[int] = ..., forgotten_count: _Optional[int] = ..., content_bytes: _Optional[int] = ..., last_write_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., episode_count: _Optional[int] = ..., pending_episode_count: _Optional[int] = ..., indexed_count: _Optional[int] = ..., embedding_model: _Optional[str] = ..., pending_embedding_count: _Optional[int] = ..., mismatched_embedding_count: _Optional[int] = ..., rebuild: _Optional[_Union[MemoryRebuild, _Mapping]] = ...) -> None: ...

class MemoryRebuild(_message.Message):
    __slots__ = ("rebuild_id", "start_time", "end_time", "items_done", "items_total", "episodes_done", "episodes_total")
    REBUILD_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ITEMS_DONE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    EPISODES_DONE_FIELD_NUMBER: _ClassVar[int]
    EPISODES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    rebuild_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    items_done: int
    items_total: int
    episodes_done: int
    episodes_total: int
    def __init__(self, rebuild_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., items_done: _Optional[int] = ..., items_total: _Optional[int] = ..., episodes_done: _Optional[int] = ..., episodes_total: _Optional[int] = ...) -> None: ...

class ListCoreMemoriesRequest(_message.Message):
    __slots__ = ("namespace", "session_key")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    session_key: str
    def __init__(self, namespace: _Optional[str] = ..., session_key: _Optional[str] = ...) -> None: ...

class ListCoreMemoriesResponse(_message.Message):
    __slots__ = ("memories",)
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    memories: _containers.RepeatedCompositeFieldContainer[MemoryItem]
    def __init__(self, memories: _Optional[_Iterable[_Union[MemoryItem, _Mapping]]] = ...) -> None: ...

class SearchMemoryRequest(_message.Message):
    __slots__ = ("namespace", "session_key", "query", "limit", "mode", "tags", "kinds", "episodes")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    session_key: str
    query: str
    limit: int
    mode: SearchMode
    tags: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[MemoryKind]
    episodes: bool
    def __init__(self, namespace: _Optional[str] = ..., session_key: _Optional[str] = ..., query: _Optional[str] = ..., limit: _Optional[int] = ..., mode: _Optional[_Union[SearchMode, str]] = ..., tags: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[MemoryKind, str]]] = ..., episodes: bool = ...) -> None: ...

class SearchMemoryResponse(_message.Message):
    __slots__ = ("hits",)
    HITS_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[MemoryHit]
    def __init__(self, hits: _Optional[_Iterable[_Union[MemoryHit, _Mapping]]] = ...) -> None: ...

class MemoryHit(_message.Message):
    __slots__ = ("memory", "episode", "score", "snippet", "matches")
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SNIPPET_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    memory: MemoryItem
    episode: MemoryEpisode
    score: float
    snippet: str
    matches: _containers.RepeatedCompositeFieldContainer[TextRange]
    def __init__(self, memory: _Optional[_Union[MemoryItem, _Mapping]] = ..., episode: _Optional[_Union[MemoryEpisode, _Mapping]] = ..., score: _Optional[float] = ..., snippet: _Optional[str] = ..., matches: _Optional[_Iterable[_Union[TextRange, _Mapping]]] = ...) -> None: ...

class MemoryEpisode(_message.Message):
    __slots__ = ("session_key", "generation", "turn_id", "item_id", "role", "create_time")
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    TURN_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    generation: int
    turn_id: str
    item_id: str
    role: _message_pb2.Role
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, session_key: _Optional[str] = ..., generation: _Optional[int] = ..., turn_id: _Optional[str] = ..., item_id: _Optional[str] = ..., role: _Optional[_Union[_message_pb2.Role, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TextRange(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class RememberRequest(_message.Message):
    __slots__ = ("namespace", "session_key", "bucket", "kind", "key", "content", "tags", "request_id", "expire_time")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    session_key: str
    bucket: MemoryBucket
    kind: MemoryKind
    key: str
    content: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, namespace: _Optional[str] = ..., session_key: _Optional[str] = ..., bucket: _Optional[_Union[MemoryBucket, str]] = ..., kind: _Optional[_Union[MemoryKind, str]] = ..., key: _Optional[str] = ..., content: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RememberResponse(_message.Message):
    __slots__ = ("memory", "outcome", "replayed")
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    memory: MemoryItem
    outcome: RememberOutcome
    replayed: bool
    def __init__(self, memory: _Optional[_Union[MemoryItem, _Mapping]] = ..., outcome: _Optional[_Union[RememberOutcome, str]] = ..., replayed: bool = ...) -> None: ...

class ForgetRequest(_message.Message):
    __slots__ = ("namespace", "session_key", "id", "key", "hard", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    session_key: str
    id: str
    key: str
    hard: bool
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., session_key: _Optional[str] = ..., id: _Optional[str] = ..., key: _Optional[str] = ..., hard: bool = ..., request_id: _Optional[str] = ...) -> None: ...

class ForgetResponse(_message.Message):
    __slots__ = ("forgotten", "replayed")
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    forgotten: int
    replayed: bool
    def __init__(self, forgotten: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class RebuildMemoryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RebuildMemoryResponse(_message.Message):
    __slots__ = ("rebuild",)
    REBUILD_FIELD_NUMBER: _ClassVar[int]
    rebuild: MemoryRebuild
    def __init__(self, rebuild: _Optional[_Union[MemoryRebuild, _Mapping]] = ...) -> None: ...

class ListMemoriesRequest(_message.Message):
    __slots__ = ("namespace", "session_key", "page_size", "page_token", "bucket", "kinds", "tags")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    session_key: str
    page_size: int
    page_token: str
    bucket: MemoryBucket
    kinds: _containers.RepeatedScalarFieldContainer[MemoryKind]
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespace: _Optional[str] = ..., session_key: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., bucket: _Optional[_Union[MemoryBucket, str]] = ..., kinds: _Optional[_Iterable[_Union[MemoryKind, str]]] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class ListMemoriesResponse(_message.Message):
    __slots__ = ("memories", "next_page_token")
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    memories: _containers.RepeatedCompositeFieldContainer[MemoryItem]
    next_page_token: str
    def __init__(self, memories: _Optional[_Iterable[_Union[MemoryItem, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetMemoryRequest(_message.Message):
    __slots__ = ("id", "reveal")
    ID_FIELD_NUMBER: _ClassVar[int]
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    reveal: bool
    def __init__(self, id: _Optional[str] = ..., reveal: bool = ...) -> None: ...

class GetMemoryResponse(_message.Message):
    __slots__ = ("memory", "history")
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    memory: MemoryItem
    history: _containers.RepeatedCompositeFieldContainer[MemoryVersion]
    def __init__(self, memory: _Optional[_Union[MemoryItem, _Mapping]] = ..., history: _Optional[_Iterable[_Union[MemoryVersion, _Mapping]]] = ...) -> None: ...

class ImportMemoriesRequest(_message.Message):
    __slots__ = ("memories", "request_id")
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    memories: _containers.RepeatedCompositeFieldContainer[MemoryItem]
    request_id: str
    def __init__(self, memories: _Optional[_Iterable[_Union[MemoryItem, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ImportMemoriesResponse(_message.Message):
    __slots__ = ("created", "touched", "superseded", "replayed")
    CREATED_FIELD_NUMBER: _ClassVar[int]
    TOUCHED_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    created: int
    touched: int
    superseded: int
    replayed: bool
    def __init__(self, created: _Optional[int] = ..., touched: _Optional[int] = ..., superseded: _Optional[int] = ..., replayed: bool = ...) -> None: ...
