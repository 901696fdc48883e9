//! `MemoryService`: each call is parsed, handed to the memory room, and answered.

use super::{facts, identity, observe::CallFacts, status::status};
use crate::{
    clock,
    domain::{
        access::{Identity, Scope},
        ids::{SessionKey, Time},
        memory::QUERY_MAX_BYTES,
        refusal::Refusal,
    },
    memory::{Actor, Forget, ItemsFilter, Memory, Remember, Search, Target},
    proto::{self, memory_service_server::MemoryService},
    store::RequestKey,
    wire::{
        memory as wire,
        page::PageTokens,
        parse::{self, Fields},
    },
};
use std::sync::Arc;
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub struct MemoryCalls {
    /// The room.
    pub memory: Arc<Memory>,
    /// Of lists.
    pub pages: Arc<PageTokens>,
}

type Answer<T> = Result<Response<T>, Status>;

/// Gives a handler's result to tonic.
fn answer<T>(result: Result<T, Refusal>) -> Answer<T> {
    result
        .map(Response::new)
        .map_err(|refusal| status(&refusal))
}

/// The call reads the memory of a session, where it names one; whose that is, the room alone knows.
fn reads_of_session<R>(request: &Request<R>, session_key: &str) {
    if !session_key.is_empty() && SessionKey::parse(session_key).is_ok() {
        facts(request).reads_of_another(session_key);
    }
}

/// The call reads what was said in every session that the caller may read.
fn reads_of_all<R>(request: &Request<R>, session_key: &str) {
    if session_key.is_empty() {
        facts(request).reads_of_another("");
    } else {
        reads_of_session(request, session_key);
    }
}

fn actor(identity: &Arc<Identity>) -> Actor {
    Actor::Caller(Arc::clone(identity))
}

/// The `request_id` of a call, with the hash of the rest.
fn request_key<R: prost::Message>(
    method: &'static str,
    request_id: String,
    request: &R,
) -> Option<RequestKey> {
    (!request_id.is_empty()).then(|| RequestKey {
        request_id,
        method,
        hash: parse::request_hash(request),
    })
}

// === impl MemoryCalls ===

impl MemoryCalls {
    async fn status(
        &self,
        identity: Arc<Identity>,
        request: proto::GetMemoryStatusRequest,
    ) -> Result<proto::GetMemoryStatusResponse, Refusal> {
        let proto::GetMemoryStatusRequest {
            namespace,
            session_key,
        } = request;
        let mut fields = Fields::default();
        let place = fields.place("", &namespace, &session_key);
        fields.check()?;
        let status = self
            .memory
            .status(&actor(&identity), place, clock::now())
            .await?;
        Ok(wire::status(status))
    }

    async fn core(
        &self,
        identity: Arc<Identity>,
        request: proto::ListCoreMemoriesRequest,
    ) -> Result<proto::ListCoreMemoriesResponse, Refusal> {
        let proto::ListCoreMemoriesRequest {
            namespace,
            session_key,
        } = request;
        let mut fields = Fields::default();
        let place = fields.place("", &namespace, &session_key);
        fields.check()?;
        let core = self
            .memory
            .core(&actor(&identity), place, clock::now())
            .await?;
        Ok(proto::ListCoreMemoriesResponse {
            memories: core.into_iter().map(wire::item).collect(),
        })
    }

    async fn search(
        &self,
        identity: Arc<Identity>,
        request: proto::SearchMemoryRequest,
    ) -> Result<proto::SearchMemoryResponse, Refusal> {
        let proto::SearchMemoryRequest {
            namespace,
            session_key,
            query,
            limit,
            mode,
            tags,
            kinds,
            episodes,
        } = request;
        let mut fields = Fields::default();
        let place = fields.place("", &namespace, &session_key);
        if query.len() > QUERY_MAX_BYTES {
            fields.wrong("query", format!("must be at most {QUERY_MAX_BYTES} bytes"));
        }
        fields.tags("tags", &tags);
        let search = Search {
            place,
            query,
            mode: fields.search_mode(mode),
            tags,
            kinds: fields.memory_kinds(&kinds),
            episodes: episodes.unwrap_or(true),
            limit: fields.search_limit(limit),
            now: clock::now(),
        };
        fields.check()?;
        let hits = self.memory.search(&actor(&identity), search).await?;
        Ok(proto::SearchMemoryResponse {
            hits: hits.into_iter().map(wire::hit).collect(),
        })
    }

