/* place.h - a directory of its own for each test of the store, and clients to put there. */
#ifndef QANAT_STORE_TESTS_PLACE_H
#define QANAT_STORE_TESTS_PLACE_H

#include <limits.h>

#include "base/tests/cm.h"
#include "store/store.h"

extern char place_base[64],
	place_dir[96]; /* the state directory is to be made inside of the base */

int place_make(void **state);
int place_remove(void **state); /* with the files in it */
void place_path(char out[PATH_MAX], const char *file);
struct store *place_opened(void);

/* With keys of its own, and the addresses 10.8.0.HOST and fd00::HOST. */
struct client client_named(const char *name, uint8_t host);
void client_add(struct store *s, const char *name, uint8_t host);
struct client client_stored(struct store *s, const char *name); /* without its secrets */
uint64_t client_count(struct store *s);

#define T(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)

#endif
