/* fault.h - named points where a test build may fail or die; nothing at all in a release.
 *
 * In a build with -Dfault_points=true the environment decides: QANAT_FAULT=name[:k] makes the
 * k-th (default first) passing of FAULT("name") true, QANAT_CRASH=name[:k] kills the process
 * with SIGKILL there, QANAT_CRASH_AT=k at the k-th passing of any point, QANAT_FAULT_TRACE=1
 * prints each passing to stderr.  QANAT_FAULT_COUNTER=FILE has the processes of a program count together in
 * that file.  A test proves that a release holds none of it.
 */
#ifndef QANAT_BASE_FAULT_H
#define QANAT_BASE_FAULT_H

#include "base/defs.h"

#ifdef QANAT_FAULT_POINTS
bool fault_point(const char *name);
/* Reads the environment again and counts from zero: for tests that try every k in one process. */
void fault_reload(void);
#define FAULT(name) fault_point(name)
#else
#define FAULT(name) false
#endif

#endif
