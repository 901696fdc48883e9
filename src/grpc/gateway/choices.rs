//! What can be chosen for a session, and choosing it: `ModelService`, and the options of `GatewayService`.

use super::{Answer, Call, Gateway, answer};
use crate::{
    domain::{
        ids::SessionKey,
        limits::NAME_MAX_BYTES,
        offers::{Choice, VALUE_MAX_BYTES, join_model},
        refusal::Refusal,
        session::Session,
    },
    proto::{self, model_service_server::ModelService},
    store::{Caller, Choose, Committed, KeptOffers},
    wire::{
        encode::{self, timestamp},
        offers,
        parse::Fields,
    },
};
use tonic::{Request, async_trait};

// === impl Call ===

impl Call<'_> {
    async fn list_models(
        &self,
        request: proto::ListModelsRequest,
    ) -> Result<proto::ListModelsResponse, Refusal> {
        let proto::ListModelsRequest { session_key, agent } = request;
        let mut fields = Fields::default();
        if session_key.is_empty() {
            self.known_agent(&mut fields, "agent", &agent);
            fields.check()?;
            let agent = if agent.is_empty() {
                self.default_agent.clone()
            } else {
                agent
            };
            let tenant = &self.identity.principal.tenant;
            let kept = self.store.offers(tenant, &agent, None).await?;
            let default = kept.as_ref().map(|kept| kept.offers.default_model.as_str());
            let current = offers::in_use(default.unwrap_or_default(), "");
            return Ok(models(agent, current, kept));
        }
        if !agent.is_empty() {
            fields.wrong("agent", "can't stand beside a session_key");
        }
        let key = fields.session_key("session_key", &session_key);
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        let kept = self.offers_of(&session).await?;
        let current = offers::in_use(&session.used_model, &session.used_thinking_level);
        Ok(models(session.agent.clone(), current, kept))
    }

    pub(super) async fn set_model(
        &self,
        mut request: proto::SetModelRequest,
    ) -> Result<proto::SetModelResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.request_id(&request.request_id);
        let proto::SetModelRequest {
            provider, model_id, ..
        } = &request;
        let model = join_model(provider, model_id);
        fields.text("model_id", &model, NAME_MAX_BYTES);
        if model_id.is_empty() && !provider.is_empty() {
            fields.wrong("model_id", "must not be empty beside a provider");
        }
        if provider.contains('/') {
            fields.wrong(
                "provider",
                "has no slash; what is behind it belongs to model_id",
            );
        }
        let key = fields.finish(key)?;
        let request_id = std::mem::take(&mut request.request_id);
        let expected = request.expected_generation;
        let caller = self.caller(key, "SetModel", request_id, &request, expected);
        let committed = self.choose(caller.await?, Choice::Model(model)).await?;
        Ok(proto::SetModelResponse {
            session: Some(encode::session(&committed.session)),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    pub(super) async fn set_thinking_level(
        &self,
        mut request: proto::SetThinkingLevelRequest,
    ) -> Result<proto::SetThinkingLevelResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.request_id(&request.request_id);
        fields.text("level", &request.level, NAME_MAX_BYTES);
        let key = fields.finish(key)?;
        let request_id = std::mem::take(&mut request.request_id);
        let expected = request.expected_generation;
        let caller = self.caller(key, "SetThinkingLevel", request_id, &request, expected);
        let choice = Choice::ThinkingLevel(request.level.clone());
        let committed = self.choose(caller.await?, choice).await?;
        Ok(proto::SetThinkingLevelResponse {
            session: Some(encode::session(&committed.session)),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    pub(super) async fn list_options(
        &self,
        request: proto::ListOptionsRequest,
    ) -> Result<proto::ListOptionsResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        let key = fields.finish(key)?;
        let session = self.session(&key).await?;
        let Some(kept) = self.offers_of(&session).await? else {
            return Ok(proto::ListOptionsResponse::default());
        };
        let chosen = |id: &str| session.options.get(id).cloned().unwrap_or_default();
        let allowed = self.options_allowed.get(&session.agent);
        let needs_approval = |id: &str| !allowed.is_some_and(|all| all.iter().any(|it| it == id));
        Ok(proto::ListOptionsResponse {
            options: offers::options(&kept.offers, chosen, needs_approval),
            as_of: Some(timestamp(kept.time)),
        })
    }

    pub(super) async fn set_option(
        &self,
        mut request: proto::SetOptionRequest,
    ) -> Result<proto::SetOptionResponse, Refusal> {
        let mut fields = Fields::default();
        let key = fields.session_key("session_key", &request.session_key);
        fields.request_id(&request.request_id);
        if request.option_id.is_empty() {
            fields.wrong(
                "option_id",
                "must not be empty; ListOptions has those that there are",
            );
        }
        fields.text("option_id", &request.option_id, NAME_MAX_BYTES);
        fields.text("value", &request.value, VALUE_MAX_BYTES);
        let key = fields.finish(key)?;
        let request_id = std::mem::take(&mut request.request_id);
        let expected = request.expected_generation;
        let caller = self.caller(key, "SetOption", request_id, &request, expected);
        let choice = Choice::Option {
            option_id: request.option_id.clone(),
            value: request.value.clone(),
        };
        let committed = self.choose(caller.await?, choice).await?;
        Ok(proto::SetOptionResponse {
            session: Some(encode::session(&committed.session)),
            seq: committed.receipt.seq,
            replayed: committed.replayed,
            log_id: committed.session.log_id.to_string(),
        })
    }

    async fn choose(&self, caller: Caller, choice: Choice) -> Result<Committed, Refusal> {
        let refused = self.known_to_be_missing(&caller.key, &choice).await?;
        let command = Choose {
            caller,
            choice,
            refused,
        };
        self.store.choose(command).await
    }

    /// Why a choice can't be made, where the agent has told that.
    async fn known_to_be_missing(
        &self,
        key: &SessionKey,
        choice: &Choice,
    ) -> Result<Option<Refusal>, Refusal> {
        let session = match self.session(key).await {
            Ok(session) => session,
            // For the store to say, which knows repeats.
            Err(Refusal::SessionNotFound { .. } | Refusal::SessionDeleted { .. }) => {
                return Ok(None);
            }
            Err(refusal) => return Err(refusal),
        };
        let kept = self.offers_of(&session).await?;
        // What another session's agent told need not hold where this one has a directory of its own, with settings in it.
        let holds = |kept: &KeptOffers| kept.of_session || session.cwd.is_empty();
        let refused = kept.filter(holds).and_then(|kept| {
            let refused = kept.offers.require(&session.choices(), choice);
            refused.err()
        });
        Ok(refused)
    }

    async fn offers_of(&self, session: &Session) -> Result<Option<KeptOffers>, Refusal> {
        let Session {
            tenant, agent, row, ..
        } = session;
        self.store.offers(tenant, agent, Some(*row)).await
    }
}

fn models(
    agent: String,
    current: Option<proto::ModelInUse>,
    kept: Option<KeptOffers>,
) -> proto::ListModelsResponse {
    let models = kept.as_ref().map(|kept| &kept.offers.models[..]);
    proto::ListModelsResponse {
        agent,
        models: models
            .unwrap_or_default()
            .iter()
            .map(offers::model)
            .collect(),
        current,
        as_of: kept.map(|kept| timestamp(kept.time)),
    }
}

#[async_trait]
impl ModelService for Gateway {
    async fn list_models(
        &self,
        request: Request<proto::ListModelsRequest>,
    ) -> Answer<proto::ListModelsResponse> {
        answer(self.call(&request).list_models(request.into_inner()).await)
    }

    async fn set_model(
        &self,
        request: Request<proto::SetModelRequest>,
    ) -> Answer<proto::SetModelResponse> {
        answer(self.call(&request).set_model(request.into_inner()).await)
    }

    async fn set_thinking_level(
        &self,
        request: Request<proto::SetThinkingLevelRequest>,
    ) -> Answer<proto::SetThinkingLevelResponse> {
        answer(
            self.call(&request)
                .set_thinking_level(request.into_inner())
                .await,
        )
    }

    async fn list_routes(
        &self,
        request: Request<proto::ListRoutesRequest>,
    ) -> Answer<proto::ListRoutesResponse> {
        answer(self.call(&request).list_routes(request.into_inner()).await)
    }

    async fn set_routes(
        &self,
        request: Request<proto::SetRoutesRequest>,
    ) -> Answer<proto::SetRoutesResponse> {
        answer(self.call(&request).set_routes(request.into_inner()).await)
    }

    async fn resolve_route(
        &self,
        request: Request<proto::ResolveRouteRequest>,
    ) -> Answer<proto::ResolveRouteResponse> {
        answer(
            self.call(&request)
                .resolve_route(request.into_inner())
                .await,
        )
    }
}
