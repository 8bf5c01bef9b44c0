/* small_disk.h - steps of a test on a file system of its own: 512 KiB of memory. */
#ifndef QANAT_BASE_TESTS_SMALL_DISK_H
#define QANAT_BASE_TESTS_SMALL_DISK_H

#include <stdio.h>

#define SMALL_DISK_SKIP 77 /* of the steps: this cannot be had here */
/* For the steps, which have a struct err e. */
#define CHILD_CHECK(cond)                                                             \
	do {                                                                          \
		if (!(cond)) {                                                        \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, #cond, e.msg); \
			return 1;                                                     \
		}                                                                     \
	} while (0)

/* Runs `steps` in a child with mounts of its own, `dir` (0700) being the file system: they return 0.  The test
 * is skipped, with the reason printed, where that may not be mounted. */
void small_disk(const char *dir, int (*steps)(void));

#endif
