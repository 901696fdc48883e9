//! Tenants' routes: a row each, with all of them.

use super::{
    fault::{Answer, Fault},
    requests,
    writer::Unit,
};
use crate::{
    domain::{
        Refusal,
        ids::SessionRow,
        routing::{self, Asked, Route, RouteTable, Routing},
    },
    store::{
        ResolveRoute, ResolvedRoute, SetRoutes,
        core::{
            decide::routing::{Routed, Whose, resolve},
            facts::Facts,
        },
    },
};
use rusqlite::{Connection, OptionalExtension as _};

/// A tenant's, in their order.
pub(super) fn of_tenant(connection: &Connection, tenant: &str) -> Answer<Vec<Route>> {
    let found: Option<String> = connection
        .prepare_cached("SELECT routes FROM routes WHERE tenant = ?1")?
        .query_row([tenant], |row| row.get(0))
        .optional()?;
    match found {
        None => Ok(Vec::new()),
        Some(text) => {
            serde_json::from_str(&text).map_err(|error| Fault::Broken(format!("routes: {error}")))
        }
    }
}

/// A tenant's, ready to be asked.
pub(super) fn table(connection: &Connection, tenant: &str) -> Answer<RouteTable> {
    let table = RouteTable::new(of_tenant(connection, tenant)?);
    table.map_err(|problem| Fault::Broken(format!("routes: {problem}")))
}

/// Replaces a tenant's, once per request; says what they are called then.
pub(super) fn set(unit: &mut Unit<'_>, command: &SetRoutes) -> Answer<(String, bool)> {
    let SetRoutes {
        caller,
        request,
        tenant,
        expected_etag,
        routes,
        now,
    } = command;
    let request = request.as_ref();
    requests::once_for(unit, &caller.principal, "routes", request, *now, |unit| {
        let present = routing::etag(&of_tenant(unit.connection, tenant)?);
        if !expected_etag.is_empty() && *expected_etag != present {
            return Err(Refusal::RoutesChanged { etag: present }.into());
        }
        let text =
            serde_json::to_string(routes).map_err(|error| Fault::Broken(error.to_string()))?;
        if routes.is_empty() {
            unit.sql("DELETE FROM routes WHERE tenant = ?1")?
                .execute([tenant])?;
        } else {
            unit.sql(
                "INSERT INTO routes (tenant, routes) VALUES (?1, ?2) \
                 ON CONFLICT (tenant) DO UPDATE SET routes = excluded.routes",
            )?
            .execute((tenant, text))?;
        }
        unit.routes_changed(tenant);
        Ok(routing::etag(routes))
    })
}

/// What a tenant's routes would do.
pub(super) fn resolve_one(unit: &mut Unit<'_>, ask: &ResolveRoute) -> Answer<ResolvedRoute> {
    let ResolveRoute {
        tenant,
        agent,
        text,
        attachment_types,
        labels,
        subject,
        source,
    } = ask;
    let facts = Facts {
        routes: unit.routes_of(tenant)?,
        ..Facts::default()
    };
    let types: Vec<&str> = attachment_types.iter().map(String::as_str).collect();
    let whose = Whose {
        tenant,
        agent: Some(agent.as_str()).filter(|agent| !agent.is_empty()),
        session: None::<SessionRow>,
        model: "",
        thinking_level: "",
        has_cwd: false,
    };
    let asked = Asked {
        text,
        attachment_types: &types,
        labels,
        subject,
        source,
    };
    let Routed {
        agent,
        model,
        thinking_level,
        routing,
    } = unit.decide(None, None, facts, |ctx, facts, _| {
        resolve(ctx, facts, &whose, asked)
    })?;
    Ok(ResolvedRoute {
        agent,
        model,
        thinking_level,
        routing,
    })
}

/// How something was routed, as a column; empty where no routes were.
pub(super) fn routing_text(routing: &Routing) -> String {
    if *routing == Routing::default() {
        String::new()
    } else {
        serde_json::to_string(routing).expect("texts are always JSON")
    }
}

/// How something was routed, from its column.
pub(super) fn routing_of(text: &str) -> Answer<Routing> {
    if text.is_empty() {
        return Ok(Routing::default());
    }
    serde_json::from_str(text).map_err(|error| Fault::Broken(format!("routing: {error}")))
}