    async fn remember_one(
        &self,
        identity: Arc<Identity>,
        mut request: proto::RememberRequest,
    ) -> Result<proto::RememberResponse, Refusal> {
        let now = clock::now();
        let mut fields = Fields::default();
        fields.request_id(&request.request_id);
        let request_id = std::mem::take(&mut request.request_id);
        let key_of_request = request_key("Remember", request_id, &request);
        let proto::RememberRequest {
            namespace,
            session_key,
            bucket,
            kind,
            key,
            content,
            tags,
            request_id: _,
            expire_time,
        } = request;
        let place = fields.place("", &namespace, &session_key);
        fields.memory_key("key", &key);
        fields.content("content", &content);
        fields.tags("tags", &tags);
        let remember = Remember {
            by_agent: false,
            actor: actor(&identity),
            place,
            bucket: fields.bucket("bucket", bucket),
            kind: fields.kind("kind", kind),
            key,
            content,
            tags: (!tags.is_empty()).then_some(tags),
            expire_time: fields
                .expire_time("expire_time", expire_time, now)
                .map(Some),
            request: key_of_request,
            now,
        };
        fields.check()?;
        let remembered = self.memory.remember(remember).await?;
        Ok(proto::RememberResponse {
            memory: remembered.item.map(wire::item),
            outcome: wire::outcome(remembered.outcome).into(),
            replayed: remembered.replayed,
        })
    }

    async fn forget_some(
        &self,
        identity: Arc<Identity>,
        mut request: proto::ForgetRequest,
    ) -> Result<proto::ForgetResponse, Refusal> {
        let mut fields = Fields::default();
        fields.request_id(&request.request_id);
        let request_id = std::mem::take(&mut request.request_id);
        let key_of_request = request_key("Forget", request_id, &request);
        let proto::ForgetRequest {
            namespace,
            session_key,
            id,
            key,
            hard,
            request_id: _,
        } = request;
        let place = fields.place("", &namespace, &session_key);
        fields.memory_key("key", &key);
        let target = if !id.is_empty() {
            fields.memory_id(&id).map(Target::Id)
        } else if key.trim().is_empty() {
            fields.wrong("id", "must be given, or key must be");
            None
        } else {
            Some(Target::Key(place, key))
        };
        let forget = Forget {
            actor: actor(&identity),
            target: fields.finish(target)?,
            hard,
            request: key_of_request,
            now: clock::now(),
        };
        let forgotten = self.memory.forget(forget).await?;
        Ok(proto::ForgetResponse {
            forgotten: forgotten.count,
            replayed: forgotten.replayed,
        })
    }

    async fn rebuild(
        &self,
        identity: Arc<Identity>,
        request: proto::RebuildMemoryRequest,
    ) -> Result<proto::RebuildMemoryResponse, Refusal> {
        let proto::RebuildMemoryRequest {} = request;
        let rebuild = self.memory.rebuild(&identity, clock::now()).await?;
        Ok(proto::RebuildMemoryResponse {
            rebuild: Some(wire::rebuild(rebuild)),
        })
    }

    async fn list(
        &self,
        identity: Arc<Identity>,
        request: proto::ListMemoriesRequest,
    ) -> Result<proto::ListMemoriesResponse, Refusal> {
        let proto::ListMemoriesRequest {
            namespace,
            session_key,
            page_size,
            page_token,
            bucket,
            kinds,
            tags,
        } = request;
        let mut fields = Fields::default();
        let place = fields.place("", &namespace, &session_key);
        let query = format!("memories {namespace}/{session_key}/{bucket}/{kinds:?}/{tags:?}");
        let list = self.pages.list(&identity, &query);
        let after = list.position(&mut fields, &page_token);
        fields.tags("tags", &tags);
        let filter = ItemsFilter {
            place,
            bucket: fields.bucket("bucket", bucket),
            kinds: fields.memory_kinds(&kinds),
            tags,
            after: after.map(|[time, row]| (Time(time), row)),
            limit: fields.page_size(page_size),
        };
        fields.check()?;
        let page = self
            .memory
            .list(&actor(&identity), filter, clock::now())
            .await?;
        Ok(proto::ListMemoriesResponse {
            memories: page.items.into_iter().map(wire::item).collect(),
            next_page_token: list.token(page.next.map(|(time, row)| [time.0, row])),
        })
    }

