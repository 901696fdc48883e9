//! Tenants' routes, compiled, as far as somebody asked for them lately. Who holds them is the only one who changes them, so what
//! is kept is true; what a transaction changes is forgotten where it is taken back.

use crate::domain::routing::RouteTable;
use std::{collections::HashMap, sync::Arc};

/// Tenants that are kept.
const TENANTS_MAX: usize = 4096;
/// Tenants with routes that are kept; compiled patterns may be large.
const TABLES_MAX: usize = 64;

/// The routes that are kept.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    kept: HashMap<String, Arc<RouteTable>>,
    tables: usize,
    /// The open transaction has changed some.
    changed: bool,
}

// === impl Routes ===

impl Routes {
    /// A tenant's, if they are kept.
    pub(crate) fn of(&self, tenant: &str) -> Option<Arc<RouteTable>> {
        self.kept.get(tenant).map(Arc::clone)
    }

    /// Keeps what a tenant's rows say.
    pub(crate) fn keep(&mut self, tenant: &str, table: Arc<RouteTable>) {
        let more = usize::from(!table.is_empty());
        if self.kept.len() >= TENANTS_MAX || self.tables + more > TABLES_MAX {
            self.kept.clear();
            self.tables = 0;
        }
        self.tables += more;
        self.kept.insert(tenant.to_owned(), table);
    }

    /// The open transaction changes a tenant's rows.
    pub(crate) fn change(&mut self, tenant: &str) {
        self.changed = true;
        if let Some(gone) = self.kept.remove(tenant) {
            self.tables -= usize::from(!gone.is_empty());
        }
    }

    /// The transaction is committed.
    pub(crate) fn settle(&mut self) {
        self.changed = false;
    }

    /// The transaction, or a part of it, is taken back.
    pub(crate) fn undo(&mut self) {
        if self.changed {
            self.kept.clear();
            self.tables = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::routing::Route;

    fn table() -> Arc<RouteTable> {
        Arc::new(RouteTable::new(vec![Route::default()]).expect("it has no pattern"))
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_taken_back_is_forgotten() {
        let mut routes = Routes::default();
        for tenant in 0..10 * TABLES_MAX {
            routes.keep(&tenant.to_string(), table());
            assert!(routes.tables <= TABLES_MAX);
        }
        routes.undo();
        assert!(routes.tables > 0, "nothing was changed");
        routes.change("a");
        routes.keep("a", table());
        routes.undo();
        assert!(
            routes.of("a").is_none(),
            "its rows may say what was taken back"
        );
        routes.change("a");
        routes.keep("a", table());
        routes.settle();
        routes.undo();
        assert!(routes.of("a").is_some());
    }
}
