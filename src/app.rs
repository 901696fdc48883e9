//! The composition root: builds the rooms in order, recovers, serves, drains. The only file that knows everyone.
//!
//! Start: lock the data directory → bind → open the store → end what an earlier life left running → recover → accept.
//! Drain, under one deadline: health NOT_SERVING → new work refused → running turns get the window, then end INTERRUPTED
//! → streams end with their last `seq` → listener → store.

mod access;
mod agents;
mod apart;
mod auto;
mod isolation;
mod live;
mod llm;
mod own_process;

pub use apart::NotApart;
pub use own_process::close_to_others;

use crate::workers::{
    LeaseRules,
    driver::WorkerDriver,
    hub::{Hub, Selector},
};
use crate::{
    agent::{
        Driver,
        acp::{AcpDriver, AcpOptions},
        echo::Echo,
        fence::Fence,
        isolation::{Confinement, Rung},
        llm::LlmDriver,
        pi::{PiDriver, PiOptions},
        process::{self, ProcessHost, ProcessLimits},
        submit::Submissions,
    },
    auth::{agents::AgentCredentials, first_start, keys::Keys, limits::Limits, secret_files},
    clock,
    config::{AgentConfig, Config, DriverKind, SocketPath, WebhookConfig, live::LiveConfig},
    domain::{
        access::{Credential, Identity, Scope, Scopes},
        agent::{Capabilities, KnownAgent},
        ids::{Principal, SessionKey},
        limits::{INPUT_MESSAGE_MAX_BYTES, MESSAGE_MAX_BYTES},
        prices::Prices,
        quotas::LiveQuotas,
        refusal::Refusal,
    },
    edge::{self, WebhookRoute},
    feed::{Feed, FeedOptions, Watcher},
    grpc::{
        admin::{Admin, ServerFacts},
        channels::Channels,
        gateway::Gateway,
        layers::{self, Gate},
        memory::MemoryCalls,
        methods,
        schedules::ScheduleCalls,
        web,
        webhooks::WebhookCalls,
        workers::WorkerCalls,
    },
    http::console,
    listener::{Bounds, Listener, ListenerOptions, ServedAt, Serving, TlsOptions, UnixOptions},
    mcp::{self, agents::AgentsDoor, http::HttpOptions},
    memory::{
        self, Memory, MemoryRules, Vault,
        context::ContextRules,
        embed::Embedder,
        openai::{OpenAiEmbedder, OpenAiOptions},
    },
    proto,
    schedules::Schedules,
    session::{
        disconnect::Disconnects,
        fork::Conversations,
        handle::{CwdRoots, Directories, Drain, Workshop},
        recall::Recall,
        registry::{Registry, RegistryTask},
        users::AgentUsers,
        workspace::Workspaces,
    },
    store::{
        AgentRule, Caller, NewSession, Store, StoreRules, Trouble, WebhookStore,
        sqlite::{
            self, IfLost, SqliteStore,
            check::{Problem, Report},
        },
    },
    telemetry::{Telemetry, audit, metrics, scrape},
    webhooks_out::{self, AnswerLinks, Inbox, Reach, WebhooksOut},
    wire::page::PageTokens,
};
use access::Access;
use anyhow::Context;
use arc_swap::ArcSwap;
use axum::middleware::from_fn;
use futures_util::future::BoxFuture;
use live::Rooms;
use metrics_exporter_prometheus::PrometheusHandle;
use proto::admin_service_server::AdminServiceServer;
use proto::gateway_service_server::GatewayServiceServer;
use proto::memory_service_server::MemoryServiceServer;
use proto::model_service_server::ModelServiceServer;
use proto::schedule_service_server::ScheduleServiceServer;
use proto::webhook_service_server::WebhookServiceServer;
use proto::worker_service_server::WorkerServiceServer;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    future::Future,
    io::{Read, Seek, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, codec::CompressionEncoding::Gzip};
use tonic_health::server::HealthReporter;
use tower::ServiceExt;
use tracing::{error, info, warn};
use uuid::Uuid;

/// Time that the registry has after the drain's window: what it gives its agents, and commits. Longer only where the
/// store hangs.
const REGISTRY_END_MAX: Duration = Duration::from_secs(20);
/// Time that the store has to move its log into the database.
const STORE_CLOSE_MAX: Duration = Duration::from_secs(30);
/// Time that connections have to take the last bytes of their streams at a drain.
const CLOSE_MAX: Duration = Duration::from_secs(3);
/// Time that recovery waits for a store that does not answer before the start fails.
const RECOVER_MAX: Duration = Duration::from_secs(60);
/// Time that an agent gets to end by itself before it is killed.
const AGENT_STOP_GRACE: Duration = Duration::from_secs(2);

/// How often health is told anew.
const HEALTH_LOOK_EVERY: Duration = Duration::from_secs(1);

/// The unix socket in the data directory.
const SOCKET_FILE: &str = "quarterdeck.sock";

/// Another server holds the data directory.
#[derive(Debug, thiserror::Error)]
#[error("{} is in use by another quarterdeck server (process {holder}); stop it, or choose another --data-dir", directory.display())]
pub struct DataDirectoryLocked {
    /// The directory.
    pub directory: PathBuf,
    /// Process id of the holder, as it wrote it.
    pub holder: String,
}

/// What the operator has said may be lost at this start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent {
    /// A store that should be there and is not.
    pub new_store: bool,
    /// Secrets whose key is gone.
    pub lose_secrets: bool,
}

/// A built gateway: sockets bound, store open and recovered, nothing accepted yet.
pub struct App {
    config: Config,
    telemetry: Telemetry,
    listener: Listener,
    /// Where metrics are told.
    metrics_listener: Option<Listener>,
    /// Where agents call.
    agents_listener: Option<Listener>,
    agent_credentials: Option<Arc<AgentCredentials>>,
    submissions: Arc<Submissions>,
    /// What they are told for; `None` where everyone may do everything.
    metrics_token: Option<SecretString>,
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
    registry: Arc<Registry>,
    registry_task: RegistryTask,
    cwd_roots: Arc<CwdRoots>,
    workspaces: Workspaces,
    keys: Arc<Keys>,
    access: Access,
    limits: Arc<Limits>,
    live: Arc<LiveConfig>,
    quotas: LiveQuotas,
    conversations: Conversations,
    workers: Arc<Hub>,
    facts: ServerFacts,
    memory: Arc<Memory>,
    webhooks: WebhookParts,
    pages: Arc<PageTokens>,
    /// Held until the process ends.
    _lock: File,
}

