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

static bool set_secrets(json_t *root, const struct client *c)
{
	char text[KEY_TEXT_MAX];
	bool ok;

	base64_encode(text, c->private_key.b, KEY_LEN);
	ok = set_text(root, "private_key", text);
	base64_encode(text, c->psk.b, KEY_LEN);
	ok = set_text(root, "preshared_key", text) && ok;
	wipe(text, sizeof text);
	return ok;
}

static bool set_fields(json_t *root, const struct client *c)
{
	char text[MAX(MAX(IP_TEXT_MAX, CLOCK_ISO_MAX), KEY_TEXT_MAX)];
	bool ok = set_text(root, "name", c->name);

	ip_format(text, &c->ip);
	ok = set_text(root, "ip", text) && ok;
	if (c->ip6.family != IP_NONE) {
		ip_format(text, &c->ip6);
		ok = set_text(root, "ipv6", text) && ok;
	}
	public_key_text(text, &c->public_key);
	ok = set_text(root, "public_key", text) && ok;
	clock_iso_plain(text, c->created_ns);
	ok = set_text(root, "created", text) && ok;
	return json_object_set_new(root, "enabled", json_boolean(c->enabled)) == 0 && ok;
}

json_t *client_json(const struct client *c, bool secrets)
{
	json_t *root = json_object();

	if (!root)
		return NULL;
	if (!set_fields(root, c) || (secrets && !set_secrets(root, c))) {
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
