//! `memory`: what is remembered, found, forgotten, brought in and taken out.

use super::{
    arguments::ClientArgs,
    failure::{DATA, Failure, USAGE},
    output::{self, date, table},
};
use clap::{Args, Subcommand, ValueEnum};
use quarterdeck::{
    client::Client,
    proto::{self, MemoryItem, MemoryKind, memory_hit::Found},
};
use std::{
    io::{self, BufRead, Read},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};
use tonic::Status;

/// Memories that one call asks for, or brings.
const PAGE: usize = 500;
/// Bytes of memories that one call brings.
const IMPORT_CALL_MAX_BYTES: usize = 768 * 1024;
/// Longest content that is read from standard input, in bytes; the server's own bound is lower.
const INPUT_MAX_BYTES: u64 = 1024 * 1024;
/// Characters of a content in a table.
const SHOWN_CHARS: usize = 80;

#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    #[command(subcommand)]
    command: MemoryVerb,
}

#[derive(Debug, Subcommand)]
enum MemoryVerb {
    /// Look for memories, and for what was said in conversations.
    ///
    /// Words; "words that stand together" in quotes; beginning*; tag:NAME. Secrets are never found.
    Search(SearchArgs),
    /// Write a memory. With --name it takes the place of the one of that key.
    Remember(Box<RememberArgs>),
    /// List memories, newest change first.
    List(ListArgs),
    /// Show one memory and its past.
    Get(GetArgs),
    /// Hide a memory, or erase it with --hard.
    Forget(ForgetArgs),
    /// Count memories, and tell the health of index and embeddings.
    Status(ScopedArgs),
    /// Derive the whole server's index anew (the operator's, with admin.config); `memory status` shows how far it is.
    Rebuild(ClientArgs),
    /// Write memories from JSON Lines, as `memory export` prints them. Secrets have to be remembered anew.
    Import(ImportArgs),
    /// Print a scope's memories as JSON Lines, without secrets.
    Export(ScopedArgs),
}

/// Which scope.
#[derive(Clone, Debug, Args)]
struct ScopeArgs {
    /// A namespace of the tenant; without it and --session the tenant's own scope
    #[arg(long, default_value = "", hide_default_value = true)]
    namespace: String,
    /// The session's own scope
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "KEY",
        conflicts_with = "namespace"
    )]
    session: String,
}

