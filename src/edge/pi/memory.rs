//! Memory, as the source systems' clients ask for it. `sessionKey` names whose; without it, the primary session's.

use super::{Answered, Call, Refused, millis, missing, ok};
use crate::proto::{
    ForgetRequest, ForgetResponse, GetMemoryStatusRequest, GetMemoryStatusResponse,
    ListCoreMemoriesRequest, ListCoreMemoriesResponse, MemoryBucket, MemoryItem, MemoryKind,
    MemorySource, RebuildMemoryRequest, RebuildMemoryResponse, RememberRequest, RememberResponse,
    Role, SearchMemoryRequest, SearchMemoryResponse, memory_hit::Found,
};
use serde_json::{Map, Value as Json, json};

/// Results of a search that names no number.
const RESULTS_DEFAULT: i64 = 4;

/// `GET /memory/status`.
pub(super) async fn status(call: Call) -> Answered {
    let session_key = call.parameter("sessionKey").unwrap_or_default();
    let request = GetMemoryStatusRequest {
        session_key: session_key.clone(),
        ..GetMemoryStatusRequest::default()
    };
    let status: GetMemoryStatusResponse = call
        .caller
        .ask("/quarterdeck.v1.MemoryService/GetMemoryStatus", &request)
        .await?;
    let written = status.last_write_time.as_ref().map(|it| millis(Some(it)));
    ok(&json!({ "memory": {
        "enabled": true, "ready": true,
        "identity": { "key": session_key, "scope": "unknown" },
        // Where a server keeps its files is nobody's who calls it.
        "storagePath": null,
        "coreCount": status.core_count, "archivalCount": status.archival_count,
        "episodeCount": status.episode_count, "lastMemoryWriteAt": written,
        "lastEpisodeAt": null, "legacyImportComplete": true,
    } }))
}

/// `GET /memory/core`.
pub(super) async fn core(call: Call) -> Answered {
    let request = ListCoreMemoriesRequest {
        session_key: call.parameter("sessionKey").unwrap_or_default(),
        ..ListCoreMemoriesRequest::default()
    };
    let listed: ListCoreMemoriesResponse = call
        .caller
        .ask("/quarterdeck.v1.MemoryService/ListCoreMemories", &request)
        .await?;
    let memories: Vec<Json> = listed.memories.iter().map(record).collect();
    ok(&json!({ "memories": memories }))
}

/// `POST /memory/search`.
pub(super) async fn search(mut call: Call) -> Answered {
    let body = call.object().await?;
    let query = said(&body, "query").split_whitespace();
    let query = query.collect::<Vec<_>>().join(" ");
    let limit = match body.get("limit") {
        None | Some(Json::Null) => RESULTS_DEFAULT,
        Some(limit) => match limit.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
            Some(limit) => (limit.floor() as i64).max(1),
            None => return Err(missing("Limit must be a number")),
        },
    };
    let request = SearchMemoryRequest {
        session_key: said(&body, "sessionKey").into(),
        query: query.clone(),
        limit: i32::try_from(limit).unwrap_or(i32::MAX),
        ..SearchMemoryRequest::default()
    };
    let found: SearchMemoryResponse = call
        .caller
        .ask("/quarterdeck.v1.MemoryService/SearchMemory", &request)
        .await?;
    let results = found.hits.into_iter().filter_map(|hit| {
        Some(match hit.found? {
            Found::Memory(item) => json!({
                "id": item.id, "sourceType": "memory", "score": hit.score,
                "kind": kind(item.kind()), "bucket": bucket(item.bucket()), "key": item.key,
                "content": item.content, "timestamp": millis(item.update_time.as_ref()),
                "source": source(item.source()),
            }),
            Found::Episode(episode) => json!({
                "id": episode.item_id, "sourceType": "episode", "score": hit.score,
                "content": hit.snippet, "timestamp": millis(episode.create_time.as_ref()),
                "role": match episode.role() {
                    Role::User => "user",
                    _ => "assistant",
                },
            }),
        })
    });
    let results: Vec<Json> = results.collect();
    ok(&json!({ "query": query, "results": results }))
}

