/* cm.h - cmocka with the headers that it wants before itself. */
#ifndef QANAT_BASE_TESTS_CM_H
#define QANAT_BASE_TESTS_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/defs.h"

#endif