/// What webhooks out need.
struct WebhookParts {
    store: Arc<dyn WebhookStore>,
    vault: Arc<Vault>,
    reach: Reach,
    links: Option<AnswerLinks>,
    inbox: Arc<Inbox>,
}

// === impl App ===

impl App {
    /// Builds everything and recovers what an earlier life left.
    ///
    /// # Errors
    /// [`DataDirectoryLocked`], or what stands in the way, for people.
    pub async fn build(
        mut config: Config,
        consent: Consent,
        telemetry: Telemetry,
    ) -> anyhow::Result<Self> {
        config.exposure()?;
        let (lock, node_mark) = take_data_directory(&config.data_dir)?;
        let chosen = auto::choose(&mut config)?;
        let listener = Listener::bind(listener_options(&config))
            .await?
            .with_bounds(Bounds {
                first_call: Some(config.first_call_timeout),
                age: config.connection_age_max,
                age_grace: config.connection_age_grace,
                ..Bounds::default()
            })
            .with_refused_hosts(layers::refuse_host);
        let cwd_roots = Arc::new(cwd_roots(&config)?);
        lie_apart(&config, &cwd_roots)?;
        let metrics_listener = metrics_listener(&config).await?;
        let metrics_token = metrics_token(&config)?;
        let agents_listener = agents_listener(&config).await?;
        let agent_credentials = agents_listener
            .as_ref()
            .map(|door| AgentCredentials::new(door.local_addr(), mcp::described()));
        let door = agents_listener
            .as_ref()
            .map(|door| door.local_addr().port());
        let host = process_host(&node_mark)?;
        let isolation = isolation::find(&config, &host, door).await?;
        let confinements = isolation.agents.clone();
        let default_agent = auto::settle(&config, chosen, &confinements)?;
        // Elsewhere agents are processes of the same user, and the socket has a path.
        let trust_socket = (isolation.agents.values())
            .all(|agent| agent.rung == Rung::Namespace || agent.own_users);
        let users = isolation.users;
        let agent_users = agent_users(&isolation, &node_mark);
        let workers = Hub::new(lease_rules(&config));
        let drivers = drivers(&config, &host, isolation.agents, &workers)?;
        let feed = Feed::new(FeedOptions {
            serving_runtimes: config.serve_threads.0,
            max_streams: config.max_streams,
        });
        let known_agents = Arc::new(agents::known(&config, &drivers));
        let rules = rules(&config, &drivers, &known_agents, default_agent.clone())?;
        let quotas = rules.quotas.clone();
        let if_lost = if consent.new_store {
            IfLost::BeginAnew
        } else {
            IfLost::Refuse
        };
        let store = SqliteStore::open_or(&config.data_dir, if_lost, rules, feed.clone())
            .context("can't open the store")?;
        let facts = ServerFacts {
            start_time: clock::wall(),
            store_id: store.store_id(),
            default_agent,
            agents: agents::facts(&config, &known_agents, &confinements),
            isolation: isolation.server,
        };
        let store = Arc::new(store);
        require_memory_key(&config, consent, &store).await?;
        let memory = Memory::new(
            store.clone(),
            memory_rules(&config),
            vault(&config)?,
            embedder(&config)?,
        );
        let webhook_store: Arc<dyn WebhookStore> = store.clone();
        let webhook_vault = Arc::new(vault(&config)?);
        let store: Arc<dyn Store> = store;
        let kept = store.settings().await.context("can't read the settings")?;
        let live = Arc::new(LiveConfig::new(config.clone(), kept));
        for driver in drivers.values() {
            driver.sweep_leftovers().await;
        }
        if let Some(range) = users {
            process::sweep_users(range).await;
        }
        let pepper = secret_files::pepper(&config.data_dir)?;
        let told = store.told_agents().await;
        agents::begin(
            &config,
            &pepper,
            &known_agents,
            &told.context("can't read what agents can do")?,
        );
        let keys = Arc::new(
            Keys::load(store.clone(), &pepper)
                .await
                .context("can't load the API keys")?,
        );
        if !config.no_auth {
            first_start::make_first_key(&keys, &config.data_dir).await?;
        }
        let limits = Arc::new(Limits::new(access::rates(&live.current().config)));
        let access = access::build(&config, keys.clone(), limits.clone(), trust_socket).await?;
        let webhooks = WebhookParts {
            store: webhook_store,
            vault: webhook_vault,
            reach: Reach::new(config.webhook_private_addresses),
            links: (!config.answer_link_url.is_empty()).then(|| {
                AnswerLinks::new(&config.answer_link_url, config.answer_link_ttl, &pepper)
            }),
            inbox: Arc::default(),
        };
        let inbox: Arc<dyn Watcher> = webhooks.inbox.clone();
        feed.add_watcher(Arc::downgrade(&inbox));
        let leases = store.leases().await;
        let leases = leases.context("can't read the leases of workers")?;
        recover(&store).await?;
        workers.begin(store.clone(), leases);
        make_primary(&store, &config).await?;
        let (drain_sender, drain) = watch::channel(Drain::No);
        let registry = Registry::new(drain_sender);
        let directories = Directories::new(&isolation::real(&config.data_dir)?, agent_users);
        let conversations = Conversations {
            directories: directories.clone(),
            drivers: drivers.clone(),
        };
        let workspaces = Workspaces {
            directories: directories.clone(),
            cwd_roots: cwd_roots.clone(),
            known_agents: known_agents.clone(),
        };
        let submissions = Arc::new(Submissions::default());
        let workshop = Arc::new(Workshop {
            store: store.clone(),
            feed: feed.clone(),
            drivers,
            known_agents,
            recall: Recall {
                memory: memory.clone(),
                rules: ContextRules {
                    core_max_tokens: config.memory_core_max_tokens,
                    matches_max: config.memory_matches_max,
                    timeout: config.memory_recall_timeout,
                },
            },
            directories,
            cwd_roots: cwd_roots.clone(),
            agent_credentials: agent_credentials.clone(),
            submissions: submissions.clone(),
            commands: registry.commands().clone(),
            workers: workers.clone(),
            worker_agents: worker_agents(&config),
            agent_idle_timeout: config.agent_idle_timeout,
            drain,
        });
        let registry_task = RegistryTask::new(registry.clone(), workshop, quotas.clone());
        Ok(Self {
            config,
            telemetry,
            listener,
            metrics_listener,
            metrics_token,
            agents_listener,
            agent_credentials,
            submissions,
            store,
            feed,
            registry,
            registry_task,
            cwd_roots,
            conversations,
            workers,
            workspaces,
            keys,
            access,
            limits,
            live,
            quotas,
            facts,
            memory,
            webhooks,
            pages: Arc::new(PageTokens::new(&pepper)),
            _lock: lock,
        })
    }

