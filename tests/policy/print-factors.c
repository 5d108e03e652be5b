/* Prints who is stopped by the factors that are named, one attacker a line: `stopped NAME` or
 * `succeeds NAME`. What tests play through is policy/factor.c's table and no copy of it. */
#include <stdio.h>

#include "factor.h"

int main(int argc, char **argv) {
        uint32_t factors = 0;

        for (int i = 1; i < argc; i++) {
                if (factor_from_name(argv[i]) == 0)
                        return 2;
                factors |= factor_from_name(argv[i]);
        }
        for (FactorAttacker a = 0; a < FACTOR_ATTACKER_MAX; a++)
                (void) printf("%s %s\n",
                                factor_stops(factors, a) ? "stopped" : "succeeds",
                                factor_attacker_name(a));
        return 0;
}
