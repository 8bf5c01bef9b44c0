#include "model/client.h"

/* Names that other parts of the reference use for themselves (details 1.2). */
static const char *const reserved[] = { "server", "admin", "root", "system", "ghost", "multihop" };

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

enum err_code client_name_check(struct str name, struct err *e)
{
	char shown[128];
	bool ok = true;

	text_escaped(shown, sizeof shown, name);
	if (name.n == 0)
		return err_set(e, ERR_INVALID, "the client name is empty: give 1 to %d characters",
			       CLIENT_NAME_MAX);
	if (name.n > CLIENT_NAME_MAX)
		return err_set(e, ERR_INVALID,
			       "client name \"%s\" has %zu bytes: at most %d are allowed", shown,
			       name.n, CLIENT_NAME_MAX);
	for (size_t i = 0; i < name.n; i++)
		ok = ok && is_name_char(name.p[i]);
	if (!ok)
		return err_set(e, ERR_INVALID,
			       "client name \"%s\": only letters a-z and A-Z, digits, '_' and '-' "
			       "are allowed",
			       shown);
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (str_eq_nocase(name, str_of(reserved[i])))
			return err_set(e, ERR_INVALID,
				       "client name \"%s\" is reserved: choose another", shown);
	}
	return ERR_OK;
}

/* Sets root[key] to `text`; a failure shows as a NULL root at the end. */
static bool set_text(json_t *root, const char *key, const char *text)
{
	return json_object_set_new(root, key, json_string(text)) == 0;
}

static bool set_key(json_t *root, const char *key, const uint8_t b[KEY_LEN])
{
	char text[KEY_TEXT_MAX];
	bool ok;

	base64_encode(text, b, KEY_LEN);
	ok = set_text(root, key, text);
	wipe(text, sizeof text);
	return ok;
}

static bool set_addresses(json_t *root, const struct client *c)
{
	char text[IP_TEXT_MAX];
	bool ok = set_text(root, "name", c->name);

	ip_format(text, &c->ip);
	ok = set_text(root, "ip", text) && ok;
	if (c->ip6.family != IP_NONE) {
		ip_format(text, &c->ip6);
		ok = set_text(root, "ipv6", text) && ok;
	}
	return ok;
}

static bool set_state(json_t *root, const struct client *c)
{
	char created[CLOCK_ISO_MAX];

	clock_iso_plain(created, c->created_ns);
	return set_text(root, "created", created) &&
	       json_object_set_new(root, "enabled", json_boolean(c->enabled)) == 0;
}

/* The order of the reference: add_client's client without secrets, export_client's with them. */
static bool set_fields(json_t *root, const struct client *c, bool secrets)
{
	if (!set_addresses(root, c))
		return false;
	if (!secrets)
		return set_key(root, "public_key", c->public_key.b) && set_state(root, c);
	return set_state(root, c) && set_key(root, "private_key", c->private_key.b) &&
	       set_key(root, "public_key", c->public_key.b) &&
	       set_key(root, "preshared_key", c->psk.b);
}

json_t *client_json(const struct client *c, bool secrets)
{
	json_t *root = json_object();

	if (!root)
		return NULL;
	if (!set_fields(root, c, secrets)) {
		json_decref(root);
		return NULL;
	}
	return root;
}

void client_done(struct client *c)
{
	wipe(&c->private_key, sizeof c->private_key);
	wipe(&c->psk, sizeof c->psk);
}
