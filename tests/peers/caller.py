"""Calls a running server with Python's grpcio, from nothing but what server reflection says.

    caller.py HOST:PORT [KEY]
"""

import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

ADDRESS, *KEY = sys.argv[1:]
METADATA = [("authorization", f"Bearer {KEY[0]}")] if KEY else []
SERVICE = "quarterdeck.v1.GatewayService"
ROLE_ASSISTANT = 2
PATIENCE = 30  # seconds

checks = 0


class Signed(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Adds the key to every call, those of reflection too."""

    def _with(self, details):
        return details._replace(metadata=[*(details.metadata or []), *METADATA])

    def intercept_unary_unary(self, go, details, request):
        return go(self._with(details), request)

    def intercept_unary_stream(self, go, details, request):
        return go(self._with(details), request)

    def intercept_stream_stream(self, go, details, requests):
        return go(self._with(details), requests)


signed = grpc.intercept_channel(grpc.insecure_channel(ADDRESS), Signed())
database = ProtoReflectionDescriptorDatabase(signed)
pool = descriptor_pool.DescriptorPool(database)
service = pool.FindServiceByName(SERVICE)


def call(method, fields, **options):
    """One call, unary or server streaming, as the descriptor says."""
    found = service.methods_by_name[method]
    request = message_factory.GetMessageClass(found.input_type)(**fields)
    answer = message_factory.GetMessageClass(found.output_type)
    kind = signed.unary_stream if found.server_streaming else signed.unary_unary
    return kind(f"/{SERVICE}/{method}", type(request).SerializeToString, answer.FromString)(
        request, **{"timeout": PATIENCE, **options}
    )


def refused(code, reason, run):
    """The error must have this code, and say why in an ErrorInfo. Returns its details by type."""
    try:
        run()
    except grpc.RpcError as error:
        assert error.code() == code, error
        details = {}
        for packed in rpc_status.from_call(error).details:
            kind = packed.type_url.rsplit(".", 1)[-1]
            detail = getattr(error_details_pb2, kind)()
            assert packed.Unpack(detail)
            details[kind] = detail
        info = details["ErrorInfo"]
        assert (info.reason, info.domain) == (reason, "quarterdeck"), info
        return error, details
    raise AssertionError(f"expected {code}")


def check(name):
    global checks
    checks += 1
    print(f"  ok {name}")


listed = list(database.get_services())
assert SERVICE in listed and "grpc.health.v1.Health" in listed, listed
check("reflection lists the services")

accepted = call("Enqueue", {"session_key": "grpcio", "text": "hello from grpcio", "request_id": "once"})
again = call("Enqueue", {"session_key": "grpcio", "text": "hello from grpcio", "request_id": "once"})
assert again.replayed and again.turn.turn_id == accepted.turn.turn_id
check("Enqueue, and the same once more")

text = ""
story = call("Subscribe", {"session_key": "grpcio", "from_oldest": True})
for event in story:
    kind = event.WhichOneof("kind")
    if kind == "message_completed" and event.message_completed.role == ROLE_ASSISTANT:
        text = event.message_completed.text
    if kind == "turn_ended":
        break
story.cancel()
assert text == "hello from grpcio", text
check("Subscribe from the oldest event to the turn's end")

_, details = refused(
    grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", lambda: call("Enqueue", {"session_key": "no/path", "text": "x"})
)
assert details["BadRequest"].field_violations[0].field == "session_key", details
check("an error's details")

refused(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", lambda: list(call("Subscribe", {"session_key": "nobody"})))
check("an error before a stream's first message")

hanging = call("Enqueue", {"session_key": "grpcio-hangs", "text": "!hang x"}).turn.turn_id
try:
    call("AwaitTurn", {"session_key": "grpcio-hangs", "turn_id": hanging}, timeout=0.3)
    raise AssertionError("the turn hangs")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
check("a deadline")

events = call("Subscribe", {"session_key": "grpcio-hangs", "from_oldest": True})
next(events)
events.cancel()
try:
    list(events)
    raise AssertionError("cancelled")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.CANCELLED, error
assert call("Abort", {"session_key": "grpcio-hangs"}).aborted
check("a cancelled stream; the connection goes on")

large = "word " * 80_000  # 400 000 bytes; gzip makes few of it
accepted = call("Enqueue", {"session_key": "grpcio-gzip", "text": large}, compression=grpc.Compression.Gzip)
done = call("AwaitTurn", {"session_key": "grpcio-gzip", "turn_id": accepted.turn.turn_id})
assert done.turn.text == large
check("a request compressed with gzip, and its answer")

refused(
    grpc.StatusCode.UNIMPLEMENTED,
    "COMPRESSION_UNKNOWN",
    lambda: call("Enqueue", {"session_key": "grpcio-deflate", "text": large}, compression=grpc.Compression.Deflate),
)
check("another compression is refused")

print(f"{checks} checks passed")
