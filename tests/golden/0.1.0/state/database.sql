BEGIN TRANSACTION;
CREATE TABLE nexus_account_days (
	account_id INTEGER NOT NULL, 
	day INTEGER NOT NULL, 
	metric INTEGER NOT NULL, 
	value BIGINT NOT NULL, 
	correction BIGINT NOT NULL, 
	posts INTEGER NOT NULL, 
	flags INTEGER NOT NULL, 
	PRIMARY KEY (account_id, day, metric)
)
 WITHOUT ROWID

;
CREATE TABLE nexus_account_snapshots (
	account_id INTEGER NOT NULL, 
	slot INTEGER NOT NULL, 
	collected_ms BIGINT NOT NULL, 
	followers BIGINT, 
	posts BIGINT, 
	extra JSON, 
	PRIMARY KEY (account_id, slot)
)
 WITHOUT ROWID

;
CREATE TABLE nexus_account_weeks (
	account_id INTEGER NOT NULL, 
	iso_year INTEGER NOT NULL, 
	iso_week INTEGER NOT NULL, 
	metric INTEGER NOT NULL, 
	value BIGINT NOT NULL, 
	correction BIGINT NOT NULL, 
	days INTEGER NOT NULL, 
	final_days INTEGER NOT NULL, 
	flags INTEGER NOT NULL, 
	PRIMARY KEY (account_id, iso_year, iso_week, metric)
)
 WITHOUT ROWID

