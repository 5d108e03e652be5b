/* A configuration of any bytes is accepted whole or refused with a problem, and what is accepted
 * can be compared. */
#include <assert.h>
#include <stdio.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(config_unrefp) Config *config = NULL, *again = NULL;
        _cleanup_(freep) char *text = strndup((const char *) data, size), *problems = NULL;
        ConfigDifference difference;
        int r;

        if (!text)
                return 0;
        r = config_parse(text, "fuzz", &config, &problems);
        assert(r == 0 || r == CONFIG_E_INVALID);
        assert((r == 0) == (config != NULL));
        assert((r == 0) == (problems == NULL));
        if (r != 0) {
                assert(problems[0]);
                return 0;
        }
        assert(config_parse(text, "fuzz", &again, &problems) == 0);
        assert(memcmp(config->fingerprint, again->fingerprint, sizeof(config->fingerprint)) == 0);
        assert(config_difference(config, again, &difference) == 0);
        assert(!difference.any && !difference.restart);
        config_difference_done(&difference);
        return 0;
}
