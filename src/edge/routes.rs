//! What each path means: the rows of the table of methods, with the messages that they speak of.

use crate::{
    grpc::methods::{BodyOf, METHODS, Method, Route},
    proto::DESCRIPTORS,
};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use std::{collections::HashMap, sync::LazyLock};

/// A method that the door knows.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Its row.
    pub(super) method: &'static Method,
    /// What is asked.
    pub(super) input: MessageDescriptor,
    /// What is answered, once or again and again.
    pub(super) output: MessageDescriptor,
    /// Where the request's `request_id` is, in dotted names; `None` where it has none.
    pub(super) request_id: Option<String>,
    /// True where the request takes a cursor of one session's log.
    pub(super) resumes: bool,
}

/// The contract. Decoded at the first call that needs it: a start need not wait for that.
pub(super) static CONTRACT: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the build wrote it"));

/// Every method of the contract, by the path of its calls.
static ENDPOINTS: LazyLock<HashMap<&'static str, Endpoint>> = LazyLock::new(endpoints);

/// The method of a path; `None` where the contract has none.
pub(super) fn endpoint(path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.get(path)
}

fn endpoints() -> HashMap<&'static str, Endpoint> {
    let mut all = HashMap::new();
    for row in &METHODS {
        let Some((service, name)) = row.full_name().split_once('/') else {
            continue;
        };
        let service = CONTRACT.get_service_by_name(service);
        let method = service.and_then(|it| it.methods().find(|one| one.name() == name));
        if let Some(method) = method {
            all.insert(
                row.path,
                Endpoint::new(row, method.input(), method.output()),
            );
        }
    }
    all
}

// === impl Endpoint ===

impl Endpoint {
    fn new(method: &'static Method, input: MessageDescriptor, output: MessageDescriptor) -> Self {
        let has = |message: &MessageDescriptor, name| message.get_field_by_name(name).is_some();
        let inner = method.route.and_then(|route| match route.body {
            BodyOf::Field(name) => Some(name),
            BodyOf::Nothing | BodyOf::All => None,
        });
        let request_id = match inner.and_then(|name| Some((name, message_at(&input, name)?))) {
            _ if has(&input, "request_id") => Some("request_id".to_owned()),
            Some((name, message)) if has(&message, "request_id") => {
                Some(format!("{name}.request_id"))
            }
            Some(_) | None => None,
        };
        let cursor = message_at(&input, "cursor");
        Self {
            method,
            resumes: cursor.is_some_and(|it| it.full_name() == "quarterdeck.v1.Cursor"),
            request_id,
            input,
            output,
        }
    }

    /// Where REST finds it.
    pub(super) fn route(&self) -> Option<Route> {
        self.method.route
    }
}

/// The message that a field holds.
pub(super) fn message_at(message: &MessageDescriptor, field: &str) -> Option<MessageDescriptor> {
    match message.get_field_by_name(field)?.kind() {
        Kind::Message(inner) => Some(inner),
        _ => None,
    }
}
