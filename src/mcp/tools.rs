//! The tools: names, arguments, results. Their JSON schemas are made from these types; doc comments are what a model
//! reads.

use super::{Whom, lenient};
use crate::domain::memory::{
    Bucket, CONTENT_MAX_BYTES, Found, Hit, KEY_MAX_BYTES, Kind, QUERY_MAX_BYTES,
    SEARCH_LIMIT_DEFAULT, SearchMode, TAG_MAX_BYTES, TAGS_MAX,
};
use crate::domain::tool_policy::SUBMIT_RESULT;
use rmcp::{
    ErrorData,
    handler::server::tool::schema_for_type,
    model::{CallToolResult, ContentBlock, JsonObject, Tool, ToolAnnotations},
    schemars::JsonSchema,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Results that one search may ask for.
const LIMIT_MAX: usize = 50;

/// The name of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Search,
    Remember,
    Forget,
    Submit,
}

/// Arguments of `memory_search`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct SearchArguments {
    /// What to look for: words, "phrases in quotes", tag:NAME. Empty finds the newest.
    #[schemars(length(max = 8192))]
    #[serde(default)]
    pub(super) query: String,
    /// Results, at most; 4 where it is not given.
    #[schemars(range(min = 1, max = 50))]
    pub(super) limit: Option<usize>,
    /// By words, by meaning, or both. By meaning works only where the server has an embedding model.
    pub(super) mode: Option<ModeName>,
    /// Whether messages of earlier conversations are looked at too.
    #[serde(default)]
    pub(super) conversations: bool,
}

/// Arguments of `memory_remember`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct RememberArguments {
    /// What to remember, as a sentence that can be understood alone.
    #[schemars(length(min = 1, max = 32768))]
    pub(super) content: String,
    /// A short name. What was remembered under the same name before is replaced, and kept as history.
    #[schemars(length(max = 256))]
    #[serde(default)]
    pub(super) key: String,
    /// What it is about; a fact where it is not given. A secret is encrypted and never found by a search.
    pub(super) kind: Option<KindName>,
    /// Core memories are always shown to the agent, archival ones when they fit.
    pub(super) bucket: Option<BucketName>,
    /// Words to filter by.
    #[schemars(length(max = 32))]
    pub(super) tags: Option<Vec<String>>,
}

/// Arguments of `memory_forget`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct ForgetArguments {
    /// Id of the memory, as memory_search gave it. Either this or key.
    #[serde(default)]
    pub(super) id: String,
    /// Name that it was remembered under.
    #[schemars(length(max = 256))]
    #[serde(default)]
    pub(super) key: String,
    /// Erase it for good, its history too; without it the memory is only hidden.
    #[serde(default)]
    pub(super) hard: bool,
}

/// Arguments of `submit_result`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct SubmitArguments {
    /// The result, of the form that the user asked for.
    #[allow(
        dead_code,
        reason = "what may be left out of the arguments is read by hand"
    )]
    result: serde_json::Value,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "rmcp::schemars")]
pub(super) enum ModeName {
    Lexical,
    Vector,
    Hybrid,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "rmcp::schemars")]
pub(super) enum KindName {
    Profile,
    Preference,
    Relationship,
    Fact,
    Secret,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "rmcp::schemars")]
pub(super) enum BucketName {
    Core,
    Archival,
}

/// What `memory_search` found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct SearchResults {
    /// Best first.
    pub(super) results: Vec<SearchResult>,
}

/// One thing that was found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct SearchResult {
    /// A memory, or a message of a conversation.
    source: ResultSource,
    /// Id of the memory or the message.
    id: String,
    /// What a memory is about, or who said a message.
    kind: String,
    /// Name of a memory; may be empty.
    key: String,
    /// The memory, or a piece of the message.
    text: String,
    /// Tags of a memory.
    tags: Vec<String>,
    /// Grows with the fit, up to 1; compares inside one answer only.
    score: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "rmcp::schemars")]
enum ResultSource {
    Memory,
    Conversation,
}

/// What `memory_remember` did.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Kept {
    /// Id of the memory.
    pub(super) id: String,
    /// created, touched (it was known) or superseded (an older content was replaced).
    pub(super) outcome: String,
}

/// What `memory_forget` did.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Gone {
    /// Memories that were hidden or erased.
    pub(super) forgotten: i64,
}

// === impl Name ===

impl Name {
    const ALL: [Self; 4] = [Self::Search, Self::Remember, Self::Forget, Self::Submit];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Search => "memory_search",
            Self::Remember => "memory_remember",
            Self::Forget => "memory_forget",
            Self::Submit => SUBMIT_RESULT,
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    fn tool(self) -> Tool {
        let tool =
            |description: &'static str| Tool::new(self.as_str(), description, JsonObject::new());
        match self {
            Self::Search => tool(
                "Searches long-term memory: facts, preferences and people that were remembered in earlier conversations.",
            )
            .with_input_schema::<SearchArguments>()
            .with_output_schema::<SearchResults>()
            .with_annotations(ToolAnnotations::new().read_only(true).open_world(false)),
            Self::Remember => tool(
                "Remembers something for later conversations. Use a key for what may change, such as `city`.",
            )
            .with_input_schema::<RememberArguments>()
            .with_output_schema::<Kept>()
            .with_annotations(
                ToolAnnotations::new()
                    .read_only(false)
                    .destructive(false)
                    .idempotent(true)
                    .open_world(false),
            ),
            Self::Forget => tool("Forgets a memory by its id or its key.")
                .with_input_schema::<ForgetArguments>()
                .with_output_schema::<Gone>()
                .with_annotations(
                    ToolAnnotations::new()
                        .read_only(false)
                        .destructive(true)
                        .idempotent(true)
                        .open_world(false),
                ),
            Self::Submit => tool(
                "Gives the final result of the task, as JSON that meets the schema which the user named. Call it only where the \
                 user asked for that, once the work is done.",
            )
            .with_input_schema::<SubmitArguments>()
            .with_annotations(
                ToolAnnotations::new()
                    .read_only(false)
                    .destructive(false)
                    .idempotent(true)
                    .open_world(false),
            ),
        }
    }

