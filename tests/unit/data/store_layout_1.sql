BEGIN TRANSACTION;
CREATE TABLE load_balancers (
	id VARCHAR(36) NOT NULL,
	name VARCHAR(255) NOT NULL,
	provider VARCHAR(64) NOT NULL,
	generation INTEGER NOT NULL,
	desired TEXT NOT NULL,
	applied_generation INTEGER NOT NULL,
	applied TEXT,
	status VARCHAR(16) NOT NULL,
	cause TEXT,
	cause_operator TEXT,
	cause_object_id VARCHAR(36),
	attempts INTEGER NOT NULL,
	next_attempt FLOAT,
	delete_wanted BOOLEAN NOT NULL,
	failovers_wanted INTEGER NOT NULL,
	failovers_done INTEGER NOT NULL,
	holder VARCHAR(255),
	lease_expires FLOAT,
	created_at FLOAT NOT NULL,
	updated_at FLOAT NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "load_balancers" VALUES('00000000-0000-0000-0000-0000000003e8','web','memory',1,'{"id":"00000000-0000-0000-0000-0000000003e8","name":"web","admin_state_up":true,"tags":[],"description":"","project_id":"","provider":null,"flavor_id":null,"availability_zone":null,"vip_address":null,"vip_subnet_id":"00000000-0000-0000-0000-000000000007","vip_network_id":null,"vip_port_id":null,"vip_qos_policy_id":null,"vip_sg_ids":[],"additional_vips":[],"listeners":[],"pools":[]}',1,'{"id":"00000000-0000-0000-0000-0000000003e8","name":"web","admin_state_up":true,"tags":[],"description":"","project_id":"","provider":null,"flavor_id":null,"availability_zone":null,"vip_address":null,"vip_subnet_id":"00000000-0000-0000-0000-000000000007","vip_network_id":null,"vip_port_id":null,"vip_qos_policy_id":null,"vip_sg_ids":[],"additional_vips":[],"listeners":[],"pools":[]}','ACTIVE',NULL,NULL,NULL,0,NULL,0,0,0,NULL,NULL,100.0,100.0);
CREATE TABLE objects (
	id VARCHAR(36) NOT NULL,
	kind VARCHAR(16) NOT NULL,
	load_balancer_id VARCHAR(36) NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(load_balancer_id) REFERENCES load_balancers (id) ON DELETE CASCADE
);
INSERT INTO "objects" VALUES('00000000-0000-0000-0000-0000000003e8','loadbalancer','00000000-0000-0000-0000-0000000003e8');
CREATE TABLE records (
	kind VARCHAR(64) NOT NULL,
	id VARCHAR(255) NOT NULL,
	owner VARCHAR(36) NOT NULL,
	version INTEGER NOT NULL,
	data TEXT NOT NULL,
	PRIMARY KEY (kind, id)
);
INSERT INTO "records" VALUES('amphora','a1','00000000-0000-0000-0000-0000000003e8',1,'{"state": "READY"}');
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
CREATE INDEX ix_load_balancers_name ON load_balancers (name);
CREATE INDEX records_owner ON records (owner);
CREATE INDEX ix_objects_load_balancer_id ON objects (load_balancer_id);
COMMIT;
