//! The room's handle, and the work that goes on behind it: messages are put into the index, items get their vectors, a
//! rebuild goes its way. All of it in bounded steps through the store's writer.

use super::{
    Actor, Forget, Forgotten, Import, Imported, ItemAndHistory, ItemsFilter, ItemsPage,
    MemoryRules, MemoryStatus, RebuildStatus, Remember, Remembered, Search,
    embed::{BATCH_MAX_TEXTS, Embedder},
    episodes, erase, items,
    query::Query,
    reads, rebuild,
    scope::{self, Need},
    search::{self, Ground},
    vault::Vault,
    vectors,
};
use crate::{
    clock,
    domain::{
        access::{Identity, Scope as Right},
        ids::Time,
        memory::{Hit, MemoryItem, Place, SearchMode},
        refusal::Refusal,
    },
    store::{
        RequestKey,
        sqlite::{Account, SqliteStore, internal},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Time between two looks for messages that are not in the index yet.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Time after which an embedding model that failed is asked again.
const EMBED_RETRY: Duration = Duration::from_secs(30);
/// Matches of each order that a hybrid search joins, for each hit that it gives.
const FUSED_FOR_EACH: usize = 4;

/// The room.
pub struct Memory {
    store: Arc<SqliteStore>,
    rules: MemoryRules,
    vault: Arc<Vault>,
    embedder: Option<Arc<dyn Embedder>>,
    /// Held while messages are put into the index.
    catching_up: tokio::sync::Mutex<()>,
    /// There is a rebuild to go on with.
    work: Notify,
    /// There may be items without a vector.
    unembedded: Notify,
}

// === impl Memory ===

impl Memory {
    /// The room on a store.
    pub fn new(
        store: Arc<SqliteStore>,
        rules: MemoryRules,
        vault: Vault,
        embedder: Option<Arc<dyn Embedder>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            rules,
            vault: Arc::new(vault),
            embedder,
            catching_up: tokio::sync::Mutex::default(),
            work: Notify::new(),
            unembedded: Notify::new(),
        })
    }

    /// Whether a store holds secrets, of anybody. Reads every item: for where the key is gone.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn has_secrets(store: &SqliteStore) -> Result<bool, Refusal> {
        store
            .look(|connection, _| {
                let found = "SELECT EXISTS (SELECT 1 FROM memory WHERE kind = ?1)";
                Ok(connection.query_row(
                    found,
                    [crate::domain::memory::Kind::Secret as i64],
                    |row| row.get(0),
                )?)
            })
            .await
    }

    /// Whose work the store does for an actor.
    fn account(&self, actor: &Actor) -> Account {
        match actor {
            Actor::Caller(identity) => Account::of_tenant(&identity.principal.tenant),
            Actor::Agent { session, .. } => self.store.account_of(*session),
        }
    }

    /// Whether memory can be searched by meaning.
    pub(super) fn has_embedder(&self) -> bool {
        self.embedder.is_some()
    }

    /// State of memory, and of one scope.
    ///
    /// # Errors
    /// The scope is none of the actor's.
    pub async fn status(
        &self,
        actor: &Actor,
        place: Option<Place>,
        now: Time,
    ) -> Result<MemoryStatus, Refusal> {
        let account = self.account(actor);
        let actor = actor.clone();
        let model = self
            .embedder
            .as_ref()
            .map_or("", |embedder| embedder.model())
            .to_owned();
        self.store
            .search(account, move |connection, generation, _| {
                reads::status(connection, generation, &actor, place.as_ref(), &model, now)
            })
            .await
    }

    /// Core memories, newest change first, at most `CORE_MAX`; no secrets.
    ///
    /// # Errors
    /// The scope is none of the actor's.
    pub async fn core(
        &self,
        actor: &Actor,
        place: Option<Place>,
        now: Time,
    ) -> Result<Vec<MemoryItem>, Refusal> {
        let account = self.account(actor);
        let actor = actor.clone();
        self.store
            .search(account, move |connection, generation, _| {
                reads::core(connection, generation, &actor, place.as_ref(), now)
            })
            .await
    }

    /// The best matches, best first. Never a secret.
    ///
    /// # Errors
    /// The scope is none of the actor's; there are no embeddings for the mode; it would take too long.
    pub async fn search(&self, actor: &Actor, search: Search) -> Result<Vec<Hit>, Refusal> {
        if search.episodes {
            self.catch_up_once().await?;
        }
        let account = self.account(actor);
        let vector = match search.mode {
            SearchMode::Lexical => None,
            SearchMode::Vector | SearchMode::Hybrid => {
                // A caller without the right learns nothing of the model, and costs it nothing.
                let (asker, asked) = (actor.clone(), search.place.clone());
                self.store
                    .look_for(account, move |connection, generation| {
                        scope::resolve(connection, generation, &asker, asked.as_ref(), Need::Read)
                            .map(drop)
                    })
                    .await?;
                Some(self.vector(&search.query).await?)
            }
        };
        let actor = actor.clone();
        let found = self
            .store
            .search(account, move |connection, generation, until| {
                let ground = Ground::new(connection, generation, &actor, &search, until)?;
                let query = Query::parse(&search.query);
                let limit = search.limit;
                let found = match (search.mode, vector) {
                    (SearchMode::Vector, Some((model, vector))) => {
                        vectors::require_model(&ground, &model)?;
                        vectors::closest(&ground, &query, &vector, limit)?
                    }
                    (SearchMode::Hybrid, Some((model, vector))) => {
                        vectors::require_model(&ground, &model)?;
                        let each = limit * FUSED_FOR_EACH;
                        let lists = [
                            ground.lexical(&query, each)?,
                            vectors::closest(&ground, &query, &vector, each)?,
                        ];
                        vectors::fuse(lists, limit)
                    }
                    (SearchMode::Lexical | SearchMode::Vector | SearchMode::Hybrid, _) => {
                        ground.lexical(&query, limit)?
                    }
                };
                Ok(search::hits(found, &query))
            })
            .await;
        found.map_err(|refusal| match refusal {
            Refusal::DeadlineExceeded => Refusal::field(
                "query",
                "takes too long to search for; ask for fewer or rarer words, or name a tag or a kind",
            ),
            other => other,
        })
    }

    /// Writes an item.
    ///
    /// # Errors
    /// The scope is none of the actor's; a bound was met.
    pub async fn remember(&self, remember: Remember) -> Result<Remembered, Refusal> {
        let (vault, rules) = (Arc::clone(&self.vault), self.rules);
        let account = self.account(&remember.actor);
        let remembered = self
            .store
            .change_for(account, move |unit| {
                items::remember(unit, &vault, rules, remember)
            })
            .await?;
        self.unembedded.notify_one();
        Ok(remembered)
    }

    /// Hides or erases items. Nothing to forget is no error: the count is 0.
    ///
    /// # Errors
    /// The scope is none of the actor's.
    pub async fn forget(&self, forget: Forget) -> Result<Forgotten, Refusal> {
        let account = self.account(&forget.actor);
        let forgotten = self
            .store
            .change_for(account, move |unit| items::forget(unit, forget))
            .await?;
        self.work.notify_one();
        Ok(forgotten)
    }

    /// Notes that items were given to an agent.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn note_used(&self, ids: Vec<Uuid>, now: Time) -> Result<(), Refusal> {
        self.store
            .change(move |unit| items::note_used(unit, &ids, now))
            .await
    }

    /// A page of items.
    ///
    /// # Errors
    /// The scope is none of the actor's.
    pub async fn list(
        &self,
        actor: &Actor,
        filter: ItemsFilter,
        now: Time,
    ) -> Result<ItemsPage, Refusal> {
        let account = self.account(actor);
        let actor = actor.clone();
        self.store
            .search(account, move |connection, generation, _| {
                reads::list(connection, generation, &actor, &filter, now)
            })
            .await
    }

    /// An item with its past. `reveal` shows a secret, and needs `memory.write`.
    ///
    /// # Errors
    /// No such item for the actor.
    pub async fn get(
        &self,
        actor: &Actor,
        id: Uuid,
        reveal: bool,
        now: Time,
    ) -> Result<ItemAndHistory, Refusal> {
        let account = self.account(actor);
        let actor = actor.clone();
        let vault = reveal.then(|| Arc::clone(&self.vault));
        self.store
            .look_for(account, move |connection, generation| {
                reads::get(connection, generation, &actor, id, vault.as_deref(), now)
            })
            .await
    }

    /// Writes many items, in commits between which others' work is done.
    ///
    /// # Errors
    /// A bound was met; then those before are written, and a repeat of the call only touches them.
    pub async fn import(
        &self,
        identity: &Arc<Identity>,
        items: Vec<Import>,
        request: Option<RequestKey>,
        now: Time,
    ) -> Result<Imported, Refusal> {
        let (vault, rules) = (Arc::clone(&self.vault), self.rules);
        let account = Account::of_tenant(&identity.principal.tenant);
        let identity = Arc::clone(identity);
        let mut importing = items::Importing::new(&vault, identity, items, request, now);
        let imported = self
            .store
            .change_in_slices_for(account, move |unit| importing.slice(unit, &vault, rules))
            .await?;
        self.unembedded.notify_one();
        Ok(imported)
    }

    /// Starts to derive the index (and, with an embedding model, the vectors) anew; the one that runs where there is one.
    ///
    /// # Errors
    /// The caller is not the operator; the store does not answer.
    pub async fn rebuild(
        &self,
        identity: &Arc<Identity>,
        now: Time,
    ) -> Result<RebuildStatus, Refusal> {
        identity.require(Right::MemoryWrite)?;
        // The index is the whole server's; this right counts in the operator's tenant alone.
        identity.require(Right::AdminConfig)?;
        let embed = self.embedder.is_some();
        let status = self
            .store
            .change(move |unit| {
                rebuild::start(unit, embed, now)?;
                rebuild::status(unit.connection)?
                    .ok_or_else(|| search::broken("a rebuild that did not start"))
            })
            .await?;
        self.work.notify_one();
        self.unembedded.notify_one();
        Ok(status)
    }

    /// Does the work behind until it is told to end.
    pub async fn run(self: Arc<Self>, end: CancellationToken) {
        let work = async {
            loop {
                if let Err(refusal) = self.do_all().await {
                    tracing::warn!(%refusal, "memory's work behind waits");
                }
                // A message has no one who tells of it here: a look a second costs one small read.
                let _ = tokio::time::timeout(LOOK_INTERVAL, self.work.notified()).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = end.cancelled() => {}
        }
    }

    async fn do_all(&self) -> Result<(), Refusal> {
        if self
            .store
            .look(|connection, _| rebuild::is_outdated(connection))
            .await?
        {
            self.store
                .change(|unit| rebuild::upgrade(unit, clock::now()))
                .await?;
        }
        while self.catch_up_once().await? {}
        while self
            .store
            .look(|connection, _| rebuild::running(connection))
            .await?
        {
            self.store
                .change(|unit| rebuild::step(unit, clock::now()))
                .await?;
        }
        while self
            .store
            .look(|connection, _| erase::is_due(connection))
            .await?
        {
            self.store.change(|unit| erase::step(unit)).await?;
        }
        Ok(())
    }

    /// Puts a piece of the messages into the index that are not there yet. True while there are more.
    async fn catch_up_once(&self) -> Result<bool, Refusal> {
        // One after the other: what two cut at once would be written once.
        let _alone = self.catching_up.lock().await;
        let piece = self
            .store
            .look(|connection, _| episodes::next_piece(connection))
            .await?;
        if piece.is_empty() {
            return Ok(false);
        }
        let piece = tokio::task::spawn_blocking(move || piece.cut()).await;
        let piece = piece.map_err(|_| internal("words could not be cut"))?;
        self.store
            .change_in_slices(move |unit| episodes::put(unit, &piece))
            .await
    }

    /// Makes the vectors that are missing, until it is told to end.
    pub async fn run_embedding(self: Arc<Self>, end: CancellationToken) {
        let Some(embedder) = self.embedder.clone() else {
            return;
        };
        let work = async {
            loop {
                match self.embed_some(embedder.as_ref()).await {
                    Ok(true) => {}
                    Ok(false) => self.unembedded.notified().await,
                    Err(refusal) => {
                        tracing::warn!(%refusal, "memories wait for their vectors");
                        tokio::time::sleep(EMBED_RETRY).await;
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = end.cancelled() => {}
        }
    }

    /// Makes some missing vectors. True while there may be more.
    async fn embed_some(&self, embedder: &dyn Embedder) -> Result<bool, Refusal> {
        let missing = self
            .store
            .look(|connection, _| vectors::missing(connection, BATCH_MAX_TEXTS))
            .await?;
        if missing.is_empty() {
            return Ok(false);
        }
        let texts = missing.iter().map(|(_, _, text)| text.clone()).collect();
        let made = embedder.embed(texts).await?;
        if made.len() != missing.len() {
            return Err(Refusal::EmbeddingUnavailable {
                problem: "it gave another number of vectors than of texts".into(),
            });
        }
        let vectors: Vec<_> = missing
            .into_iter()
            .zip(made)
            .map(|((row, version, _), vector)| (row, version, vector))
            .collect();
        let model = embedder.model().to_owned();
        self.store
            .change(move |unit| vectors::keep(unit, &model, &vectors))
            .await?;
        Ok(true)
    }

    /// The vector of a query, and its model.
    async fn vector(&self, query: &str) -> Result<(String, Vec<f32>), Refusal> {
        let embedder = self.embedder.as_ref().ok_or(Refusal::EmbeddingMissing)?;
        let mut made = embedder.embed(vec![query.to_owned()]).await?;
        match made.pop() {
            Some(vector) if made.is_empty() => Ok((embedder.model().to_owned(), vector)),
            Some(_) | None => Err(Refusal::EmbeddingUnavailable {
                problem: "it gave another number of vectors than of texts".into(),
            }),
        }
    }
}
