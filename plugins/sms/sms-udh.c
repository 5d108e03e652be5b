#include "sms-udh.h"

#include <assert.h>
#include <string.h>

/* TS 23.040 section 9.2.3.24, information element identifiers. */
enum {
        IE_CONCAT_8 = 0x00,
        IE_PORTS_8 = 0x04,
        IE_PORTS_16 = 0x05,
        IE_CONCAT_16 = 0x08,
        IE_SINGLE_SHIFT = 0x24,
        IE_LOCKING_SHIFT = 0x25,
};

static uint16_t number_at(const uint8_t *data) {
        return (uint16_t) (data[0] << 8 | data[1]);
}

static void set_concat(
                SmsConcatKind kind, uint16_t reference, uint8_t total, uint8_t part, SmsUdh *udh) {
        if (part >= 1 && part <= total)
                udh->concat = (SmsConcat){ kind, reference, total, part };
}

static void set_ports(uint16_t to, uint16_t from, SmsUdh *udh) {
        udh->has_ports = true;
        udh->to_port = to;
        udh->from_port = from;
}

static void read_element(uint8_t id, const uint8_t *value, uint8_t size, SmsUdh *udh) {
        if (id == IE_CONCAT_8 && size == 3)
                set_concat(SMS_CONCAT_8, value[0], value[1], value[2], udh);
        else if (id == IE_CONCAT_16 && size == 4)
                set_concat(SMS_CONCAT_16, number_at(value), value[2], value[3], udh);
        else if (id == IE_PORTS_8 && size == 2)
                set_ports(value[0], value[1], udh);
        else if (id == IE_PORTS_16 && size == 4)
                set_ports(number_at(value), number_at(value + 2), udh);
        else if (id == IE_SINGLE_SHIFT && size == 1 && value[0] < _GSM7_LANGUAGE_MAX)
                udh->single = (Gsm7Language) value[0];
        else if (id == IE_LOCKING_SHIFT && size == 1 && value[0] < _GSM7_LANGUAGE_MAX)
                udh->locking = (Gsm7Language) value[0];
}

int sms_udh_read(const uint8_t *data, size_t size, SmsUdh *ret) {
        SmsUdh udh = { 0 };

        assert(data || size == 0);
        assert(ret);

        if (size < 1 || data[0] >= size)
                return SMS_UDH_E_SHORT;
        udh.size = (size_t) data[0] + 1;
        for (size_t i = 1; i < udh.size;) {
                if (udh.size - i < 2 || udh.size - i - 2 < data[i + 1]) {
                        udh = (SmsUdh){ .size = udh.size };
                        break;
                }
                read_element(data[i], data + i + 2, data[i + 1], &udh);
                i += 2 + (size_t) data[i + 1];
        }
        *ret = udh;
        return 0;
}

static size_t write_concat(const SmsConcat *concat, uint8_t *ret) {
        if (concat->kind == SMS_CONCAT_8) {
                const uint8_t element[] = {
                        IE_CONCAT_8, 3, (uint8_t) concat->reference, concat->total, concat->part
                };

                memcpy(ret, element, sizeof(element));
                return sizeof(element);
        }
        if (concat->kind == SMS_CONCAT_16) {
                const uint8_t element[] = { IE_CONCAT_16,
                        4,
                        (uint8_t) (concat->reference >> 8),
                        (uint8_t) concat->reference,
                        concat->total,
                        concat->part };

                memcpy(ret, element, sizeof(element));
                return sizeof(element);
        }
        return 0;
}

size_t sms_udh_write(const SmsUdh *udh, uint8_t ret[SMS_UDH_SIZE_MAX]) {
        size_t n = 1;

        assert(udh && ret);

        n += write_concat(&udh->concat, ret + n);
        if (udh->has_ports) {
                const uint8_t element[] = { IE_PORTS_16,
                        4,
                        (uint8_t) (udh->to_port >> 8),
                        (uint8_t) udh->to_port,
                        (uint8_t) (udh->from_port >> 8),
                        (uint8_t) udh->from_port };

                memcpy(ret + n, element, sizeof(element));
                n += sizeof(element);
        }
        if (udh->single != GSM7_DEFAULT) {
                memcpy(ret + n, (uint8_t[]){ IE_SINGLE_SHIFT, 1, (uint8_t) udh->single }, 3);
                n += 3;
        }
        if (udh->locking != GSM7_DEFAULT) {
                memcpy(ret + n, (uint8_t[]){ IE_LOCKING_SHIFT, 1, (uint8_t) udh->locking }, 3);
                n += 3;
        }
        ret[0] = (uint8_t) (n - 1);
        return n;
}

void sms_udh_write_concat(
                uint16_t reference, uint8_t total, uint8_t part, uint8_t ret[SMS_UDH_CONCAT_SIZE]) {
        ret[0] = SMS_UDH_CONCAT_SIZE - 1;
        (void) write_concat(&(SmsConcat){ SMS_CONCAT_16, reference, total, part }, ret + 1);
}

bool sms_concat_from_sar(uint32_t reference, uint32_t total, uint32_t part, SmsConcat *ret) {
        assert(ret);

        *ret = (SmsConcat){ .kind = SMS_CONCAT_NONE };
        if (reference > UINT16_MAX || total > UINT8_MAX || part < 1 || part > total)
                return false;
        *ret = (SmsConcat){ SMS_CONCAT_SAR, (uint16_t) reference, (uint8_t) total, (uint8_t) part };
        return true;
}
