/* One text of second letters for each first one. */
#include "country.h"

#include <stddef.h>
#include <string.h>

#include "cleanup.h"

/* By the first letter, the second ones. */
static const char *const codes['Z' - 'A' + 1] = {
        ['A' - 'A'] = "CDEFGILMORSTUWXZ",
        ['B' - 'A'] = "ABDEFGHIJLMNOQRSTWYZ",
        ['C' - 'A'] = "ACDFGHIKLMNORUVWXYZ",
        ['D' - 'A'] = "EJKMOZ",
        ['E' - 'A'] = "CEGHRST",
        ['F' - 'A'] = "IJKMOR",
        ['G' - 'A'] = "ABDEFGHILMNPQRTUWY",
        ['H' - 'A'] = "KNRTU",
        ['I' - 'A'] = "DELMNOQRST",
        ['J' - 'A'] = "EMOP",
        ['K' - 'A'] = "EGHIMNPRWYZ",
        ['L' - 'A'] = "ABCIKRSTUVY",
        ['M' - 'A'] = "ACDEFGHKLMNOPQRSTUVWXYZ",
        ['N' - 'A'] = "ACEFGILOPRUZ",
        ['O' - 'A'] = "M",
        ['P' - 'A'] = "AEFGHKLMRSTWY",
        ['Q' - 'A'] = "A",
        ['R' - 'A'] = "EOSUW",
        ['S' - 'A'] = "ABCDEGHIJKLMNORSTVXYZ",
        ['T' - 'A'] = "ACDGHJKLMNORTVWZ",
        ['U' - 'A'] = "AGSYZ",
        ['V' - 'A'] = "ACEGINU",
        ['W' - 'A'] = "FS",
        ['X' - 'A'] = "K",
        ['Y' - 'A'] = "ET",
        ['Z' - 'A'] = "AMW",
};

bool country_is_known(const char *code) {
        return code[0] >= 'A' && code[0] <= 'Z' && code[1] && !code[2] &&
               strchr(codes[code[0] - 'A'], code[1]);
}

const char *country_meant(const char *code) {
        static const struct {
                const char *written, *meant;
        } others[] = { { "UK", "GB" }, { "EL", "GR" } };

        for (size_t i = 0; i < N_ELEMENTS(others); i++)
                if (streq(code, others[i].written))
                        return others[i].meant;
        return NULL;
}