    /// Where calls will be accepted.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` comes, then drains. `ready` is called with the address when calls are accepted.
    ///
    /// # Errors
    /// A part of the gateway that failed.
    pub async fn run(
        self,
        ready: impl FnOnce(&str),
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let Self {
            config,
            telemetry,
            listener,
            metrics_listener,
            metrics_token,
            agents_listener,
            agent_credentials,
            submissions,
            store,
            feed,
            registry,
            registry_task,
            cwd_roots,
            conversations,
            workers,
            workspaces,
            keys,
            access: Access { auth, key_set },
            limits,
            live,
            quotas,
            facts,
            memory,
            webhooks: webhook_parts,
            pages: page_tokens,
            _lock,
        } = self;
        let runtime = tokio::runtime::Handle::current();
        let ending = CancellationToken::new();
        let settings = Arc::new(ArcSwap::from_pointee(live::gateway_settings(
            &live.current().config,
        )));
        let sooner = Arc::new(Notify::new());
        let store_id = facts.store_id;
        let gateway = Arc::new(Gateway {
            store: store.clone(),
            feed: feed.clone(),
            registry: registry.clone(),
            disconnects: Disconnects::new(store.clone(), registry.clone(), runtime),
            cwd_roots,
            options_allowed: (config.agents.iter())
                .map(|(name, agent)| (name.clone(), agent.options_allowed.clone()))
                .collect(),
            conversations,
            known_agents: workspaces.known_agents.clone(),
            workspaces,
            default_agent: facts.default_agent.clone(),
            settings: settings.clone(),
            pages: page_tokens.clone(),
            ending: ending.clone(),
            sooner: sooner.clone(),
        });
        let schedules = schedules(store.clone(), gateway.clone(), sooner);
        let (health, health_service) = tonic_health::server::health_reporter();
        let health_service = health_service
            .accept_compressed(Gzip)
            .send_compressed(Gzip)
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        health.set_serving::<GatewayServiceServer<Gateway>>().await;
        let telling = tokio::spawn(tell_health(health.clone(), store.clone()));
        let channels = Arc::new(Channels::default());
        access::bound_open(&channels, &live.current().config);
        let admin = Admin {
            live: live.clone(),
            updating: Mutex::default(),
            store: store.clone(),
            feed: feed.clone(),
            registry: registry.clone(),
            facts,
            keys: keys.clone(),
            channels: channels.clone(),
            logs: telemetry.logs,
            pages: page_tokens.clone(),
            ending: ending.clone(),
        };
        let rooms = Rooms {
            feed: feed.clone(),
            gateway: settings,
            limits,
            channels: channels.clone(),
            log_filter: telemetry.log_filter,
            quotas,
        };
        tokio::spawn(rooms.follow(live.subscribe()));
        tokio::spawn(process::end_orphans());
        tokio::spawn(workers.clone().run());
        let behind = [
            tokio::spawn(memory.clone().run(ending.clone())),
            tokio::spawn(memory.clone().run_embedding(ending.clone())),
        ];
        let services = Services {
            gateway,
            admin,
            memory: MemoryCalls {
                memory: memory.clone(),
                pages: page_tokens.clone(),
            },
            schedules: ScheduleCalls {
                store: store.clone(),
                schedules: schedules.clone(),
                pages: page_tokens.clone(),
                live: live.clone(),
            },
            webhooks: WebhookCalls {
                store: webhook_parts.store.clone(),
                vault: webhook_parts.vault.clone(),
                reach: webhook_parts.reach.clone(),
                inbox: webhook_parts.inbox.clone(),
                pages: page_tokens.clone(),
                live: live.clone(),
            },
            workers: WorkerCalls {
                hub: workers.clone(),
                labels: worker_agents(&config)
                    .into_iter()
                    .map(|(name, selector)| (name, selector.labels))
                    .collect(),
                pages: page_tokens,
                ending: ending.clone(),
            },
        };
        let routes = routes(services, health_service, config.reflection)?;
        let agents_memory = memory.clone();
        let auth = Arc::new(auth);
        let gate = Gate {
            auth: auth.clone(),
            channels: channels.clone(),
            methods: methods::served,
        };
        let mut router = layers::layered(routes, gate);
        if config.http {
            let webhooks = edge::Webhooks {
                routes: webhooks(&config),
                primary_session: config.primary_session.clone(),
                store_id: store_id.to_string(),
            };
            let answers = edge::AnswerPages {
                links: webhook_parts.links.clone(),
                store: webhook_parts.store.clone(),
            };
            router = edge::layered(router, auth.clone(), webhooks, answers);
        }
        if config.mcp {
            router = router.merge(mcp::http::routes(HttpOptions {
                memory,
                store: store.clone(),
                auth,
                channels: channels.clone(),
                ending: ending.clone(),
            }));
        }
        if config.console && config.grpc_web {
            router = router.merge(console::routes(console::BUILT));
        }
        let router = router.layer(from_fn(layers::told_in_grpc));
        let router = web::layered(router, pages(&config)?);
        let url = listener.url();
        let unix = listener.unix_path().map(Path::to_owned);
        let serving = listener.serve(move |_| router.clone());
        for (index, handle) in serving.runtimes().iter().enumerate() {
            handle.spawn(feed.relay(index));
        }
        let _metrics = metrics_listener
            .zip(telemetry.metrics)
            .map(|(listener, handle)| {
                serve_metrics(listener, handle, metrics_token, store.clone())
            });
        let _agents = agents_listener
            .zip(agent_credentials)
            .map(|(listener, credentials)| {
                let door = mcp::agents::routes(AgentsDoor {
                    memory: agents_memory,
                    store: store.clone(),
                    credentials,
                    submissions,
                    ending: ending.clone(),
                });
                let router = web::layered(door, web::Pages::None);
                listener.serve(move |_| router.clone())
            });
        let delivering = WebhooksOut::new(
            webhook_parts.store,
            webhook_parts.vault,
            (webhook_parts.reach, webhook_parts.links),
            store_id,
            webhook_parts.inbox,
        )?;
        webhooks_out::serve(delivering.run(ending.clone())).context("webhooks")?;
        let mut registry_task = tokio::spawn(registry_task.run());
        let timer = tokio::spawn(async move { schedules.run().await });
        let house = keys.clone();
        let house = tokio::spawn(async move {
            let key_set = async {
                if let Some(key_set) = key_set {
                    key_set.follow().await;
                }
            };
            tokio::join!(house.keep_house(), channels.end_expired(), key_set);
        });
        let counts = tokio::spawn(audit::keep_counts(ending.clone()));
        let unix = unix.map(|path| path.display().to_string());
        info!(url, unix, "accepting calls");
        let served_at = ServedAt {
            url: url.clone(),
            socket: unix.map(PathBuf::from),
        };
        served_at
            .write(&config.data_dir)
            .context("can't write where calls are accepted")?;
        ready(&url);
        tokio::select! {
            () = shutdown => {}
            ended = &mut registry_task => {
                ended.context("the session registry failed")?;
                anyhow::bail!("the session registry ended by itself");
            }
        }

        let config = live.current().config;
        info!(window = ?config.drain_timeout, "draining");
        // It must not say anything else than the drain does.
        telling.abort();
        let _ = telling.await;
        health
            .set_not_serving::<GatewayServiceServer<Gateway>>()
            .await;
        health
            .set_service_status("", tonic_health::ServingStatus::NotServing)
            .await;
        registry.begin_drain();
        workers.drain(config.drain_timeout);
        // What is due from here on is found by the next start.
        timer.abort();
        let window = i64::try_from(config.drain_timeout.as_micros()).unwrap_or(i64::MAX);
        feed.begin_drain(clock::wall().plus_micros(window));
        let in_time = tokio::time::timeout(config.drain_timeout, &mut registry_task).await;
        if in_time.is_err() {
            registry.end_drain();
            match tokio::time::timeout(REGISTRY_END_MAX, &mut registry_task).await {
                Ok(ended) => ended.context("the session registry failed")?,
                Err(_) => {
                    error!("the session registry did not end; the next start settles the rest")
                }
            }
        }
        feed.end_streams();
        ending.cancel();
        serving.stop(CLOSE_MAX).await;
        for task in behind {
            task.await.context("memory's work behind failed")?;
        }
        house.abort();
        counts.await.context("the audit's counts failed")?;
        keys.write_used().await;
        if tokio::time::timeout(STORE_CLOSE_MAX, store.close())
            .await
            .is_err()
        {
            error!("the store did not close in time; what was answered is on disk");
        }
        info!("stopped");
        Ok(())
    }
}

