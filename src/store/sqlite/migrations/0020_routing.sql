-- Tenants' routes, and how turns were routed.

CREATE TABLE routes (
    tenant TEXT PRIMARY KEY,
    routes TEXT NOT NULL -- JSON, in their order; its hash is their etag
) STRICT;

ALTER TABLE session ADD COLUMN routing TEXT NOT NULL DEFAULT ''; -- JSON; empty where its tenant had no routes
ALTER TABLE turn ADD COLUMN routing TEXT NOT NULL DEFAULT '';
ALTER TABLE turn ADD COLUMN thinking_level TEXT NOT NULL DEFAULT '';
