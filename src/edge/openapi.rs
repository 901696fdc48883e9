//! What REST offers, as OpenAPI 3.1: made of the contract's descriptors, its comments, the routes and the bounds that
//! requests are held to; and the two paths beside the contract, tickets and bytes.

use super::{
    attachments::CONTENT,
    rest::SUBSCRIBE,
    routes::{CONTRACT, Endpoint, endpoint, message_at},
    tickets::TICKETS,
};
use crate::{
    grpc::methods::{BodyOf, Verb},
    wire::bounds::{self, Bound},
};
use bytes::Bytes;
use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor,
};
use serde_json::{Map, Value as Json, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

/// Messages inside of a request that parameters of a query reach into.
const QUERY_DEPTH_MAX: usize = 3;
/// What every refusal looks like.
const PROBLEM: &str = "Problem";

/// Comments of the contract, by file and place in it.
struct Comments<'c> {
    by_place: HashMap<(&'c str, &'c [i32]), &'c str>,
}

/// The document on its way.
struct Document<'c> {
    comments: Comments<'c>,
    /// Messages and enums by name, as they are met.
    schemas: BTreeMap<String, Json>,
}

/// The whole document, made when somebody first asks for it.
pub(super) static DESCRIPTION: LazyLock<Bytes> =
    LazyLock::new(|| describe(&CONTRACT).to_string().into());

fn describe(contract: &DescriptorPool) -> Json {
    let files: Vec<FileDescriptor> = contract.files().collect();
    let mut document = Document {
        comments: Comments::of(&files),
        schemas: BTreeMap::from([(PROBLEM.to_owned(), problem())]),
    };
    let mut paths: BTreeMap<String, Map<String, Json>> = BTreeMap::new();
    for service in contract.services() {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let Some(endpoint) = endpoint(&path) else {
                continue;
            };
            let Some(route) = endpoint.route() else {
                continue;
            };
            let verb = match route.verb {
                Verb::Get => "get",
                Verb::Post => "post",
                Verb::Patch => "patch",
                Verb::Delete => "delete",
            };
            let operation = document.operation(endpoint, &method);
            paths
                .entry(shown(route.path))
                .or_default()
                .insert(verb.into(), operation);
        }
    }
    for (path, verb, operation) in [
        (TICKETS, "post", ticket()),
        (CONTENT, "get", attachment_content()),
    ] {
        paths
            .entry(path.to_owned())
            .or_default()
            .insert(verb.into(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Quarterdeck",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Sessions of AI agents: enqueue, steer, abort, and follow without losing an event. \
                The same calls as by gRPC, with the same scopes, bounds and reasons of refusals.",
        },
        "security": [{ "key": [] }],
        "paths": paths,
        "components": {
            "schemas": document.schemas,
            "securitySchemes": { "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key, or a token of the configured issuer.",
            } },
            "responses": { PROBLEM: {
                "description": "The call was refused; `reason` says why.",
                "content": { "application/problem+json": { "schema": named(PROBLEM) } },
            } },
        },
    })
}

/// A path as it is described: names in it are not dotted.
fn shown(path: &str) -> String {
    let names = names_in(path).filter(|name| name.contains('.'));
    names.fold(path.to_owned(), |path, name| {
        path.replace(name, last_name(name))
    })
}

fn last_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// What opens a session's events to a browser's own reader.
fn ticket() -> Json {
    let schema = json!({
        "type": "object",
        "required": ["ticket", "expireTime", "idleTimeout"],
        "properties": {
            "ticket": { "type": "string", "description": "Shown as `?ticket=` at the session's events." },
            "expireTime": { "type": "string", "format": "date-time" },
            "idleTimeout": {
                "type": "string",
                "description": "How long after the end of its last stream it is valid.",
            },
        },
        "additionalProperties": false,
    });
    json!({
        "operationId": "CreateEventTicket",
        "tags": ["GatewayService"],
        "summary": "Gives a ticket for the events of a session",
        "description": "Gives a ticket for the events of a session, for a browser's own `EventSource`, which can't send a \
            key. It opens these events alone, and ends with the key that it was made by. Scope: `session.read`.",
        "parameters": [of_session()],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": { "type": "object" } } },
        },
        "responses": {
            "200": {
                "description": "Done.", "content": { "application/json": { "schema": schema } },
            },
            "default": { "$ref": format!("#/components/responses/{PROBLEM}") },
        },
    })
}

/// An attachment as it is.
fn attachment_content() -> Json {
    json!({
        "operationId": "GetAttachmentContent",
        "tags": ["GatewayService"],
        "summary": "Reads the bytes of an attachment as they are",
        "description": "Reads the bytes of an attachment as they are, of the media type that they were given with, to be \
            kept under their name. Scope: as GetAttachment.",
        "parameters": [
            of_session(),
            {
                "name": "attachment_id", "in": "path", "required": true,
                "schema": { "type": "string", "minLength": 1 },
            },
        ],
        "responses": {
            "200": { "description": "Done.", "content": { "*/*": {} } },
            "default": { "$ref": format!("#/components/responses/{PROBLEM}") },
        },
    })
}