/// Where other programs post what has happened.
fn webhooks(config: &Config) -> BTreeMap<String, WebhookRoute> {
    let routes = config.webhooks.iter();
    let route = |webhook: &WebhookConfig| {
        let (tenant, subject) = webhook.principal.split_once('/').unwrap_or_default();
        let principal = Principal {
            tenant: tenant.to_owned(),
            subject: subject.to_owned(),
        };
        let scopes = webhook.scopes.iter().filter_map(|name| Scope::parse(name));
        let scopes = Scopes::of(scopes);
        let secrets = webhook.secrets.0.values();
        WebhookRoute {
            kind: webhook.kind,
            secrets: secrets.map(|secret| secret.as_str().into()).collect(),
            identity: Arc::new(Identity::new(principal, scopes, Credential::None, None)),
            session_key: webhook.session_key.clone(),
            sender: webhook.sender.clone(),
            text: webhook.text.clone(),
            agent: webhook.agent.clone(),
            on_busy: webhook.on_busy,
            no_approver: webhook.no_approver,
        }
    };
    routes
        .map(|(name, webhook)| (name.clone(), route(webhook)))
        .collect()
}

/// What is done at its time, by the system's clock, for whoever asked for it.
fn schedules(store: Arc<dyn Store>, gateway: Arc<Gateway>, sooner: Arc<Notify>) -> Arc<Schedules> {
    let prepare = move |identity, request| {
        let gateway = gateway.clone();
        let prepared = async move { gateway.prepare(identity, request).await };
        Box::pin(prepared) as BoxFuture<'static, _>
    };
    Schedules::new(store, Arc::new(prepare), Arc::new(clock::wall), sooner)
}

/// What answers the calls.
struct Services {
    gateway: Arc<Gateway>,
    admin: Admin,
    memory: MemoryCalls,
    schedules: ScheduleCalls,
    webhooks: WebhookCalls,
    workers: WorkerCalls,
}

