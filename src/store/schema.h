/* schema.h - the tables of the gateway's store, as steps from one version to the next.
 *
 * A released step is never changed; a new form is a new step.  Only store.c opens with it.
 */
#ifndef QANAT_STORE_SCHEMA_H
#define QANAT_STORE_SCHEMA_H

#include "db/db.h"

extern const struct db_schema store_schema;

#endif
