/* Any bytes as a delivery receipt: what is read is printable, of bounded length, and found again by
 * the keys of its id. */
#include <assert.h>
#include <string.h>

#include "smpp-receipt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char keys[2][SMPP_ID_SIZE], again[2][SMPP_ID_SIZE];
        SmppReceiptTlvs tlvs = { .state = -1 };
        SmppReceipt receipt;

        if (size > 4) {
                tlvs.state = data[0] & 1 ? data[1] : -1;
                tlvs.error = data[0] & 2 ? data + 1 : NULL;
        }
        if (smpp_receipt_read((const char *) data, size, &tlvs, &receipt) != 0)
                return 0;
        assert(smpp_outcome_name(receipt.outcome));
        assert(strlen(receipt.id) < SMPP_ID_SIZE && strlen(receipt.error) < sizeof(receipt.error));
        for (const char *p = receipt.id; *p; p++)
                assert(*p >= '!' && *p <= '~');
        if (!receipt.id[0])
                return 0;
        assert(smpp_id_equal(receipt.id, receipt.id));
        for (unsigned n = smpp_id_keys(receipt.id, keys); n > 0; n--) {
                assert(smpp_id_equal(receipt.id, keys[n - 1]));
                assert(smpp_id_keys(keys[n - 1], again) >= 1);
        }
        return 0;
}
