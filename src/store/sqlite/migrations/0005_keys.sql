-- Keys that were made with a key end with it.

ALTER TABLE api_key ADD COLUMN made_with TEXT; -- key_id; NULL where it was made with another credential
CREATE INDEX api_key_made_with ON api_key (made_with) WHERE made_with IS NOT NULL;

-- The local user's key holds all scopes, those of later versions too. A list of names stays that list.
UPDATE api_key SET scopes = '*'
WHERE tenant = 'default' AND subject = 'local' AND created_by = 'default/local'
  AND display_name IN ('made at the first start', 'made by reset-admin')
  AND scopes = 'admin.config admin.keys admin.logs memory.read memory.write session.abort session.approve session.read '
            || 'session.reset session.steer session.write tenant.sessions worker.connect';
