/* Secrets are equal by content alone, and gone when done. */
#include "test.h"

#include <sodium.h>
#include <sys/prctl.h>

#include "secret.h"

static void a_new_secret_is_zero_and_ends_with_nul(void **state) {
        static const uint8_t zeros[33] = { 0 };
        _cleanup_(secret_done) Secret secret = SECRET_NULL;

        assert_int_equal(secret_new(&secret, 32), 0);
        assert_int_equal(secret.size, 32);
        assert_memory_equal(secret.data, zeros, 33);
}

static void a_copy_is_its_own_and_ends_with_nul(void **state) {
        _cleanup_(secret_done) Secret secret = SECRET_NULL;
        char text[] = "hunter2";

        assert_int_equal(secret_copy(&secret, text, strlen(text)), 0);
        memset(text, 'x', strlen(text));
        assert_int_equal(secret.size, 7);
        assert_string_equal((const char *) secret.data, "hunter2");
}

static void an_empty_secret_is_a_secret(void **state) {
        _cleanup_(secret_done) Secret a = SECRET_NULL, b = SECRET_NULL;

        assert_int_equal(secret_copy(&a, NULL, 0), 0);
        assert_int_equal(secret_new(&b, 0), 0);
        assert_int_equal(a.data[0], 0);
        assert_int_equal(b.data[0], 0);
}

static void a_done_secret_is_null_and_may_be_done_again(void **state) {
        Secret secret = SECRET_NULL;

        assert_int_equal(secret_copy(&secret, "x", 1), 0);
        secret_done(&secret);
        assert_null(secret.data);
        assert_int_equal(secret.size, 0);
        secret_done(&secret);
        secret_free_string(NULL);
}

/* What free() is given, as the linker's --wrap shows it. */
static const void *watched;
static bool freed, wiped;

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block) {
        if (block && block == watched) {
                freed = true;
                wiped = sodium_is_zero(block, 8);
        }
        __real_free(block);
}

static void a_secret_is_wiped_before_it_is_freed(void **state) {
        Secret secret = SECRET_NULL;
        char *text;

        assert_int_equal(secret_copy(&secret, "hunter22", 8), 0);
        watched = secret.data;
        freed = false;
        secret_done(&secret);
        assert_true(freed && wiped);

        text = strdup("hunter22");
        watched = text;
        freed = false;
        secret_free_string(text);
        assert_true(freed && wiped);
        watched = NULL;
}

static void a_process_with_secrets_leaves_no_core(void **state) {
        assert_int_equal(secret_init(), 0);
        assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
        assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0); /* the leak check needs it */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_new_secret_is_zero_and_ends_with_nul),
                cmocka_unit_test(a_copy_is_its_own_and_ends_with_nul),
                cmocka_unit_test(an_empty_secret_is_a_secret),
                cmocka_unit_test(a_done_secret_is_null_and_may_be_done_again),
                cmocka_unit_test(a_secret_is_wiped_before_it_is_freed),
                cmocka_unit_test(a_process_with_secrets_leaves_no_core),
        };

        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