fn routes(
    services: Services,
    health: impl tonic::codegen::Service<
        http::Request<tonic::body::Body>,
        Response = http::Response<tonic::body::Body>,
        Error = std::convert::Infallible,
        Future: Send + 'static,
    > + tonic::server::NamedService
    + Clone
    + Send
    + Sync
    + 'static,
    reflection: bool,
) -> anyhow::Result<axum::Router> {
    let Services {
        gateway,
        admin,
        memory,
        schedules,
        webhooks,
        workers,
    } = services;
    let descriptors = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that grpcurl shows the details of errors as text.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    // `grpc::layers` bound messages as they come; these bound what a compressed one becomes.
    let service = |limit| {
        GatewayServiceServer::from_arc(gateway.clone())
            .accept_compressed(Gzip)
            .send_compressed(Gzip)
            .max_decoding_message_size(limit)
            .max_encoding_message_size(usize::MAX)
    };
    let admin = AdminServiceServer::new(admin)
        .accept_compressed(Gzip)
        .send_compressed(Gzip)
        .max_decoding_message_size(MESSAGE_MAX_BYTES);
    let memory = MemoryServiceServer::new(memory)
        .accept_compressed(Gzip)
        .send_compressed(Gzip)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(usize::MAX);
    let models = ModelServiceServer::from_arc(gateway.clone())
        .accept_compressed(Gzip)
        .send_compressed(Gzip)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(usize::MAX);
    let schedules = ScheduleServiceServer::new(schedules)
        .accept_compressed(Gzip)
        .send_compressed(Gzip)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(usize::MAX);
    let webhooks = WebhookServiceServer::new(webhooks)
        .accept_compressed(Gzip)
        .send_compressed(Gzip)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(usize::MAX);
    let mut routes = tonic::service::Routes::from(axum::Router::new())
        .add_service(service(MESSAGE_MAX_BYTES))
        .add_service(admin)
        .add_service(memory)
        .add_service(models)
        .add_service(schedules)
        .add_service(webhooks)
        .add_service(
            WorkerServiceServer::new(workers)
                .accept_compressed(Gzip)
                .send_compressed(Gzip)
                .max_decoding_message_size(INPUT_MESSAGE_MAX_BYTES)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(health);
    if reflection {
        let v1 = descriptors()
            .build_v1()?
            .accept_compressed(Gzip)
            .send_compressed(Gzip)
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let v1alpha = descriptors()
            .build_v1alpha()?
            .accept_compressed(Gzip)
            .send_compressed(Gzip)
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        routes = routes.add_service(v1).add_service(v1alpha);
    }
    let inputs = service(INPUT_MESSAGE_MAX_BYTES);
    let inputs = inputs.map_request(|it: http::Request<axum::body::Body>| it.map(Body::new));
    let routes = routes.into_axum_router();
    Ok(layers::INPUTS.into_iter().fold(routes, |routes, path| {
        routes.route_service(path, inputs.clone())
    }))
}

/// The pages that may call.
fn pages(config: &Config) -> anyhow::Result<web::Pages> {
    if !config.grpc_web {
        return Ok(web::Pages::None);
    }
    let listed = config
        .grpc_web_origins
        .iter()
        .map(|origin| http::HeaderValue::from_str(origin.as_str()));
    let mut listed = listed.collect::<Result<Vec<_>, _>>()?;
    // The page behind an answer link is one of ours, also where a proxy has another scheme than we see.
    if let Ok(url) = reqwest::Url::parse(&config.answer_link_url) {
        let origin = url.origin().ascii_serialization();
        listed.push(http::HeaderValue::from_str(&origin)?);
    }
    Ok(web::Pages::Of(listed))
}

/// Makes another key for the local user of a data directory that no server has; returns the file that holds it.
///
/// # Errors
/// [`DataDirectoryLocked`], or what stands in the way, for people.
pub fn reset_admin_key(config: &Config) -> anyhow::Result<PathBuf> {
    let (_lock, _) = take_data_directory(&config.data_dir)?;
    first_start::make_another_key(&config.data_dir)
}

/// Looks at all that a data directory keeps which no server has; changes nothing. `None` where it keeps nothing.
///
/// # Errors
/// [`DataDirectoryLocked`], [`sqlite::OpenError`], or what stands in the way, for people.
pub fn check_data_directory(directory: &Path) -> anyhow::Result<Option<Report>> {
    // A backup has none, and gets none.
    let lock = match File::open(directory.join("lock")) {
        Ok(lock) => Some(lock),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).context("can't take the data directory's lock"),
    };
    if let Some(lock) = &lock {
        take_lock(lock, directory)?;
    }
    let Some(mut report) = sqlite::check::examine(directory)? else {
        return Ok(None);
    };
    if report.rules_checked {
        match memory::check::check(directory) {
            Ok(problems) => report.problems.extend(problems),
            Err(error) => report.problems.push(Problem::new(
                "memory and its index can be read",
                format!("can't be looked at: {error:#}"),
            )),
        }
    }
    Ok(Some(report))
}

/// Where agents call the gateway; `None` where it offers them nothing.
async fn agents_listener(config: &Config) -> anyhow::Result<Option<Listener>> {
    let calls = |agent: &AgentConfig| match agent.driver {
        DriverKind::Echo | DriverKind::Worker => false,
        DriverKind::Pi | DriverKind::Acp | DriverKind::Llm => true,
    };
    if !config.mcp || !config.agents.values().any(calls) {
        return Ok(None);
    }
    let options = ListenerOptions {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        max_connections: mcp::agents::MAX_CONNECTIONS,
        // They all come from this machine.
        max_connections_per_address: 0,
        ..ListenerOptions::default()
    };
    let listener = Listener::bind(options).await;
    listener.map(Some).context("the port for agents")
}

/// Tells by health whether the store is well, and by the log when the clock was set, until it is aborted.
async fn tell_health(health: HealthReporter, store: Arc<dyn Store>) {
    let mut told = true;
    let mut stepped = 0;
    loop {
        tokio::time::sleep(HEALTH_LOOK_EVERY).await;
        let by = clock::stepped();
        if by.abs_diff(stepped) > clock::JUMP_MIN.as_micros() as u64 {
            stepped = by;
            let seconds = by / 1_000_000;
            warn!(
                seconds,
                "the system's clock was set; ages are measured without it until the next start"
            );
        }
        let well = !store.troubles().iter().any(Trouble::is_grave);
        if well == told {
            continue;
        }
        told = well;
        if well {
            health.set_serving::<GatewayServiceServer<Gateway>>().await;
        } else {
            health
                .set_not_serving::<GatewayServiceServer<Gateway>>()
                .await;
        }
        let status = if well {
            tonic_health::ServingStatus::Serving
        } else {
            tonic_health::ServingStatus::NotServing
        };
        health.set_service_status("", status).await;
    }
}

/// What those who collect metrics bring.
fn metrics_token(config: &Config) -> anyhow::Result<Option<SecretString>> {
    if config.no_auth || config.metrics_listen.is_none() {
        return Ok(None);
    }
    let named = config.metrics_token_file.as_deref();
    secret_files::metrics_token(&config.data_dir, named)
        .map(Some)
        .context("metrics_token_file")
}