    async fn get(
        &self,
        identity: Arc<Identity>,
        facts: &CallFacts,
        request: proto::GetMemoryRequest,
    ) -> Result<proto::GetMemoryResponse, Refusal> {
        let proto::GetMemoryRequest { id, reveal } = request;
        let mut fields = Fields::default();
        let id = fields.memory_id(&id);
        let id = fields.finish(id)?;
        if reveal {
            facts.reveals(id);
        }
        let found = self
            .memory
            .get(&actor(&identity), id, reveal, clock::now())
            .await?;
        Ok(proto::GetMemoryResponse {
            memory: Some(wire::item(found.item)),
            history: found.history.into_iter().map(wire::version).collect(),
        })
    }

    async fn import(
        &self,
        identity: Arc<Identity>,
        mut request: proto::ImportMemoriesRequest,
    ) -> Result<proto::ImportMemoriesResponse, Refusal> {
        // What is imported says itself who wrote it, and when.
        identity.require(Scope::AdminConfig)?;
        let mut fields = Fields::default();
        fields.request_id(&request.request_id);
        let request_id = std::mem::take(&mut request.request_id);
        let key_of_request = request_key("ImportMemories", request_id, &request);
        let proto::ImportMemoriesRequest {
            memories,
            request_id: _,
        } = request;
        let items = fields.imports(memories);
        fields.check()?;
        let imported = self
            .memory
            .import(&identity, items, key_of_request, clock::now())
            .await?;
        Ok(proto::ImportMemoriesResponse {
            created: imported.created,
            touched: imported.touched,
            superseded: imported.superseded,
            replayed: imported.replayed,
        })
    }
}

#[async_trait]
impl MemoryService for MemoryCalls {
    async fn get_memory_status(
        &self,
        request: Request<proto::GetMemoryStatusRequest>,
    ) -> Answer<proto::GetMemoryStatusResponse> {
        answer(self.status(identity(&request), request.into_inner()).await)
    }

    async fn list_core_memories(
        &self,
        request: Request<proto::ListCoreMemoriesRequest>,
    ) -> Answer<proto::ListCoreMemoriesResponse> {
        reads_of_session(&request, &request.get_ref().session_key);
        answer(self.core(identity(&request), request.into_inner()).await)
    }

    async fn search_memory(
        &self,
        request: Request<proto::SearchMemoryRequest>,
    ) -> Answer<proto::SearchMemoryResponse> {
        let search = request.get_ref();
        if search.episodes.unwrap_or(true) {
            reads_of_all(&request, &search.session_key);
        } else {
            reads_of_session(&request, &search.session_key);
        }
        answer(self.search(identity(&request), request.into_inner()).await)
    }

    async fn remember(
        &self,
        request: Request<proto::RememberRequest>,
    ) -> Answer<proto::RememberResponse> {
        answer(
            self.remember_one(identity(&request), request.into_inner())
                .await,
        )
    }

    async fn forget(
        &self,
        request: Request<proto::ForgetRequest>,
    ) -> Answer<proto::ForgetResponse> {
        answer(
            self.forget_some(identity(&request), request.into_inner())
                .await,
        )
    }

    async fn rebuild_memory(
        &self,
        request: Request<proto::RebuildMemoryRequest>,
    ) -> Answer<proto::RebuildMemoryResponse> {
        answer(self.rebuild(identity(&request), request.into_inner()).await)
    }

    async fn list_memories(
        &self,
        request: Request<proto::ListMemoriesRequest>,
    ) -> Answer<proto::ListMemoriesResponse> {
        reads_of_session(&request, &request.get_ref().session_key);
        answer(self.list(identity(&request), request.into_inner()).await)
    }

    async fn get_memory(
        &self,
        request: Request<proto::GetMemoryRequest>,
    ) -> Answer<proto::GetMemoryResponse> {
        let facts = facts(&request);
        let found = self.get(identity(&request), &facts, request.into_inner());
        answer(found.await)
    }

    async fn import_memories(
        &self,
        request: Request<proto::ImportMemoriesRequest>,
    ) -> Answer<proto::ImportMemoriesResponse> {
        answer(self.import(identity(&request), request.into_inner()).await)
    }
}
