// The contract's messages and services, for the whole console: one place that knows where they come from.
export * from "./gen/quarterdeck/v1/admin_pb.js";
export * from "./gen/quarterdeck/v1/event_pb.js";
export * from "./gen/quarterdeck/v1/gateway_pb.js";
export * from "./gen/quarterdeck/v1/memory_pb.js";
export * from "./gen/quarterdeck/v1/message_pb.js";
export * from "./gen/quarterdeck/v1/session_pb.js";
export * from "./gen/quarterdeck/v1/turn_pb.js";
