/* What every cmocka test of this folder includes. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above. */
#include <cmocka.h>

#include "cleanup.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
