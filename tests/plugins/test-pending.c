/* The SDK's table of ids, against a plain array. */
#include "pending.h"

#include "../base/test.h"

static void the_table_agrees_with_a_plain_array(void **state) {
        static PendingTable table;
        static int64_t ids[PENDING_MAX];
        size_t n = 0, n_bytes = 0;
        uint64_t random = 1;

        for (unsigned step = 0; step < 400000; step++) {
                Pending entry = { 0 };

                random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
                if (n < PENDING_MAX && (n == 0 || (random >> 40) % 100 < 52)) {
                        /* Multiples of 2^43 share a home more often than chance would have it. */
                        entry.id = (int64_t) ((random >> 33) % 2
                                                              ? step + 1
                                                              : ((random >> 20) % 997 + 1) << 43);
                        if (pending_find(&table, entry.id))
                                continue;
                        entry.size = step % 1000;
                        pending_add(&table, &entry);
                        ids[n++] = entry.id;
                        n_bytes += entry.size;
                } else {
                        size_t i = (random >> 33) % n;

                        assert_true(pending_take(&table, ids[i], &entry));
                        assert_int_equal(entry.id, ids[i]);
                        assert_false(pending_take(&table, ids[i], &entry));
                        n_bytes -= entry.size;
                        ids[i] = ids[--n];
                }
                assert_int_equal(table.n, n);
                assert_int_equal(table.n_bytes, n_bytes);
                if (step % 1000 == 0)
                        for (size_t i = 0; i < n; i++)
                                assert_int_equal(pending_find(&table, ids[i])->id, ids[i]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_table_agrees_with_a_plain_array),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