async fn metrics_listener(config: &Config) -> anyhow::Result<Option<Listener>> {
    let Some(address) = config.metrics_listen else {
        return Ok(None);
    };
    let options = ListenerOptions {
        address,
        allowed_hosts: config.allowed_hosts.clone(),
        max_connections: scrape::MAX_CONNECTIONS,
        ..ListenerOptions::default()
    };
    let listener = Listener::bind(options).await;
    listener.map(Some).context("metrics_listen")
}

/// Tells metrics until the answer is dropped.
fn serve_metrics(
    listener: Listener,
    handle: PrometheusHandle,
    token: Option<SecretString>,
    store: Arc<dyn Store>,
) -> Serving {
    let address = listener.local_addr();
    let sample = move || {
        let store = store.clone();
        async move {
            // A store that does not answer has other ways to say so; the newest number stands.
            if let Ok(count) = store.session_count().await {
                metrics::get().sessions.set(count as f64);
            }
        }
    };
    let router = web::layered(
        scrape::router(handle.clone(), token, sample),
        web::Pages::None,
    );
    let serving = listener.serve(move |_| router.clone());
    for runtime in serving.runtimes() {
        runtime.spawn(scrape::upkeep(handle.clone()));
    }
    info!(%address, "telling metrics");
    serving
}

/// Takes a data directory's lock, which goes with its file.
fn take_lock(lock: &File, directory: &Path) -> anyhow::Result<()> {
    if rustix::fs::flock(lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(());
    }
    let mut holder = String::new();
    lock.take(32).read_to_string(&mut holder)?;
    Err(DataDirectoryLocked {
        directory: directory.to_owned(),
        holder: holder.trim().to_owned(),
    }
    .into())
}

/// Makes the directory where it is missing, locks it, and reads or makes the mark of this node's children.
fn take_data_directory(directory: &Path) -> anyhow::Result<(File, String)> {
    let named = || format!("can't use data directory {}", directory.display());
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(named)?;
    let mut lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(directory.join("lock"))
        .with_context(named)?;
    take_lock(&lock, directory)?;
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())?;
    let mark_file = directory.join("node");
    let mark = match fs::read_to_string(&mark_file) {
        Ok(mark) if Uuid::parse_str(mark.trim()).is_ok() => mark.trim().to_owned(),
        Ok(_) | Err(_) => {
            let mark = Uuid::now_v7().to_string();
            fs::write(&mark_file, &mark).with_context(named)?;
            mark
        }
    };
    // The directory itself may be an operator's, with a mode of its own; what agents keep is for nobody else.
    for name in Directories::BELOW {
        let below = directory.join(name);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&below)
            .and_then(|()| fs::set_permissions(&below, fs::Permissions::from_mode(0o700)))
            .with_context(named)?;
    }
    Ok((lock, mark))
}

fn memory_rules(config: &Config) -> MemoryRules {
    MemoryRules {
        scope_limit_items: i64::try_from(config.memory_scope_limit).unwrap_or(i64::MAX),
        tenant_limit_items: i64::try_from(config.memory_tenant_limit).unwrap_or(i64::MAX),
    }
}

/// The file that holds the server's own key of secrets, or the one that is named; `None` where the key itself is given.
fn memory_key_file(config: &Config) -> Option<PathBuf> {
    if !config.memory_key.is_empty() {
        return None;
    }
    Some(match config.memory_key_file.as_str() {
        "" => config.data_dir.join("memory.key"),
        named => PathBuf::from(named),
    })
}

/// Refuses to make another key where secrets are sealed with one that is gone: they would be lost without a word.
async fn require_memory_key(
    config: &Config,
    consent: Consent,
    store: &SqliteStore,
) -> anyhow::Result<()> {
    let Some(file) = memory_key_file(config) else {
        return Ok(());
    };
    if file.try_exists()? || consent.lose_secrets {
        return Ok(());
    }
    let sealed = Memory::has_secrets(store).await;
    let signing = store.has_webhook_secrets().await;
    anyhow::ensure!(
        !sealed.context("can't look for secrets")? && !signing.context("can't look for secrets")?,
        "the memory key {} is gone, and secrets are sealed with it. Put it back (it is not part of a backup of the \
         store), or make a new one and never read them again (quarterdeck serve --lose-secrets)",
        file.display()
    );
    Ok(())
}

/// The key that secrets are sealed with.
fn vault(config: &Config) -> anyhow::Result<Vault> {
    let own = config.data_dir.join("memory.key");
    if !config.memory_key.is_empty() {
        let key = config.memory_key.0.expose_secret();
        // What the server's own key has sealed would be lost without a word.
        let others = fs::read_to_string(&own).is_ok_and(|text| text.trim() != key.trim());
        anyhow::ensure!(
            !others,
            "memory_key is another key than {}, which has sealed the secrets so far; give that file's text as \
             memory_key, or move the file away and lose them",
            own.display()
        );
        return Vault::from_text(key).context("memory_key");
    }
    let file = memory_key_file(config).unwrap_or(own);
    Vault::open(&file).with_context(|| format!("can't use the memory key {}", file.display()))
}

/// Where the TLS files are; `None` where no TLS is spoken.
pub fn tls_options(config: &Config) -> Option<TlsOptions> {
    match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsOptions {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: config.tls_client_ca.clone(),
            client_required: config.tls_client_required,
        }),
        (None, _) | (_, None) => None,
    }
}

fn listener_options(config: &Config) -> ListenerOptions {
    let unix = match &config.listen_unix {
        SocketPath::Auto => Some(UnixOptions {
            path: config.data_dir.join(SOCKET_FILE),
            by_default: true,
        }),
        SocketPath::None => None,
        SocketPath::At(path) => Some(UnixOptions {
            path: path.clone(),
            by_default: false,
        }),
    };
    ListenerOptions {
        address: config.listen,
        tls: tls_options(config),
        unix,
        allowed_hosts: config.allowed_hosts.clone(),
        max_connections: config.max_connections,
        max_connections_per_address: config.max_connections_per_address,
        serve_threads: config.serve_threads.0,
    }
}

/// How agents are started, on no rung yet.
fn process_host(node_mark: &str) -> anyhow::Result<ProcessHost> {
    Ok(ProcessHost {
        keeper: std::env::current_exe().context("can't find our own program for the keeper")?,
        node_mark: node_mark.to_owned(),
        confinement: Confinement::default(),
        fence: None,
    })
}

