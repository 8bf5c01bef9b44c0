#include "store/schema.h"

/* Tables are STRICT: a value of another type is refused, not converted.  Addresses are kept in the
 * form that answers "lowest free" by an index: IPv4 as a number, IPv6 as its 16 bytes.  Names are
 * case-sensitive, as in the reference.  Times are nanoseconds since 1970, UTC.
 *
 * The CHECKs repeat the rules of model/client.h on purpose: whatever wrote the row, a row that the
 * model would refuse cannot be stored. */
static const char step_1[] =
	"CREATE TABLE settings ("
	"  name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),"
	"  value TEXT NOT NULL CHECK (length(CAST(value AS BLOB)) <= 4096)"
	") STRICT, WITHOUT ROWID;"

	/* Sealed: see crypto/seal.h.  A value is at least its overhead of 45 bytes and one more. */
	"CREATE TABLE secrets ("
	"  name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),"
	"  sealed BLOB NOT NULL CHECK (length(sealed) BETWEEN 46 AND 4141)"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE clients ("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT," /* an id is never given twice */
	"  name TEXT NOT NULL UNIQUE"
	"    CHECK (length(name) BETWEEN 1 AND 50 AND name NOT GLOB '*[^a-zA-Z0-9_-]*'),"
	"  ip INTEGER NOT NULL UNIQUE CHECK (ip BETWEEN 1 AND 4294967294),"
	"  ip6 BLOB UNIQUE CHECK (ip6 IS NULL OR length(ip6) = 16),"
	"  public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) = 32),"
	"  private_key BLOB NOT NULL CHECK (length(private_key) = 32 + 45),"
	"  psk BLOB NOT NULL CHECK (length(psk) = 32 + 45),"
	"  created_ns INTEGER NOT NULL,"
	"  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1))"
	") STRICT;"
	"CREATE INDEX clients_by_age ON clients (created_ns, id);";

/* Where and when a client was last seen, the place as endpoint_format writes it, so that a gateway that starts again
 * finds it.  In the client's own row: it goes with it. */
static const char step_2[] =
	"ALTER TABLE clients ADD COLUMN endpoint TEXT"
	"  CHECK (endpoint IS NULL OR length(endpoint) BETWEEN 9 AND 79);" /* 1.1.1.1:1 */
	"ALTER TABLE clients ADD COLUMN seen_ns INTEGER NOT NULL DEFAULT 0;";

/* What a client may use (model/limits.h); 0 is none.  Rates in bits a second, quotas in bytes. */
static const char step_3[] =
	"ALTER TABLE clients ADD COLUMN rate_up INTEGER NOT NULL DEFAULT 0 CHECK (rate_up >= 0);"
	"ALTER TABLE clients ADD COLUMN rate_down INTEGER NOT NULL DEFAULT 0"
	"  CHECK (rate_down >= 0);"
	"ALTER TABLE clients ADD COLUMN quota INTEGER NOT NULL DEFAULT 0 CHECK (quota >= 0);"
	"ALTER TABLE clients ADD COLUMN quota_used INTEGER NOT NULL DEFAULT 0"
	"  CHECK (quota_used >= 0);"
	"ALTER TABLE clients ADD COLUMN expires_ns INTEGER NOT NULL DEFAULT 0"
	"  CHECK (expires_ns >= 0);";

/* Clients that a backend made over the peer API, and what it said of them (model/api_peer.h).  Traffic is
 * a set of bits.  A client of IPv6 alone keeps its IPv4 address, so that both have one number. */
static const char step_4[] =
	"ALTER TABLE clients ADD COLUMN ipv6_only INTEGER NOT NULL DEFAULT 0"
	"  CHECK (ipv6_only = 0 OR (ipv6_only = 1 AND ip6 IS NOT NULL));"
	"CREATE TABLE api_peers ("
	"  client INTEGER PRIMARY KEY REFERENCES clients (id) ON DELETE CASCADE,"
	"  request_id TEXT NOT NULL"
	"    CHECK (length(CAST(request_id AS BLOB)) BETWEEN 1 AND 128),"
	"  protocol TEXT CHECK (protocol IN ('ipv4', 'ipv6', 'dual'))," /* NULL: none was given */
	"  traffic INTEGER NOT NULL CHECK (traffic BETWEEN 1 AND 3),"
	"  port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),"
	"  dns TEXT NOT NULL CHECK (length(dns) BETWEEN 1 AND 16)"
	") STRICT;";

/* The agent API: keepalives that the gateway sends to a client, and the configurations that an
 * interface has had (store/agent.h), sealed like the keys in them. */
static const char step_5[] =
	"ALTER TABLE clients ADD COLUMN keepalive_s INTEGER NOT NULL DEFAULT 0"
	"  CHECK (keepalive_s BETWEEN 0 AND 65535);"
	"CREATE TABLE agent_configs ("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT," /* an id is never given twice */
	"  interface TEXT NOT NULL CHECK (length(interface) BETWEEN 1 AND 15),"
	"  made_ns INTEGER NOT NULL,"
	"  author TEXT NOT NULL CHECK (length(CAST(author AS BLOB)) BETWEEN 1 AND 64),"
	"  source TEXT NOT NULL CHECK (length(CAST(source AS BLOB)) <= 80),"
	"  action TEXT NOT NULL CHECK (action IN ('update', 'rollback', 'found')),"
	"  config BLOB NOT NULL CHECK (length(config) BETWEEN 46 AND 32768 + 45),"
	"  changes TEXT NOT NULL CHECK (length(CAST(changes AS BLOB)) <= 65536)"
	") STRICT;"
	"CREATE INDEX agent_configs_by_interface ON agent_configs (interface, id);";

/* Further interfaces (store/tunnels.h).  A network of a peer is its family, its length and its address
 * without host bits: the same one cannot be that of two peers. */
static const char step_6[] =
	"CREATE TABLE tunnels ("
	"  name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 15),"
	"  port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),"
	"  mtu INTEGER NOT NULL CHECK (mtu BETWEEN 576 AND 65535),"
	"  addresses TEXT NOT NULL CHECK (length(addresses) BETWEEN 4 AND 512)," /* ::/0 */
	"  dns TEXT NOT NULL CHECK (length(dns) <= 100),"
	"  route_table TEXT NOT NULL CHECK (length(route_table) <= 15),"
	"  post_up TEXT NOT NULL CHECK (length(CAST(post_up AS BLOB)) <= 2040),"
	"  pre_down TEXT NOT NULL CHECK (length(CAST(pre_down AS BLOB)) <= 2040),"
	"  private_key BLOB NOT NULL CHECK (length(private_key) = 32 + 45),"
	"  enabled INTEGER NOT NULL DEFAULT 0 CHECK (enabled IN (0, 1)),"
	"  may_be_live INTEGER NOT NULL DEFAULT 0 CHECK (may_be_live IN (0, 1)),"
	"  hooks_live TEXT NOT NULL DEFAULT ''"
	"    CHECK (length(CAST(hooks_live AS BLOB)) <= 4096)"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE tunnel_peers ("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT," /* an id is never given twice */
	"  interface TEXT NOT NULL REFERENCES tunnels (name) ON DELETE CASCADE,"
	"  public_key BLOB NOT NULL CHECK (length(public_key) = 32),"
	"  psk BLOB NOT NULL CHECK (length(psk) = 32 + 45),"
	"  keepalive_s INTEGER NOT NULL CHECK (keepalive_s BETWEEN 0 AND 65535),"
	"  endpoint TEXT CHECK (endpoint IS NULL OR length(endpoint) BETWEEN 9 AND 79),"
	"  seen TEXT CHECK (seen IS NULL OR length(seen) BETWEEN 9 AND 79),"
	"  seen_ns INTEGER NOT NULL DEFAULT 0 CHECK (seen_ns >= 0),"
	"  UNIQUE (interface, public_key)"
	") STRICT;"
	"CREATE INDEX tunnel_peers_by_interface ON tunnel_peers (interface);"
	"CREATE TABLE tunnel_peer_ips ("
	"  interface TEXT NOT NULL,"
	"  network BLOB NOT NULL CHECK (length(network) IN (6, 18)),"
	"  peer INTEGER NOT NULL REFERENCES tunnel_peers (id) ON DELETE CASCADE,"
	"  position INTEGER NOT NULL CHECK (position BETWEEN 0 AND 63),"
	"  PRIMARY KEY (interface, network)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX tunnel_peer_ips_by_peer ON tunnel_peer_ips (peer, position);";

static const char *const steps[] = { step_1, step_2, step_3, step_4, step_5, step_6 };

const struct db_schema store_schema = {
	.application_id = 0x514e4154, /* "QNAT" */
	.steps = steps,
	.n = ARRAY_LEN(steps),
};