/// `POST /memory/remember`.
pub(super) async fn remember(mut call: Call) -> Answered {
    let body = call.object().await?;
    let content = said(&body, "content");
    if content.trim().is_empty() {
        return Err(missing("Missing content"));
    }
    let request = RememberRequest {
        session_key: said(&body, "sessionKey").into(),
        bucket: named_bucket(said(&body, "bucket"))?.into(),
        kind: named_kind(said(&body, "kind"))?.into(),
        key: said(&body, "key").into(),
        content: content.into(),
        ..RememberRequest::default()
    };
    let remembered: RememberResponse = call
        .caller
        .ask("/quarterdeck.v1.MemoryService/Remember", &request)
        .await?;
    let memory = remembered.memory.as_ref().map(record);
    ok(&json!({ "ok": true, "memory": memory }))
}

/// `POST /memory/forget`: the id counts before the key.
pub(super) async fn forget(mut call: Call) -> Answered {
    let body = call.object().await?;
    let id = match body.get("id") {
        Some(Json::String(id)) => id.clone(),
        Some(Json::Number(id)) => id.to_string(),
        _ => String::new(),
    };
    let key = match id.is_empty() {
        true => said(&body, "key"),
        false => "",
    };
    if id.is_empty() && key.is_empty() {
        return Err(missing("Missing id or key"));
    }
    let request = ForgetRequest {
        session_key: match id.is_empty() {
            true => said(&body, "sessionKey").into(),
            false => String::new(),
        },
        id,
        key: key.into(),
        ..ForgetRequest::default()
    };
    let forgotten: ForgetResponse = call
        .caller
        .ask("/quarterdeck.v1.MemoryService/Forget", &request)
        .await?;
    ok(&json!({ "ok": true, "forgotten": forgotten.forgotten > 0 }))
}

/// `POST /memory/rebuild`: begins it; the numbers are what it goes over.
pub(super) async fn rebuild(mut call: Call) -> Answered {
    call.object().await?;
    let rebuilt: RebuildMemoryResponse = call
        .caller
        .ask(
            "/quarterdeck.v1.MemoryService/RebuildMemory",
            &RebuildMemoryRequest {},
        )
        .await?;
    let rebuild = rebuilt.rebuild.unwrap_or_default();
    ok(&json!({
        "ok": true, "memoryRows": rebuild.items_total, "episodeRows": rebuild.episodes_total,
    }))
}

fn said<'b>(body: &'b Map<String, Json>, name: &str) -> &'b str {
    body.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn record(item: &MemoryItem) -> Json {
    let used = item.last_used_time.as_ref().map(|it| millis(Some(it)));
    json!({
        "id": item.id, "bucket": bucket(item.bucket()), "kind": kind(item.kind()),
        "key": item.key, "content": item.content, "source": source(item.source()),
        "createdAt": millis(item.create_time.as_ref()),
        "updatedAt": millis(item.update_time.as_ref()), "lastAccessedAt": used,
    })
}

fn bucket(bucket: MemoryBucket) -> &'static str {
    match bucket {
        MemoryBucket::Core => "core",
        MemoryBucket::Archival | MemoryBucket::Unspecified => "archival",
    }
}

fn kind(kind: MemoryKind) -> &'static str {
    match kind {
        MemoryKind::Profile => "profile",
        MemoryKind::Preference => "preference",
        MemoryKind::Relationship => "relationship",
        MemoryKind::Fact | MemoryKind::Unspecified => "fact",
        MemoryKind::Secret => "secret",
    }
}

fn source(source: MemorySource) -> &'static str {
    match source {
        MemorySource::Manual | MemorySource::Unspecified => "manual",
        MemorySource::Auto => "auto",
        MemorySource::Import => "legacy-import",
    }
}

/// A word that is none of theirs is refused: they passed it over, and stored something else.
fn named_bucket(name: &str) -> Result<MemoryBucket, Refused> {
    let all = [MemoryBucket::Core, MemoryBucket::Archival];
    match name {
        "" => Ok(MemoryBucket::Unspecified),
        name => {
            let found = all.into_iter().find(|it| bucket(*it) == name);
            found.ok_or_else(|| missing("Bucket must be core or archival"))
        }
    }
}

fn named_kind(name: &str) -> Result<MemoryKind, Refused> {
    let all = [
        MemoryKind::Profile,
        MemoryKind::Preference,
        MemoryKind::Relationship,
        MemoryKind::Fact,
        MemoryKind::Secret,
    ];
    match name {
        "" => Ok(MemoryKind::Unspecified),
        name => {
            let found = all.into_iter().find(|it| kind(*it) == name);
            found.ok_or_else(|| {
                missing("Kind must be profile, preference, relationship, fact or secret")
            })
        }
    }
}
