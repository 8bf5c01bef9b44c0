/* The agent API's history. */
#include "store/tests/place.h"

#include "store/agent.h"

static bool configs_collect(void *ctx, const struct store_config *c)
{
	int64_t *ids = ctx;

	ids[++ids[0]] = c->id;
	assert_int_equal(c->config.n, 0);
	return true;
}

static void config_look(void *ctx, const struct store_config *c)
{
	*(bool *)ctx = str_eq(c->config, STR("{\"private_key\":\"secret\"}")) &&
		       str_eq(c->changes, STR("[]")) && strcmp(c->author, "0123abcd") == 0 &&
		       strcmp(c->source, "192.0.2.1") == 0 && strcmp(c->action, "update") == 0;
}

static void keeps_the_last_configurations(void **state)
{
	struct store_config c = { .made_ns = 7,
				  .author = "0123abcd",
				  .source = "192.0.2.1",
				  .action = "update",
				  .config = STR("{\"private_key\":\"secret\"}"),
				  .changes = STR("[]") };
	int64_t ids[STORE_CONFIGS_KEPT + 2] = { 0 }, id = 0;
	struct store *s = place_opened();
	struct err e = { 0 };
	bool same = false;

	(void)state;
	for (int i = 0; i < STORE_CONFIGS_KEPT + 5; i++)
		assert_int_equal(store_config_add(s, "wg_main", &c, &id, &e), ERR_OK);
	assert_int_equal(store_config_add(s, "other", &c, &id, &e), ERR_OK);
	store_close(s);
	s = place_opened();
	assert_int_equal(store_configs(s, "wg_main", configs_collect, ids, &e), ERR_OK);
	assert_int_equal(ids[0], STORE_CONFIGS_KEPT);
	assert_int_equal(ids[1], STORE_CONFIGS_KEPT + 5); /* newest first */
	assert_int_equal(store_config(s, "wg_main", ids[1], config_look, &same, &e), ERR_OK);
	assert_true(same);
	assert_int_equal(store_config(s, "wg_main", 1, config_look, &same, &e), ERR_NOT_FOUND);
	assert_int_equal(store_config(s, "other", ids[1], config_look, &same, &e), ERR_NOT_FOUND);
	c.config = STR("");
	assert_int_equal(store_config_add(s, "other", &c, &id, &e), ERR_RANGE);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(keeps_the_last_configurations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
