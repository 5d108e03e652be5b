/* Who waits for a change is woken by nothing else. */
#include "test.h"

#include <stdlib.h>

#include "world.h"

static unsigned sorts_of_nothing;

/* In place of libc's, to which even nothing must be given with a place. */
void qsort(void *base, size_t nmemb, size_t size, int (*compar)(const void *, const void *)) {
        unsigned char *bytes = base;

        sorts_of_nothing += nmemb == 0;
        for (size_t i = 1; i < nmemb; i++)
                for (size_t k = i; k > 0 && compar(bytes + (k - 1) * size, bytes + k * size) > 0;
                                k--)
                        for (size_t b = 0; b < size; b++) {
                                unsigned char kept = bytes[k * size + b];

                                bytes[k * size + b] = bytes[(k - 1) * size + b];
                                bytes[(k - 1) * size + b] = kept;
                        }
}

static void an_event_of_a_share_that_nobody_noted_sorts_nothing(void **state) {
        World *w = *state;
        Share share = world_share(1, LIFECYCLE_INVITED);

        share_note(&share, 1, TIMELINE_CREATED, 0, 0);
        assert_int_equal(store_share_insert(w->gateway->store, &share), 0);
        sorts_of_nothing = 0;
        watchers_publish(w->gateway);
        assert_int_equal(w->gateway->n_published, 0);
        assert_int_equal(sorts_of_nothing, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(an_event_of_a_share_that_nobody_noted_sorts_nothing,
                                world_setup,
                                world_teardown),
        };

        return cmocka_run_group_tests_name("gateway-front-watch", tests, NULL, NULL);
}
