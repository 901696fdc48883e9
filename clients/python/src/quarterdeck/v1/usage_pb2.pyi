import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BudgetScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_SCOPE_UNSPECIFIED: _ClassVar[BudgetScope]
    BUDGET_SCOPE_SESSION: _ClassVar[BudgetScope]
    BUDGET_SCOPE_PRINCIPAL: _ClassVar[BudgetScope]
    BUDGET_SCOPE_TENANT: _ClassVar[BudgetScope]
    BUDGET_SCOPE_LABEL: _ClassVar[BudgetScope]

class BudgetPeriod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_PERIOD_UNSPECIFIED: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_TOTAL: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_DAY: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_MONTH: _ClassVar[BudgetPeriod]

class OnExceeded(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_EXCEEDED_UNSPECIFIED: _ClassVar[OnExceeded]
    ON_EXCEEDED_REJECT: _ClassVar[OnExceeded]
    ON_EXCEEDED_PAUSE: _ClassVar[OnExceeded]

class UsageBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_BY_UNSPECIFIED: _ClassVar[UsageBy]
    USAGE_BY_SESSION: _ClassVar[UsageBy]
    USAGE_BY_PRINCIPAL: _ClassVar[UsageBy]
    USAGE_BY_AGENT: _ClassVar[UsageBy]
    USAGE_BY_MODEL: _ClassVar[UsageBy]
    USAGE_BY_LABEL: _ClassVar[UsageBy]
    USAGE_BY_DAY: _ClassVar[UsageBy]
BUDGET_SCOPE_UNSPECIFIED: BudgetScope
BUDGET_SCOPE_SESSION: BudgetScope
BUDGET_SCOPE_PRINCIPAL: BudgetScope
BUDGET_SCOPE_TENANT: BudgetScope
BUDGET_SCOPE_LABEL: BudgetScope
BUDGET_PERIOD_UNSPECIFIED: BudgetPeriod
BUDGET_PERIOD_TOTAL: BudgetPeriod
BUDGET_PERIOD_DAY: BudgetPeriod
BUDGET_PERIOD_MONTH: BudgetPeriod
ON_EXCEEDED_UNSPECIFIED: OnExceeded
ON_EXCEEDED_REJECT: OnExceeded
ON_EXCEEDED_PAUSE: OnExceeded
USAGE_BY_UNSPECIFIED: UsageBy
USAGE_BY_SESSION: UsageBy
USAGE_BY_PRINCIPAL: UsageBy
USAGE_BY_AGENT: UsageBy
USAGE_BY_MODEL: UsageBy
USAGE_BY_LABEL: UsageBy
USAGE_BY_DAY: UsageBy

class Budget(_message.Message):
    __slots__ = ("scope", "key", "period", "soft_micros", "hard_micros", "soft_tokens", "hard_tokens", "on_exceeded", "spent_micros", "spent_tokens", "unpriced_calls", "period_start_time", "set_time", "exceeded")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    SOFT_MICROS_FIELD_NUMBER: _ClassVar[int]
    HARD_MICROS_FIELD_NUMBER: _ClassVar[int]
    SOFT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    HARD_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ON_EXCEEDED_FIELD_NUMBER: _ClassVar[int]
    SPENT_MICROS_FIELD_NUMBER: _ClassVar[int]
    SPENT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_CALLS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_START_TIME_FIELD_NUMBER: _ClassVar[int]
    SET_TIME_FIELD_NUMBER: _ClassVar[int]
    EXCEEDED_FIELD_NUMBER: _ClassVar[int]
    scope: BudgetScope
    key: str
    period: BudgetPeriod
    soft_micros: int
    hard_micros: int
    soft_tokens: int
    hard_tokens: int
    on_exceeded: OnExceeded
    spent_micros: int
    spent_tokens: int
    unpriced_calls: int
    period_start_time: _timestamp_pb2.Timestamp
    set_time: _timestamp_pb2.Timestamp
    exceeded: bool
    def __init__(self, scope: _Optional[_Union[BudgetScope, str]] = ..., key: _Optional[str] = ..., period: _Optional[_Union[BudgetPeriod, str]] = ..., soft_micros: _Optional[int] = ..., hard_micros: _Optional[int] = ..., soft_tokens: _Optional[int] = ..., hard_tokens: _Optional[int] = ..., on_exceeded: _Optional[_Union[OnExceeded, str]] = ..., spent_micros: _Optional[int] = ..., spent_tokens: _Optional[int] = ..., unpriced_calls: _Optional[int] = ..., period_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., set_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exceeded: bool = ...) -> None: ...

class UsageFilter(_message.Message):
    __slots__ = ("session_key", "principal", "agent", "model", "labels", "start_time", "end_time")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    session_key: str
    principal: str
    agent: str
    model: str
    labels: _containers.ScalarMap[str, str]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, session_key: _Optional[str] = ..., principal: _Optional[str] = ..., agent: _Optional[str] = ..., model: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UsageGrouping(_message.Message):
    __slots__ = ("by", "label_key")
    BY_FIELD_NUMBER: _ClassVar[int]
    LABEL_KEY_FIELD_NUMBER: _ClassVar[int]
    by: UsageBy
    label_key: str
    def __init__(self, by: _Optional[_Union[UsageBy, str]] = ..., label_key: _Optional[str] = ...) -> None: ...

class UsageRow(_message.Message):
    __slots__ = ("keys", "usage")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    usage: _session_pb2.Usage
    def __init__(self, keys: _Optional[_Iterable[str]] = ..., usage: _Optional[_Union[_session_pb2.Usage, _Mapping]] = ...) -> None: ...