fn of_session() -> Json {
    json!({
        "name": "session_key", "in": "path", "required": true,
        "schema": bound_schema(bounds::SESSION_KEY),
    })
}

fn named(name: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn problem() -> Json {
    json!({
        "type": "object",
        "description": "A refusal, as RFC 9457 writes it.",
        "required": ["type", "title", "status", "reason", "detail", "metadata"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "reason": {
                "type": "string",
                "description": "Stable, in UPPER_SNAKE_CASE; empty where there is none.",
            },
            "detail": { "type": "string", "description": "One sentence for people." },
            "metadata": {
                "type": "object",
                "description": "The facts of the refusal.",
                "additionalProperties": { "type": "string" },
            },
            "violations": {
                "type": "array",
                "description": "What is wrong with fields of the request.",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": {
                        "field": { "type": "string" },
                        "description": { "type": "string" },
                    },
                },
            },
        },
    })
}

// === impl Comments ===

impl<'c> Comments<'c> {
    fn of(files: &'c [FileDescriptor]) -> Self {
        let mut by_place = HashMap::new();
        for file in files {
            let file = file.file_descriptor_proto();
            let places = file.source_code_info.iter().flat_map(|it| &it.location);
            for place in places {
                if let Some(text) = &place.leading_comments {
                    by_place.insert((file.name(), place.path.as_slice()), text.as_str());
                }
            }
        }
        Self { by_place }
    }

    fn at(&self, file: &FileDescriptor, path: &[i32]) -> String {
        let found = self.by_place.get(&(file.name(), path)).copied();
        let lines = found.unwrap_or_default().lines().map(str::trim);
        lines.collect::<Vec<_>>().join(" ").trim().to_owned()
    }
}

// === impl Document ===

