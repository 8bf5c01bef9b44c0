/* modules.h - the command contract of a gateway: modules, actions, parameters, error codes.
 *
 * One table that the gateway checks requests against and the command line reads for help,
 * completion and manual.  Names: reference 000, details 1.1 and 1.2.
 */
#ifndef QANAT_API_MODULES_H
#define QANAT_API_MODULES_H

#include <jansson.h>

#include "base/err.h"
#include "base/text.h"

enum param_type { PARAM_TEXT, PARAM_INT, PARAM_BOOL, PARAM_ANY };

struct action_param {
	const char *name; /* NULL ends */
	enum param_type type;
	bool required;
	int64_t min, max; /* PARAM_INT: value; PARAM_TEXT: bytes; equal: not limited here */
	const char *fallback; /* as text, or NULL */
	const char *help;
};

#define ACTION_PARAMS_MAX 6

struct action {
	const char *module; /* NULL ends */
	const char *name;
	const char *help;
	bool writes; /* changes something */
	struct action_param params[ACTION_PARAMS_MAX + 1];
	bool local; /* over the control socket only: it shows keys, or reads files, as root may */
};

struct module {
	const char *name;
	const char *help;
};

extern const struct action api_actions[];
extern const struct module
	api_modules[]; /* in order core, dns, multihop, ghost; those that exist */

const struct action *api_action_find(struct str module, struct str name);
const struct action_param *api_param_find(const struct action *a, struct str name);
bool api_module_known(struct str module);
/* The nearest name, or NULL: "did you mean".  Valid as long as the tables. */
const char *api_module_nearest(struct str got);
const char *api_action_nearest(struct str module, struct str got);

/* Error codes of the envelope, such as "CLIENT_NOT_FOUND". */
enum api_code {
	API_OK = 0,
	API_PHANTOM_ERROR,
	API_CONFIG_ERROR,
	API_CONFIG_NOT_FOUND,
	API_CLIENT_ERROR,
	API_CLIENT_EXISTS,
	API_CLIENT_NOT_FOUND,
	API_INVALID_CLIENT_NAME,
	API_SERVICE_ERROR,
	API_SERVICE_NOT_RUNNING,
	API_SERVICE_OPERATION_FAILED,
	API_NETWORK_ERROR,
	API_IP_ALLOCATION_ERROR,
	API_PORT_IN_USE,
	API_MODULE_ERROR,
	API_MODULE_NOT_FOUND,
	API_ACTION_NOT_FOUND,
	API_VALIDATION_ERROR,
	API_MISSING_PARAMETER,
	API_INVALID_PARAMETER,
	API_PERMISSION_ERROR,
	API_INSUFFICIENT_PRIVILEGES,
	API_INTERNAL_ERROR,
	API_CODES,
};
const char *api_code_name(enum api_code c);

/* Why there is no such action, or no such module: message and *data (new reference) list what there
 * is. */
enum err_code api_not_found(struct str module, struct str action, enum api_code *code,
			    json_t **data, struct err *e);

/* Before any other use of jansson: what it frees is wiped, since answers hold private keys. */
void api_json_init(void);

/* JSON from outside nests no deeper; asked before it is parsed. */
#define API_JSON_DEPTH_MAX 32
bool api_json_depth_ok(struct str text);

/* Turns the text after '=' into a parameter value: parsed as JSON when the type is not text and
 * it parses whole, else the text itself; `null` for a text that may be absent is null.  New reference; NULL when `text` is not UTF-8 or without
 * memory. */
json_t *api_value_from_text(const struct action_param *p, struct str text);

/* Checks `params` (an object) against the action: unknown names (with the nearest), missing ones,
 * types, ranges; fills defaults in.  An explicit null counts as absent.  On failure *code and `e`
 * say what; unless memory ran out, nothing is changed.  Rules of single nouns (a client's name, which
 * settings there are) are the gateway's to check: they have codes of their own. */
MUST_CHECK enum err_code api_params_check(const struct action *a, json_t *params,
					  enum api_code *code, struct err *e);

#endif