fn drivers(
    config: &Config,
    host: &ProcessHost,
    mut confinements: BTreeMap<String, Confinement>,
    workers: &Arc<Hub>,
) -> anyhow::Result<BTreeMap<String, Arc<dyn Driver>>> {
    let selectors = worker_agents(config);
    let mut driver = |name: &str, agent: &AgentConfig| -> anyhow::Result<Arc<dyn Driver>> {
        let host = ProcessHost {
            confinement: confinements.remove(name).unwrap_or_default(),
            ..host.clone()
        };
        Ok(match agent.driver {
            DriverKind::Echo => Arc::new(Echo),
            DriverKind::Pi => Arc::new(PiDriver::new(pi_options(agent), host)),
            DriverKind::Acp => Arc::new(AcpDriver::new(acp_options(agent), host)),
            DriverKind::Llm => {
                let options =
                    llm::options(config, agent).with_context(|| format!("agents.{name}"))?;
                Arc::new(LlmDriver::new(options, host)?)
            }
            DriverKind::Worker => {
                let selector = selectors.get(name).cloned().unwrap_or_default();
                Arc::new(WorkerDriver::new(workers.clone(), selector))
            }
        })
    };
    config
        .agents
        .iter()
        .map(|(name, agent)| Ok((name.clone(), driver(name, agent)?)))
        .collect()
}

/// The users that agents' processes run as, where they have users of their own.
fn agent_users(isolation: &isolation::Found, node_mark: &str) -> Option<AgentUsers> {
    isolation.users.map(|range| {
        let agents = isolation.agents.iter().filter(|(_, agent)| agent.own_users);
        let names = agents.map(|(name, _)| name.clone()).collect();
        AgentUsers::new(range, names, node_mark.to_owned())
    })
}

/// What a worker runs on: its agents, isolated as a server's, and where they keep their files.
pub struct WorkerParts {
    /// The agents by name.
    pub drivers: BTreeMap<String, Arc<dyn Driver>>,
    /// What they can do here.
    pub capabilities: BTreeMap<String, Capabilities>,
    /// Where they keep their files.
    pub directories: Directories,
    /// Until when they may run.
    pub fence: Fence,
    /// Held until the process ends.
    _lock: File,
}

/// Builds the agents of that name from a worker's own configuration, and ends what an earlier life of it left running.
///
/// # Errors
/// [`DataDirectoryLocked`], or what stands in the way, for people.
pub async fn worker(config: &Config, agents: &[String]) -> anyhow::Result<WorkerParts> {
    let (lock, node_mark) = take_data_directory(&config.data_dir)?;
    let mut own = config.clone();
    own.agents.retain(|name, _| agents.contains(name));
    // There is no gateway beside them whose tools they could call.
    own.mcp = false;
    if let Some(missing) = agents.iter().find(|name| !own.agents.contains_key(*name)) {
        anyhow::bail!(
            "agent {missing} is not configured here; add [agents.{missing}] to the worker's configuration"
        );
    }
    let data = isolation::real(&own.data_dir)?;
    let fence = Fence::create(&data);
    let fence = fence.with_context(|| format!("can't write to {}", data.display()))?;
    let host = process_host(&node_mark)?;
    let isolation = isolation::find(&own, &host, None).await?;
    let users = agent_users(&isolation, &node_mark);
    let host = ProcessHost {
        fence: Some(fence.path().to_owned()),
        ..host
    };
    let none = Hub::new(lease_rules(&own));
    let drivers = drivers(&own, &host, isolation.agents, &none)?;
    for driver in drivers.values() {
        driver.sweep_leftovers().await;
    }
    let known = agents::known(&own, &drivers).into_iter();
    Ok(WorkerParts {
        capabilities: known
            .map(|(name, it)| (name, it.get().capabilities))
            .collect(),
        drivers,
        directories: Directories::new(&data, users),
        fence,
        _lock: lock,
    })
}

/// The agents that run on workers, and on which.
fn worker_agents(config: &Config) -> BTreeMap<String, Selector> {
    let agents = config.agents.iter();
    let agents = agents.filter(|(_, agent)| agent.driver == DriverKind::Worker);
    let selector = |(name, agent): (&String, &AgentConfig)| {
        let labels = agent.worker_labels.iter();
        let labels = labels.filter_map(|label| label.split_once('='));
        let selector = Selector {
            agent: name.clone(),
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            principals: agent.worker_principals.iter().cloned().collect(),
        };
        (name.clone(), selector)
    };
    agents.map(selector).collect()
}

fn lease_rules(config: &Config) -> LeaseRules {
    LeaseRules {
        heartbeat: config.worker_heartbeat,
        lease: config.worker_lease,
        stop_after: config.worker_stop_after,
        accept: config.worker_heartbeat,
        sticky_wait: config.worker_sticky_wait,
    }
}

/// How pi is run for an agent.
fn pi_options(agent: &AgentConfig) -> PiOptions {
    PiOptions {
        command: agent.command.clone(),
        arguments: agent.args.clone(),
        environment: agent.environment.0.clone().into_iter().collect(),
        template_directory: template_directory(Path::new(&agent.template_dir)),
        model: agent.model.clone(),
        thinking_level: agent.thinking_level.clone(),
        start_timeout: agent.start_timeout,
        stop_grace: AGENT_STOP_GRACE,
        limits: process_limits(agent),
    }
}

/// How an agent that speaks the Agent Client Protocol is run.
fn acp_options(agent: &AgentConfig) -> AcpOptions {
    let template = &agent.template_dir;
    AcpOptions {
        command: agent.command.clone(),
        arguments: agent.args.clone(),
        environment: agent.environment.0.clone().into_iter().collect(),
        template_directory: (!template.is_empty()).then(|| template.into()),
        model: agent.model.clone(),
        thinking_level: agent.thinking_level.clone(),
        mode: agent.mode.clone(),
        start_timeout: agent.start_timeout,
        stop_grace: AGENT_STOP_GRACE,
        limits: process_limits(agent),
    }
}

fn process_limits(agent: &AgentConfig) -> ProcessLimits {
    ProcessLimits {
        processes: agent.max_processes,
        open_files: agent.max_open_files,
        file_bytes: agent.max_file_bytes.0,
        memory_bytes: agent.max_memory_bytes.0,
    }
}

