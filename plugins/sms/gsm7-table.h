/* The tables of 3GPP TS 23.038 version 18 as data: the default alphabet (6.2.1) with its extension
 * (6.2.1.1), and the national locking (annex A.3) and single shift tables (annex A.2). gsm7.h is
 * what others include. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "gsm7.h"

typedef struct Gsm7Shift {
        uint8_t septet;
        uint16_t character;
} Gsm7Shift;

typedef struct Gsm7Single {
        const Gsm7Shift *shifts; /* by rising septet */
        size_t n;
} Gsm7Single;

/* 128 code points each; 0 where the standard leaves a cell blank. A language without a locking
 * table of its own has the default alphabet. */
extern const uint16_t *const gsm7_locking[_GSM7_LANGUAGE_MAX];

/* What follows an escape. */
extern const Gsm7Single gsm7_single[_GSM7_LANGUAGE_MAX];