;
CREATE TABLE nexus_accounts (
	platform TEXT NOT NULL, 
	account TEXT NOT NULL, 
	state TEXT NOT NULL, 
	reason TEXT, 
	version INTEGER NOT NULL, 
	sealed TEXT, 
	scopes JSON NOT NULL, 
	expires_ms BIGINT, 
	created_ms BIGINT NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	PRIMARY KEY (platform, account)
);
INSERT INTO "nexus_accounts" VALUES('tiktok','ann','active',NULL,1,'nexus-sealed-1:88b56fd1:f8kvT0qyA7v4GXCgfBJOeaFJEmf0U9677L2E_TyQm_SwWX8_kOCwITZ57feksXNI6n4gP6ZndKw2nw9AkgCJ-HdGFYyagP_QRSC5bvpvXRq6l_itvflT_D-MPLxE_7XPmiKC5ows3uWLVgR3u4QrfI_6FSQ3ciw_zYsA9BGmtanv3YBnrDkZHDc0wrhGkrjt_CupxET2OYHvevts6S3QWA==','[]',NULL,1795738171917,1795738171917);
CREATE TABLE nexus_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT nexus_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "nexus_alembic_version" VALUES('0007');
CREATE TABLE nexus_analytics_accounts (
	id INTEGER NOT NULL, 
	platform TEXT NOT NULL, 
	account TEXT NOT NULL, 
	time_zone TEXT NOT NULL, 
	since_ms BIGINT NOT NULL, 
	seen_ms BIGINT NOT NULL, 
	rolled_ms BIGINT NOT NULL, 
	stale_day INTEGER, due_ms BIGINT, lease_ms BIGINT, listed_ms BIGINT, days_ms BIGINT, refusals JSON, round JSON, judged_day INTEGER, 
	PRIMARY KEY (id)
);
INSERT INTO "nexus_analytics_accounts" VALUES(1,'tiktok','ann','UTC',1795738172081,1795694400000,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE nexus_analytics_posts (
	id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	external_id TEXT NOT NULL, 
	published_ms BIGINT, 
	duration_ms BIGINT, 
	format TEXT, 
	gone_ms BIGINT, 
	stale_ms BIGINT, 
	opens_ms BIGINT, 
	sealed_day INTEGER, seen_ms BIGINT, due_ms BIGINT, title TEXT, url TEXT, picture_url TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "nexus_analytics_posts" VALUES(1,1,'post-1',1795694400000,NULL,NULL,NULL,1795694400000,NULL,NULL,1795694400000,1795695300000,'One',NULL,NULL);
CREATE TABLE nexus_anomalies (
	id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	post_id INTEGER, 
	event TEXT NOT NULL, 
	metric INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	day INTEGER NOT NULL, 
	since_day INTEGER NOT NULL, 
	value FLOAT NOT NULL, 
	expected FLOAT NOT NULL, 
	low FLOAT NOT NULL, 
	high FLOAT NOT NULL, 
	confidence FLOAT NOT NULL, 
	history INTEGER NOT NULL, 
	moved JSON NOT NULL, 
	posts JSON NOT NULL, 
	told_ms BIGINT, 
	PRIMARY KEY (id)
);
CREATE TABLE nexus_ledger (
	scope TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	state TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	lease_until_ms BIGINT NOT NULL, 
	attempt INTEGER NOT NULL, 
	outcome TEXT, 
	evidence JSON NOT NULL, 
	created_ms BIGINT NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	PRIMARY KEY (scope, "key")
);
INSERT INTO "nexus_ledger" VALUES('notification','golden-key-done#d693eb9f57cbb9c4f93a7b11b19853f5','settled','c18a68534e3f43dd8aef5f4512bebead',1795738261308,1,'accepted','{"provider": "file", "delivery_id": "dlv_d693eb9f57cbb9c4f93a7b11b19853f5", "template": null, "called_ms": 1795738171308, "provider_id": "dlv_d693eb9f57cbb9c4f93a7b11b19853f5.eml"}',1795738171308,1795738171317);
CREATE TABLE nexus_post_corrections (
	post_id INTEGER NOT NULL, 
	day INTEGER NOT NULL, 
	metric INTEGER NOT NULL, 
	value BIGINT NOT NULL, 
	PRIMARY KEY (post_id, day, metric)
)
 WITHOUT ROWID

;
CREATE TABLE nexus_post_days (
	post_id INTEGER NOT NULL, 
	day INTEGER NOT NULL, 
	flags INTEGER NOT NULL, 
	views BIGINT, 
	likes BIGINT, 
	comments BIGINT, 
	shares BIGINT, 
	saves BIGINT, 
	watch_ms BIGINT, 
	PRIMARY KEY (post_id, day)
)
 WITHOUT ROWID

;
CREATE TABLE nexus_post_snapshots (
	post_id INTEGER NOT NULL, 
	slot INTEGER NOT NULL, 
	collected_ms BIGINT NOT NULL, 
	views BIGINT, 
	reach BIGINT, 
	likes BIGINT, 
	comments BIGINT, 
	shares BIGINT, 
	saves BIGINT, 
	watch_ms BIGINT, 
	states INTEGER NOT NULL, 
	extra JSON, 
	PRIMARY KEY (post_id, slot)
)
 WITHOUT ROWID

;
INSERT INTO "nexus_post_snapshots" VALUES(1,498804,1795694400000,90,NULL,NULL,NULL,NULL,NULL,NULL,5460,NULL);
CREATE TABLE nexus_preferences (
	user_id TEXT NOT NULL, 
	category TEXT NOT NULL, 
	channel TEXT NOT NULL, 
	wanted BOOLEAN NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	PRIMARY KEY (user_id, category, channel)
);
CREATE TABLE nexus_publications (
	id TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	platform TEXT NOT NULL, 
	account TEXT, 
	state TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	owner TEXT, 
	lease_until_ms BIGINT NOT NULL, 
	request JSON NOT NULL, 
	sealed TEXT, 
	checkpoint TEXT NOT NULL, 
	attempt JSON, 
	attempts INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	remote_id TEXT, 
	url TEXT, 
	error JSON, 
	notes JSON NOT NULL, 
	steps JSON NOT NULL, 
	publish_ms BIGINT, 
	due_ms BIGINT, 
	job TEXT, 
	created_ms BIGINT NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "nexus_publications" VALUES('b08fda492ace4af1ad128b51a536f254','golden-key','tiktok',NULL,'scheduled','prepare',1,NULL,0,'{"content": {"title": "Golden"}, "settings": {}}','nexus-sealed-1:88b56fd1:WSzoWV1QfhGxRnWH9yLxHzdmYlZJ9asy1h65BF3JF1Od898xh8mGpYhW','nexus-sealed-1:88b56fd1:qwAfNpoy5l511SJ8M2VcCMo3Ijxp5pCFJod7ZfAp',NULL,0,0,NULL,NULL,NULL,'[]','{}',1893456000000,1893456000000,NULL,1795738171920,1795738171920);
CREATE TABLE nexus_reported_days (
	account_id INTEGER NOT NULL, 
	post_id INTEGER NOT NULL, 
	day INTEGER NOT NULL, 
	metric INTEGER NOT NULL, 
	value BIGINT, 
	state INTEGER NOT NULL, 
	collected_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, post_id, day, metric)
)
 WITHOUT ROWID

;
CREATE TABLE nexus_reports (
	id TEXT NOT NULL, 
	request TEXT NOT NULL, 
	period TEXT NOT NULL, 
	since_day INTEGER NOT NULL, 
	until_day INTEGER NOT NULL, 
	body JSON NOT NULL, 
	files JSON NOT NULL, 
	created_ms BIGINT NOT NULL, 
	told_ms BIGINT, 
	PRIMARY KEY (id)
);
CREATE TABLE nexus_suppressions (
	channel TEXT NOT NULL, 
	address TEXT NOT NULL, 
	category TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	source TEXT NOT NULL, 
	since_ms BIGINT NOT NULL, 
	PRIMARY KEY (channel, address, category)
);
INSERT INTO "nexus_suppressions" VALUES('email','nobody@example.com','','manual','test',1795738171927);
CREATE INDEX nexus_ledger_by_state ON nexus_ledger (scope, state, lease_until_ms);
CREATE INDEX nexus_accounts_by_expiry ON nexus_accounts (expires_ms);
CREATE UNIQUE INDEX nexus_publications_by_key ON nexus_publications ("key");
CREATE INDEX nexus_publications_by_due ON nexus_publications (due_ms);
CREATE UNIQUE INDEX nexus_analytics_accounts_by_name ON nexus_analytics_accounts (platform, account);
CREATE UNIQUE INDEX nexus_analytics_posts_by_name ON nexus_analytics_posts (account_id, external_id);
CREATE INDEX nexus_analytics_posts_by_account ON nexus_analytics_posts (account_id, id);
CREATE INDEX nexus_analytics_accounts_by_due ON nexus_analytics_accounts (due_ms);
CREATE INDEX nexus_analytics_posts_by_due ON nexus_analytics_posts (account_id, due_ms);
CREATE UNIQUE INDEX nexus_anomalies_by_event ON nexus_anomalies (account_id, event);
CREATE INDEX nexus_anomalies_by_day ON nexus_anomalies (account_id, day);
CREATE UNIQUE INDEX nexus_reports_by_request ON nexus_reports (request);
COMMIT;