/// Where an agent's program lives, and what else its command line names.
fn program_places(config: &Config, agent: &AgentConfig) -> Vec<PathBuf> {
    match agent.driver {
        DriverKind::Echo | DriverKind::Worker => vec![],
        DriverKind::Llm => llm::program_places(config, agent),
        DriverKind::Pi => pi_options(agent).places(),
        DriverKind::Acp => acp_options(agent).places(),
    }
}

/// The embedding model that is configured.
fn embedder(config: &Config) -> anyhow::Result<Option<Arc<dyn Embedder>>> {
    if config.embeddings_url.is_empty() {
        return Ok(None);
    }
    let options = OpenAiOptions {
        url: config.embeddings_url.parse().context("embeddings_url")?,
        model: config.embeddings_model.clone(),
        key: config.embeddings_key.0.clone(),
        batch_texts: config.embeddings_batch,
        timeout: config.embeddings_timeout,
    };
    Ok(Some(Arc::new(OpenAiEmbedder::new(options)?)))
}

/// The named directory, or pi's own of the user that runs the server.
fn template_directory(named: &Path) -> Option<PathBuf> {
    if named.as_os_str().is_empty() {
        let own = std::env::home_dir()?.join(".pi/agent");
        own.is_dir().then_some(own)
    } else {
        Some(named.to_owned())
    }
}

fn rules(
    config: &Config,
    drivers: &BTreeMap<String, Arc<dyn Driver>>,
    known_agents: &BTreeMap<String, KnownAgent>,
    default_agent: String,
) -> anyhow::Result<StoreRules> {
    let agents = config.agents.iter().filter_map(|(name, agent)| {
        let rule = AgentRule {
            known: known_agents.get(name)?.clone(),
            commands_allowed: agent.commands_allowed.clone(),
            on_interrupt: agent.on_interrupt,
            max_attempts: i32::try_from(agent.max_attempts).unwrap_or(i32::MAX),
            operator_only: drivers.get(name)?.operator_only(),
            no_approver: agent.no_approver,
            tool_policy: agent.tool_policy.clone(),
            options_allowed: agent.options_allowed.clone(),
            question_ttl: agent.question_ttl,
        };
        Some((name.clone(), rule))
    });
    Ok(StoreRules {
        agents: agents.collect(),
        default_agent,
        primary_session: primary_key(config)?,
        quotas: LiveQuotas::new(live::quotas_of(config)),
        retention_events: i64::try_from(config.retention_events)?,
        retention_age: config.retention_age,
        history_retention: config.history_retention,
        prices: Arc::new(Prices::with(&config.prices.0)),
        disk_reserve: config.disk_reserve.0,
    })
}

fn cwd_roots(config: &Config) -> anyhow::Result<CwdRoots> {
    let mut all = BTreeMap::new();
    for (name, agent) in &config.agents {
        let resolve = |root: &PathBuf| {
            fs::canonicalize(root).with_context(|| {
                format!("agents.{name}.cwd_roots: {} can't be used", root.display())
            })
        };
        let roots = agent.cwd_roots.iter().map(resolve);
        all.insert(name.clone(), roots.collect::<anyhow::Result<_>>()?);
    }
    Ok(CwdRoots(all))
}

/// Refuses directories of agents that the data directory can't be kept out of.
fn lie_apart(config: &Config, cwd_roots: &CwdRoots) -> anyhow::Result<()> {
    let data = fs::canonicalize(&config.data_dir)
        .with_context(|| format!("can't resolve {}", config.data_dir.display()))?;
    let mut named: Vec<(String, PathBuf)> = Vec::new();
    for (agent, roots) in &cwd_roots.0 {
        let setting = format!("agents.{agent}.cwd_roots");
        named.extend(roots.iter().map(|root| (setting.clone(), root.clone())));
    }
    let own = (config.agents.iter()).map(|(name, agent)| {
        (
            format!("agents.{name}.isolation_read"),
            &agent.isolation_read,
        )
    });
    let all = [("isolation_read".to_owned(), &config.isolation_read)];
    for (setting, paths) in own.chain(all) {
        for path in paths {
            let resolved = fs::canonicalize(path)
                .with_context(|| format!("{setting}: {} can't be used", path.display()))?;
            named.push((setting.clone(), resolved));
        }
    }
    let named = named
        .iter()
        .map(|(setting, path)| (setting.clone(), path.as_path()));
    apart::check(&data, named)?;
    Ok(())
}

fn primary_key(config: &Config) -> anyhow::Result<SessionKey> {
    SessionKey::parse(&config.primary_session)
        .map_err(|problem| anyhow::anyhow!("primary_session {problem}"))
}

/// Settles what an earlier life left; waits for a store that does not answer at once.
async fn recover(store: &Arc<dyn Store>) -> anyhow::Result<()> {
    let give_up = tokio::time::Instant::now() + RECOVER_MAX;
    loop {
        match store.recover(clock::now()).await {
            Ok(recovered) => {
                let crate::store::Recovered {
                    ended,
                    requeued,
                    reset,
                } = recovered;
                info!(ended, requeued, reset, "recovered");
                return Ok(());
            }
            Err(Refusal::StoreUnavailable) if tokio::time::Instant::now() < give_up => {
                warn!("the store does not answer yet");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(refusal) => return Err(refusal).context("recovery failed"),
        }
    }
}

/// The default tenant's primary session exists from the start.
async fn make_primary(store: &Arc<dyn Store>, config: &Config) -> anyhow::Result<()> {
    let key = primary_key(config)?;
    let identity = Arc::new(Identity::unauthenticated());
    let found = store.session(&identity, &key).await;
    if found.is_ok() {
        return Ok(());
    }
    let caller = Caller {
        identity,
        key,
        request: None,
        expected_generation: None,
        now: clock::now(),
    };
    match store.create_session(caller, NewSession::default()).await {
        Ok(_) => Ok(()),
        // A full disk must not keep aborts and deletes from being served.
        Err(
            Refusal::StorageFull | Refusal::TooManySessions { .. } | Refusal::SessionExists { .. },
        ) => Ok(()),
        Err(refusal) => Err(refusal).context("can't make the primary session"),
    }
}
