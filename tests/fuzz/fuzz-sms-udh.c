/* Any octets as a user data header: what is read is possible, and is the same when it is written
 * and read again. */
#include <assert.h>
#include <string.h>

#include "sms-udh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t octets[SMS_UDH_SIZE_MAX];
        SmsUdh udh, again;
        size_t n;

        if (sms_udh_read(data, size, &udh) != 0)
                return 0;
        assert(udh.size >= 1 && udh.size <= size);
        assert(udh.concat.kind == SMS_CONCAT_NONE ||
                        (udh.concat.part >= 1 && udh.concat.part <= udh.concat.total));
        assert(udh.locking < _GSM7_LANGUAGE_MAX && udh.single < _GSM7_LANGUAGE_MAX);

        n = sms_udh_write(&udh, octets);
        assert(sms_udh_read(octets, n, &again) == 0 && again.size == n);
        assert(again.concat.kind == udh.concat.kind && again.concat.part == udh.concat.part &&
                        again.concat.total == udh.concat.total &&
                        again.concat.reference == udh.concat.reference);
        assert(again.has_ports == udh.has_ports && again.to_port == udh.to_port &&
                        again.from_port == udh.from_port);
        assert(again.locking == udh.locking && again.single == udh.single);
        return 0;
}
