/* A stranger's header: its fields, what our server is said to have found, and the one address of
 * From. Whatever the bytes are, strong needs a field that names us first and a domain that was said
 * to have passed, and a canonical address is one. */
#include <assert.h>
#include <string.h>

#include "auth-results.h"
#include "mail-automatic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const MailHeader *header) {
        const MailField *field = mail_header_find(header, "From");
        char from[ADDRESS_SIZE_MAX] = "";
        AuthResults results;

        if (field && mail_address_read(field->value, field->value_size, from) == 0)
                assert(address_is_canonical(from));
        else
                assert(from[0] == '\0');
        auth_results_read(header, "mx.hotel.test", &results);
        assert(results.verdict < AUTH_RESULTS_VERDICT_MAX);
        assert(!results.domain[0] || results.verdict >= AUTH_RESULTS_NONE);
        if (auth_results_authentic(&results, from) == MAIL_AUTHENTIC_STRONG) {
                assert(results.verdict == AUTH_RESULTS_PASS && results.domain[0]);
                assert(strcmp(strrchr(from, '@') + 1, results.domain) == 0);
        }
        assert(mail_automatic(header, NULL) < MAIL_AUTOMATIC_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *) data;
        MailHeader header;
        AuthResults results;
        int r = mail_header_split(text, size, &header);

        assert(r >= 0 && header.size <= size && header.n_fields <= MAIL_HEADER_FIELDS_MAX);
        for (size_t i = 0; i < header.n_fields; i++) {
                const MailField *field = &header.fields[i];

                assert(field->name_size > 0 && field->name >= text);
                assert(field->value + field->value_size <= text + size);
        }
        judge(&header);
        mail_header_done(&header);
        auth_results_parse(text, size, "mx.hotel.test", &results);
        return 0;
}
