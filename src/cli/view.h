/* view.h - the answer of an action as text for a person.
 *
 * Some actions have a view of their own (views.c); all others go through a generic one that
 * shows any JSON: objects as aligned names and values, arrays of objects as tables.  Every text
 * from the answer is escaped (term.h).  A view never fails on an unexpected shape: what it does
 * not find it leaves out.
 */
#ifndef QANAT_CLI_VIEW_H
#define QANAT_CLI_VIEW_H

#include <jansson.h>

#include "cli/term.h"

typedef void view_draw(struct buf *out, const struct term *t, json_t *data);

/* Appends the text for the `data` of a successful answer. */
void view_answer(struct buf *out, const struct term *t, struct str module, struct str action,
		 json_t *data);
/* Appends `value`, whatever it is, each line indented by `indent` spaces. */
void view_value(struct buf *out, const struct term *t, json_t *value, size_t indent);
/* The view of its own that an action has, or NULL. */
view_draw *view_find(struct str module, struct str action);

/* views_limits.c, for view_find */
view_draw view_client_why, view_client_limits;

/* Fields of an object; an absent one or one of another type is empty, false or 0. */
struct str view_field(json_t *object, const char *name);
bool view_flag(json_t *object, const char *name);
int64_t view_number(json_t *object, const char *name);
/* "1.2 MiB"; whole numbers below 1 KiB. */
void view_bytes(struct buf *out, int64_t bytes);
/* "interface", "total configured": the name of a field without underscores. */
void view_label(struct buf *out, const char *name);

#endif