impl Document<'_> {
    fn operation(&mut self, endpoint: &Endpoint, method: &MethodDescriptor) -> Json {
        let route = endpoint.route().expect("asked for routes alone");
        let comment = self
            .comments
            .at(&method.parent_service().parent_file(), method.path());
        let summary = comment.split_once(". ").map_or(comment.as_str(), |it| it.0);
        let in_path: Vec<&str> = names_in(route.path).collect();
        let mut parameters: Vec<Json> = Vec::new();
        for name in &in_path {
            let schema = match last_name(name) {
                "session_key" => bound_schema(bounds::SESSION_KEY),
                "turn_id" | "question_id" => bound_schema(bounds::ID),
                _ => json!({ "type": "string", "minLength": 1 }),
            };
            parameters.push(json!({
                "name": last_name(name), "in": "path", "required": true, "schema": schema,
            }));
        }
        let hidden = match route.body {
            BodyOf::All => None,
            BodyOf::Field(name) => Some(vec![name, "update_mask", "request_id"]),
            BodyOf::Nothing => Some(vec!["request_id"]),
        };
        if let Some(hidden) = hidden {
            let left_out = |name: &str| hidden.contains(&name) || in_path.contains(&name);
            self.query(&endpoint.input, "", &left_out, 0, &mut parameters);
        }
        if endpoint.request_id.is_some() {
            parameters.push(json!({
                "name": "Idempotency-Key", "in": "header",
                "description": "Makes the call safe to repeat: it is the request's `request_id`.",
                "schema": bound_schema(bounds::REQUEST_ID),
            }));
        }
        if endpoint.resumes {
            parameters.push(json!({
                "name": "Last-Event-ID", "in": "header",
                "description": "The `id:` of the last event that the reader has, `LOG_ID:SEQ`.",
                "schema": { "type": "string", "pattern": "^.*:[0-9]{1,18}$" },
            }));
        }
        if endpoint.method.path == SUBSCRIBE {
            parameters.push(json!({
                "name": "ticket", "in": "query",
                "description": "What CreateEventTicket gave, in place of a key.",
                "schema": { "type": "string", "minLength": 1 },
            }));
        }
        let output = self.message(&endpoint.output);
        let content = match endpoint.method.streams {
            true => json!({
                // A stream has no schema before 3.2; the description says what its events hold.
                "text/event-stream": {},
                "application/x-ndjson": { "schema": output },
            }),
            false => json!({ "application/json": { "schema": output } }),
        };
        let done = match endpoint.method.streams {
            true => "Done. Each line, and the `data` of each server-sent event, is such an object.",
            false => "Done.",
        };
        let mut operation = json!({
            "operationId": method.name(),
            "tags": [method.parent_service().name()],
            "summary": summary,
            "description": comment,
            "parameters": parameters,
            "responses": {
                "200": { "description": done, "content": content },
                "default": { "$ref": format!("#/components/responses/{PROBLEM}") },
            },
        });
        let body = match route.body {
            BodyOf::Nothing => None,
            BodyOf::All => Some(self.object(&endpoint.input, &in_path)),
            BodyOf::Field(name) => message_at(&endpoint.input, name).map(|inner| {
                let prefix = format!("{name}.");
                let there = in_path
                    .iter()
                    .map(|it| it.strip_prefix(&prefix).unwrap_or(it));
                self.object(&inner, &there.collect::<Vec<_>>())
            }),
        };
        if let Some(schema) = body {
            operation["requestBody"] = json!({
                "required": true,
                "content": { "application/json": { "schema": schema } },
            });
        }
        operation
    }

    /// The parameters of a query: fields that are no messages, by dotted names.
    fn query(
        &mut self,
        of: &MessageDescriptor,
        prefix: &str,
        left_out: &dyn Fn(&str) -> bool,
        depth: usize,
        parameters: &mut Vec<Json>,
    ) {
        for field in of.fields() {
            let name = format!("{prefix}{}", field.name());
            if left_out(&name) {
                continue;
            }
            match field.kind() {
                // A list of messages, or a map, needs a body.
                Kind::Message(inner) if !is_leaf(&inner) => {
                    if !field.is_list() && !field.is_map() && depth < QUERY_DEPTH_MAX {
                        let prefix = format!("{name}.");
                        self.query(&inner, &prefix, left_out, depth + 1, parameters);
                    }
                }
                _ => {
                    let schema = self.field(&field);
                    let description = self.comments.at(&of.parent_file(), field.path());
                    parameters.push(json!({
                        "name": name, "in": "query", "description": description,
                        "schema": schema,
                    }));
                }
            }
        }
    }

    /// A message, by its name; it is described once.
    fn message(&mut self, of: &MessageDescriptor) -> Json {
        let name = of.name();
        if !self.schemas.contains_key(name) {
            // Before its fields are: a message may hold others of its kind.
            self.schemas.insert(name.to_owned(), json!({}));
            let schema = self.object(of, &[]);
            self.schemas.insert(name.to_owned(), schema);
        }
        named(name)
    }

    fn object(&mut self, of: &MessageDescriptor, without: &[&str]) -> Json {
        let mut properties = Map::new();
        for field in of.fields().filter(|it| !without.contains(&it.name())) {
            let mut schema = self.field(&field);
            let comment = self.comments.at(&of.parent_file(), field.path());
            if let Some(schema) = schema.as_object_mut()
                && !comment.is_empty()
            {
                // Beside a reference a description is allowed since 3.1.
                schema.insert("description".into(), comment.into());
            }
            properties.insert(field.json_name().into(), schema);
        }
        json!({
            "type": "object",
            "description": self.comments.at(&of.parent_file(), of.path()),
            "properties": properties,
            "additionalProperties": false,
        })
    }

    fn field(&mut self, field: &FieldDescriptor) -> Json {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                return json!({ "type": "object" });
            };
            let value = self.value(&entry.map_entry_value_field());
            return json!({ "type": "object", "additionalProperties": value });
        }
        let value = self.value(field);
        match field.is_list() {
            true => json!({ "type": "array", "items": value }),
            false => value,
        }
    }

    /// One value of a field.
    fn value(&mut self, field: &FieldDescriptor) -> Json {
        match field.kind() {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                let bound = bounds::of_number(field.parent_message().name(), field.name());
                let (min, max) = bound.unwrap_or((i32::MIN, i32::MAX));
                json!({ "type": "integer", "format": "int32", "minimum": min, "maximum": max })
            }
            Kind::Uint32 | Kind::Fixed32 => json!({
                "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX,
            }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({
                "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,18}$",
            }),
            Kind::Uint64 | Kind::Fixed64 => json!({
                "type": "string", "format": "uint64", "pattern": "^[0-9]{1,19}$",
            }),
            Kind::Double | Kind::Float => json!({ "type": "number" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Enum(of) => self.choice(&of),
            Kind::String => bounds::of_field(field.parent_message().name(), field.name())
                .map_or_else(|| json!({ "type": "string" }), bound_schema),
            Kind::Message(of) => match of.full_name() {
                "google.protobuf.Duration" => json!({
                    "type": "string", "pattern": "^-?[0-9]{1,9}(\\.[0-9]{1,9})?s$",
                }),
                "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
                "google.protobuf.FieldMask" => json!({ "type": "string" }),
                _ => self.message(&of),
            },
        }
    }

    fn choice(&mut self, of: &EnumDescriptor) -> Json {
        let values: Vec<String> = of.values().map(|it| it.name().to_owned()).collect();
        let description = self.comments.at(&of.parent_file(), of.path());
        let schema = json!({ "type": "string", "description": description, "enum": values });
        self.schemas.insert(of.name().to_owned(), schema);
        named(of.name())
    }
}

fn bound_schema(bound: Bound) -> Json {
    let Bound { min, max, pattern } = bound;
    let mut schema = json!({ "type": "string", "minLength": min, "maxLength": max });
    if let Some(pattern) = pattern {
        schema["pattern"] = pattern.into();
    }
    schema
}

fn is_leaf(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

/// The fields that stand in a path.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/');
    parts.filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'))
}
