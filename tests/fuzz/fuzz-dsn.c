/* Delivery reports of strangers. Success is never concluded from anything but recipients that all
 * say it. */
#include <assert.h>
#include <string.h>

#include "address.h"
#include "dsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Dsn dsn = { 0 };
        DsnAction action;
        DsnClass class;
        int r = dsn_read_status((const char *) data, size, &dsn);

        assert(r == 0 || r == DSN_E_FORM);
        assert(dsn.n_recipients <= DSN_RECIPIENTS_MAX && (r == 0) == (dsn.n_recipients > 0));
        assert(dsn_read_returned((const char *) data, size, &dsn) == 0);
        dsn_conclude(&dsn, &action, &class);
        for (size_t i = 0; i < dsn.n_recipients; i++) {
                const DsnRecipient *recipient = &dsn.recipients[i];

                assert(!recipient->address[0] || address_is_canonical(recipient->address));
                assert((recipient->status[0] == '\0') == (recipient->class == DSN_CLASS_UNKNOWN));
                if (class == DSN_CLASS_SUCCESS)
                        assert(recipient->class == DSN_CLASS_SUCCESS &&
                                        recipient->action >= DSN_ACTION_DELIVERED);
        }
        (void) dsn_is_failure_text((const char *) data, size);
        return 0;
}
