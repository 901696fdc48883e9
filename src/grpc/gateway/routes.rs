//! Routes of a tenant: reading them, setting them, and trying them.

use super::Call;
use crate::{
    clock,
    domain::{
        limits::{ATTACHMENTS_MAX, NAME_MAX_BYTES, TEXT_MAX_BYTES},
        offers::split_model,
        refusal::Refusal,
        routing::etag,
    },
    grpc::admin::tenant_of,
    proto,
    store::{RequestKey, ResolveRoute, ResolvedRoute, SetRoutes},
    wire::{
        parse::{self, Fields},
        routing,
    },
};

// === impl Call ===

impl Call<'_> {
    pub(super) async fn list_routes(
        &self,
        request: proto::ListRoutesRequest,
    ) -> Result<proto::ListRoutesResponse, Refusal> {
        let mut fields = Fields::default();
        let tenant = tenant_of(&mut fields, &self.identity, &request.tenant);
        fields.check()?;
        let routes = self.store.routes(&tenant).await?;
        Ok(proto::ListRoutesResponse {
            etag: etag(&routes),
            routes: routes
                .iter()
                .map(|it| routing::route(it, &tenant))
                .collect(),
        })
    }

    pub(super) async fn set_routes(
        &self,
        mut request: proto::SetRoutesRequest,
    ) -> Result<proto::SetRoutesResponse, Refusal> {
        let request_id = std::mem::take(&mut request.request_id);
        let hash = parse::request_hash(&request);
        let proto::SetRoutesRequest {
            routes,
            etag,
            request_id: _,
            tenant,
        } = request;
        let mut fields = Fields::default();
        fields.request_id(&request_id);
        fields.text("etag", &etag, NAME_MAX_BYTES);
        let tenant = tenant_of(&mut fields, &self.identity, &tenant);
        let routes = fields.routes("routes", &tenant, routes);
        fields.check()?;
        let command = SetRoutes {
            caller: self.identity.clone(),
            request: (!request_id.is_empty()).then_some(RequestKey {
                request_id,
                method: "SetRoutes",
                hash,
            }),
            tenant,
            expected_etag: etag,
            routes,
            now: clock::now(),
        };
        let (etag, replayed) = self.store.set_routes(command).await?;
        Ok(proto::SetRoutesResponse { etag, replayed })
    }

    pub(super) async fn resolve_route(
        &self,
        request: proto::ResolveRouteRequest,
    ) -> Result<proto::ResolveRouteResponse, Refusal> {
        let proto::ResolveRouteRequest {
            text,
            attachment_types,
            labels,
            principal,
            source,
            agent,
            tenant,
        } = request;
        let mut fields = Fields::default();
        fields.text("text", &text, TEXT_MAX_BYTES);
        if attachment_types.len() > ATTACHMENTS_MAX {
            fields.wrong(
                "attachment_types",
                format!("must be at most {ATTACHMENTS_MAX}"),
            );
        }
        for (at, media_type) in attachment_types.iter().enumerate().take(ATTACHMENTS_MAX) {
            fields.text(
                &format!("attachment_types[{at}]"),
                media_type,
                NAME_MAX_BYTES,
            );
        }
        fields.labels("labels", &labels);
        fields.text("source", &source, NAME_MAX_BYTES);
        self.known_agent(&mut fields, "agent", &agent);
        let tenant = tenant_of(&mut fields, &self.identity, &tenant);
        let subject = if principal.is_empty() {
            Some(self.identity.principal.subject.clone())
        } else {
            fields.subject_of("principal", &tenant, &principal)
        };
        let subject = fields.finish(subject)?;
        let ask = ResolveRoute {
            tenant,
            agent,
            text,
            attachment_types,
            labels,
            subject,
            source,
        };
        let ResolvedRoute {
            agent,
            model,
            thinking_level,
            routing,
        } = self.store.resolve_route(ask).await?;
        let (provider, model_id) = split_model(&model);
        Ok(proto::ResolveRouteResponse {
            agent,
            provider: provider.to_owned(),
            model_id: model_id.to_owned(),
            thinking_level,
            routing: routing::routing(&routing),
        })
    }
}