#[derive(Debug, Args)]
struct ScopedArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct SearchArgs {
    /// What to look for
    #[arg(required = true)]
    query: Vec<String>,
    /// Results at most
    #[arg(long, default_value_t = 10)]
    limit: i32,
    /// By words, by meaning, or both
    #[arg(long, value_enum, default_value = "lexical")]
    mode: Mode,
    /// Tag that must be there; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Leave conversations out
    #[arg(long)]
    no_episodes: bool,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct RememberArgs {
    /// The memory; `-` reads it from standard input, which keeps a secret out of the shell's history
    content: String,
    /// Key that names it inside its scope
    #[arg(
        long = "name",
        default_value = "",
        hide_default_value = true,
        value_name = "KEY"
    )]
    name: String,
    /// What it is about; a new memory is a fact
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// Whether it is always given to the agent
    #[arg(long, value_enum)]
    bucket: Option<BucketName>,
    /// Tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The memory ends by itself after this long, such as 30days [default: never, or as before]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only of this kind
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// Only with this tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct GetArgs {
    /// The memory
    id: String,
    /// Show a secret's content
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct ForgetArgs {
    /// The memory
    #[arg(required_unless_present = "name", conflicts_with = "name")]
    id: Option<String>,
    /// The memory of this key
    #[arg(long = "name", value_name = "KEY")]
    name: Option<String>,
    /// Erase it with its past; without it the memory is hidden, and erased after 30 days
    #[arg(long)]
    hard: bool,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// JSON Lines; standard input where it is left out
    file: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Lexical,
    Vector,
    Hybrid,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindName {
    Profile,
    Preference,
    Relationship,
    Fact,
    Secret,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BucketName {
    Core,
    Archival,
}

/// Runs one of them.
pub(crate) async fn memory(arguments: MemoryArgs) -> Result<ExitCode, Failure> {
    match arguments.command {
        MemoryVerb::Search(arguments) => search(arguments).await?,
        MemoryVerb::Remember(arguments) => remember(*arguments).await?,
        MemoryVerb::List(arguments) => list(arguments).await?,
        MemoryVerb::Get(arguments) => get(arguments).await?,
        MemoryVerb::Forget(arguments) => forget(arguments).await?,
        MemoryVerb::Status(arguments) => status(arguments).await?,
        MemoryVerb::Rebuild(arguments) => rebuild(arguments).await?,
        MemoryVerb::Import(arguments) => import(arguments).await?,
        MemoryVerb::Export(arguments) => export(arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn search(arguments: SearchArgs) -> Result<(), Failure> {
    let SearchArgs {
        query,
        limit,
        mode,
        tags,
        no_episodes,
        scope,
        client,
    } = arguments;
    let request = proto::SearchMemoryRequest {
        namespace: scope.namespace,
        session_key: scope.session,
        query: query.join(" "),
        limit,
        mode: match mode {
            Mode::Lexical => proto::SearchMode::Lexical,
            Mode::Vector => proto::SearchMode::Vector,
            Mode::Hybrid => proto::SearchMode::Hybrid,
        }
        .into(),
        tags,
        kinds: Vec::new(),
        episodes: Some(!no_episodes),
    };
    let answer = client.client()?.search_memory(request).await;
    let mut rows = Vec::new();
    for hit in answer.map_err(|status| failed(&client, &status))?.hits {
        if client.json {
            output::json("MemoryHit", &hit)?;
            continue;
        }
        let (what, id) = match hit.found {
            Some(Found::Memory(item)) => (kind_name(item.kind()).to_owned(), item.id),
            Some(Found::Episode(episode)) => {
                (format!("said in {}", episode.session_key), episode.item_id)
            }
            None => ("?".to_owned(), String::new()),
        };
        rows.push([
            format!("{:.2}", hit.score),
            what,
            id,
            hit.snippet.split_whitespace().collect::<Vec<_>>().join(" "),
        ]);
    }
    if !client.json {
        output::list(["SCORE", "KIND", "ID", "TEXT"], rows, "nothing was found")?;
    }
    Ok(())
}

async fn remember(arguments: RememberArgs) -> Result<(), Failure> {
    let RememberArgs {
        content,
        name,
        kind,
        bucket,
        tags,
        ttl,
        scope,
        client,
    } = arguments;
    let content = if content == "-" {
        let mut text = String::new();
        io::stdin()
            .lock()
            .take(INPUT_MAX_BYTES)
            .read_to_string(&mut text)?;
        text
    } else {
        content
    };
    let expire_time = match ttl {
        Some(ttl) => Some(
            SystemTime::now()
                .checked_add(ttl)
                .ok_or_else(|| Failure::new(USAGE, "--ttl is too long"))?
                .into(),
        ),
        None => None,
    };
    let request = proto::RememberRequest {
        namespace: scope.namespace,
        session_key: scope.session,
        bucket: match bucket {
            None => proto::MemoryBucket::Unspecified,
            Some(BucketName::Core) => proto::MemoryBucket::Core,
            Some(BucketName::Archival) => proto::MemoryBucket::Archival,
        }
        .into(),
        kind: kind_of(kind).into(),
        key: name,
        content,
        tags,
        request_id: String::new(),
        expire_time,
    };
    let answer = client.client()?.remember(request).await;
    let answer = answer.map_err(|status| failed(&client, &status))?;
    if client.json {
        return output::json("RememberResponse", &answer);
    }
    let done = match answer.outcome() {
        proto::RememberOutcome::Created | proto::RememberOutcome::Unspecified => "remembered",
        proto::RememberOutcome::Touched => "known already",
        proto::RememberOutcome::Superseded => "changed",
    };
    let id = answer.memory.map(|item| item.id).unwrap_or_default();
    output::line(&format!("{done} {id}"))
}

async fn list(arguments: ListArgs) -> Result<(), Failure> {
    let ListArgs {
        kind,
        tags,
        scope,
        client,
    } = arguments;
    let mut rows = Vec::new();
    let request = proto::ListMemoriesRequest {
        kinds: kind
            .map(|kind| kind_of(Some(kind)).into())
            .into_iter()
            .collect(),
        tags,
        ..page_of(scope)
    };
    each(&client, request, |item| {
        if client.json {
            return output::json("MemoryItem", &item);
        }
        let kind = item.kind();
        rows.push([
            item.id,
            kind_name(kind).to_owned(),
            item.key,
            if kind == MemoryKind::Secret {
                "(secret)".to_owned()
            } else {
                shortened(&item.content)
            },
            item.tags.join(", "),
            end(item.expire_time),
        ]);
        Ok(())
    })
    .await?;
    if !client.json {
        let names = ["ID", "KIND", "KEY", "CONTENT", "TAGS", "END"];
        output::list(names, rows, "no memories")?;
    }
    Ok(())
}

async fn get(arguments: GetArgs) -> Result<(), Failure> {
    let GetArgs { id, reveal, client } = arguments;
    let request = proto::GetMemoryRequest { id, reveal };
    let answer = client.client()?.get_memory(request).await;
    let answer = answer.map_err(|status| failed(&client, &status))?;
    if client.json {
        return output::json("GetMemoryResponse", &answer);
    }
    let item = answer.memory.unwrap_or_default();
    let kind = kind_name(item.kind()).to_owned();
    output::write(&table(&[
        ["id".into(), item.id],
        ["kind".into(), kind],
        ["key".into(), item.key],
        ["tags".into(), item.tags.join(", ")],
        ["version".into(), item.version.to_string()],
        ["until".into(), date(item.expire_time)],
    ]))?;
    output::line(&item.content)?;
    for version in answer.history {
        output::line(&format!(
            "before, version {}: {}",
            version.version,
            shortened(&version.content)
        ))?;
    }
    Ok(())
}

async fn forget(arguments: ForgetArgs) -> Result<(), Failure> {
    let ForgetArgs {
        id,
        name,
        hard,
        scope,
        client,
    } = arguments;
    let request = proto::ForgetRequest {
        namespace: scope.namespace,
        session_key: scope.session,
        id: id.unwrap_or_default(),
        key: name.unwrap_or_default(),
        hard,
        request_id: String::new(),
    };
    let answer = client.client()?.forget(request).await;
    let answer = answer.map_err(|status| failed(&client, &status))?;
    if client.json {
        return output::json("ForgetResponse", &answer);
    }
    output::line(&format!("forgot {}", answer.forgotten))
}

async fn status(arguments: ScopedArgs) -> Result<(), Failure> {
    let ScopedArgs { scope, client } = arguments;
    let request = proto::GetMemoryStatusRequest {
        namespace: scope.namespace,
        session_key: scope.session,
    };
    let answer = client.client()?.get_memory_status(request).await;
    let answer = answer.map_err(|status| failed(&client, &status))?;
    if client.json {
        return output::json("GetMemoryStatusResponse", &answer);
    }
    let mut rows = vec![
        ["core".to_owned(), answer.core_count.to_string()],
        ["archival".into(), answer.archival_count.to_string()],
        ["forgotten".into(), answer.forgotten_count.to_string()],
        ["bytes".into(), answer.content_bytes.to_string()],
        ["indexed".into(), answer.indexed_count.to_string()],
        [
            "messages to index".into(),
            answer.pending_episode_count.to_string(),
        ],
    ];
    if !answer.embedding_model.is_empty() {
        rows.push(["embedding model".into(), answer.embedding_model]);
        rows.push([
            "to embed".into(),
            answer.pending_embedding_count.to_string(),
        ]);
        rows.push([
            "of other models".into(),
            answer.mismatched_embedding_count.to_string(),
        ]);
    }
    if let Some(rebuild) = answer.rebuild {
        let state = if rebuild.end_time.is_some() {
            "done"
        } else {
            "running"
        };
        rows.push([
            "rebuild".into(),
            format!(
                "{state}: {} of {} memories, {} of {} messages",
                rebuild.items_done,
                rebuild.items_total,
                rebuild.episodes_done,
                rebuild.episodes_total
            ),
        ]);
    }
    output::write(&table(&rows))
}

async fn rebuild(client: ClientArgs) -> Result<(), Failure> {
    let answer = client
        .client()?
        .rebuild_memory(proto::RebuildMemoryRequest {})
        .await;
    let answer = answer.map_err(|status| failed(&client, &status))?;
    if client.json {
        return output::json("RebuildMemoryResponse", &answer);
    }
    output::line("started; `quarterdeck memory status` shows how far it is")
}

async fn export(arguments: ScopedArgs) -> Result<(), Failure> {
    let ScopedArgs { scope, client } = arguments;
    each(&client, page_of(scope), |item| {
        if item.kind() == MemoryKind::Secret {
            return Ok(());
        }
        output::json("MemoryItem", &item)
    })
    .await
}

async fn import(arguments: ImportArgs) -> Result<(), Failure> {
    let ImportArgs { file, client } = arguments;
    let lines: Box<dyn BufRead> = match file {
        Some(path) => Box::new(io::BufReader::new(std::fs::File::open(&path).map_err(
            |error| Failure::new(USAGE, format!("can't read {}: {error}", path.display())),
        )?)),
        None => Box::new(io::stdin().lock()),
    };
    let service = client.client()?;
    let mut done = proto::ImportMemoriesResponse::default();
    let (mut memories, mut bytes) = (Vec::new(), 0);
    for (number, line) in (1..).zip(lines.lines()) {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let item: MemoryItem = output::from_json("MemoryItem", &line)
            .map_err(|problem| Failure::new(DATA, format!("line {number}: {problem}")))?;
        let size = prost::Message::encoded_len(&item);
        if memories.len() == PAGE || bytes + size > IMPORT_CALL_MAX_BYTES {
            bring(&client, &service, &mut memories, &mut done).await?;
            bytes = 0;
        }
        bytes += size;
        memories.push(item);
    }
    if !memories.is_empty() {
        bring(&client, &service, &mut memories, &mut done).await?;
    }
    if client.json {
        return output::json("ImportMemoriesResponse", &done);
    }
    output::line(&format!(
        "{} new, {} changed, {} known already",
        done.created, done.superseded, done.touched
    ))
}

async fn bring(
    arguments: &ClientArgs,
    client: &Client,
    memories: &mut Vec<MemoryItem>,
    done: &mut proto::ImportMemoriesResponse,
) -> Result<(), Failure> {
    let request = proto::ImportMemoriesRequest {
        memories: std::mem::take(memories),
        request_id: String::new(),
    };
    let answer = client.import_memories(request).await;
    let answer = answer.map_err(|status| failed(arguments, &status))?;
    done.created += answer.created;
    done.touched += answer.touched;
    done.superseded += answer.superseded;
    Ok(())
}

fn page_of(scope: ScopeArgs) -> proto::ListMemoriesRequest {
    proto::ListMemoriesRequest {
        namespace: scope.namespace,
        session_key: scope.session,
        page_size: i32::try_from(PAGE).unwrap_or(i32::MAX),
        ..Default::default()
    }
}

/// Every memory of a list.
async fn each(
    arguments: &ClientArgs,
    request: proto::ListMemoriesRequest,
    mut show: impl FnMut(MemoryItem) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut memories = arguments.client()?.all_memories(request);
    while let Some(item) = memories.next().await {
        show(item.map_err(|status| failed(arguments, &status))?)?;
    }
    Ok(())
}

fn kind_of(kind: Option<KindName>) -> MemoryKind {
    match kind {
        None => MemoryKind::Unspecified,
        Some(KindName::Profile) => MemoryKind::Profile,
        Some(KindName::Preference) => MemoryKind::Preference,
        Some(KindName::Relationship) => MemoryKind::Relationship,
        Some(KindName::Fact) => MemoryKind::Fact,
        Some(KindName::Secret) => MemoryKind::Secret,
    }
}

fn kind_name(kind: MemoryKind) -> &'static str {
    match kind {
        MemoryKind::Unspecified => "?",
        MemoryKind::Profile => "profile",
        MemoryKind::Preference => "preference",
        MemoryKind::Relationship => "relationship",
        MemoryKind::Fact => "fact",
        MemoryKind::Secret => "secret",
    }
}

/// When a memory ends, where it does.
fn end(time: Option<prost_types::Timestamp>) -> String {
    time.map_or_else(String::new, |time| format!("until {}", date(Some(time))))
}

/// One line of a content.
fn shortened(content: &str) -> String {
    let line = content.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN_CHARS {
        line
    } else {
        line.chars().take(SHOWN_CHARS - 1).chain(['…']).collect()
    }
}

fn failed(arguments: &ClientArgs, status: &Status) -> Failure {
    Failure::call(&arguments.addr, status)
}