    fn is_for(self, whom: Whom) -> bool {
        match (self, whom) {
            (Self::Search | Self::Remember | Self::Forget, _) => true,
            (Self::Submit, whom) => whom == Whom::Agents,
        }
    }
}

/// Every tool that somebody has.
pub(super) fn of(whom: Whom) -> Vec<Tool> {
    let theirs = Name::ALL.into_iter().filter(|name| name.is_for(whom));
    theirs.map(Name::tool).collect()
}

/// A call that did its work, with nothing to show.
pub(super) fn said(text: &str) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// Reads the arguments of a call; a wrong one is told to the model, which can mend it.
pub(super) fn arguments<T: DeserializeOwned + JsonSchema + 'static>(
    given: Option<JsonObject>,
) -> Result<T, CallToolResult> {
    let schema = schema_for_type::<T>();
    let given = lenient::arguments(&schema, given.unwrap_or_default());
    serde_json::from_value(serde_json::Value::Object(given))
        .map_err(|error| refused(&format!("wrong arguments: {error}")))
}

/// A call that did not do its work.
pub(super) fn refused(why: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(why)])
}

/// A result as text and as data.
pub(super) fn done<T: Serialize>(text: String, data: &T) -> Result<CallToolResult, ErrorData> {
    let data = serde_json::to_value(data)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let mut result = CallToolResult::structured(data);
    result.content = vec![ContentBlock::text(text)];
    Ok(result)
}

// === impl SearchArguments ===

impl SearchArguments {
    /// What is out of bounds.
    pub(super) fn problem(&self) -> Option<String> {
        if self.query.len() > QUERY_MAX_BYTES {
            return Some(format!("query has more than {QUERY_MAX_BYTES} bytes"));
        }
        match self.limit {
            Some(limit) if !(1..=LIMIT_MAX).contains(&limit) => {
                Some(format!("limit must be from 1 to {LIMIT_MAX}"))
            }
            Some(_) | None => None,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(SEARCH_LIMIT_DEFAULT)
    }
}

// === impl RememberArguments ===

impl RememberArguments {
    /// What is out of bounds.
    pub(super) fn problem(&self) -> Option<String> {
        if self.content.trim().is_empty() {
            return Some("content is blank".into());
        }
        if self.content.len() > CONTENT_MAX_BYTES {
            return Some(format!("content has more than {CONTENT_MAX_BYTES} bytes"));
        }
        if self.key.len() > KEY_MAX_BYTES {
            return Some(format!("key has more than {KEY_MAX_BYTES} bytes"));
        }
        let tags = self.tags.as_deref().unwrap_or_default();
        if tags.len() > TAGS_MAX {
            return Some(format!("there are more than {TAGS_MAX} tags"));
        }
        let wrong = |tag: &String| tag.trim().is_empty() || tag.len() > TAG_MAX_BYTES;
        tags.iter()
            .any(wrong)
            .then(|| format!("a tag must have 1 to {TAG_MAX_BYTES} bytes"))
    }
}

// === impl SearchResults ===

impl SearchResults {
    pub(super) fn of(hits: Vec<Hit>) -> Self {
        Self {
            results: hits.into_iter().map(SearchResult::of).collect(),
        }
    }

    /// For a model that takes text alone.
    pub(super) fn text(&self) -> String {
        if self.results.is_empty() {
            return "Nothing was found.".into();
        }
        let line = |result: &SearchResult| {
            let SearchResult {
                source,
                id,
                kind,
                key,
                text,
                tags: _,
                score: _,
            } = result;
            let name = if key.is_empty() {
                String::new()
            } else {
                format!("{key}: ")
            };
            let id = match source {
                ResultSource::Memory => format!(" (id {id})"),
                ResultSource::Conversation => " (from a conversation)".into(),
            };
            format!("- [{kind}] {name}{text}{id}\n")
        };
        self.results.iter().map(line).collect()
    }
}

// === impl SearchResult ===

impl SearchResult {
    fn of(hit: Hit) -> Self {
        let Hit {
            found,
            score,
            snippet,
        } = hit;
        match found {
            Found::Item(item) => Self {
                source: ResultSource::Memory,
                id: item.id.to_string(),
                kind: item.kind.as_str().into(),
                key: item.key,
                text: item.content,
                tags: item.tags,
                score,
            },
            Found::Episode(episode) => Self {
                source: ResultSource::Conversation,
                id: episode.item_id.to_string(),
                kind: format!("{:?}", episode.role).to_lowercase(),
                key: String::new(),
                text: snippet.text,
                tags: Vec::new(),
                score,
            },
        }
    }
}

impl From<ModeName> for SearchMode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Lexical => Self::Lexical,
            ModeName::Vector => Self::Vector,
            ModeName::Hybrid => Self::Hybrid,
        }
    }
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Profile => Self::Profile,
            KindName::Preference => Self::Preference,
            KindName::Relationship => Self::Relationship,
            KindName::Fact => Self::Fact,
            KindName::Secret => Self::Secret,
        }
    }
}

impl From<BucketName> for Bucket {
    fn from(name: BucketName) -> Self {
        match name {
            BucketName::Core => Self::Core,
            BucketName::Archival => Self::Archival,
        }
    }
}
