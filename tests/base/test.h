/* cmocka with the headers it needs first, quiet about the state argument that our tests do not use.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cleanup.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
