/* The arguments of a query or a form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http-values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        HttpValues values;
        int r = http_values_read((const char *) data, size, &values);

        if (r != 0 && (values.n != 0 || values.buffer))
                abort();
        for (size_t i = 0; i < values.n; i++) {
                const HttpValue *value = &values.values[i];
                const char *end = values.buffer + values.buffer_size;

                if (value->name < values.buffer || value->value + value->size >= end)
                        abort();
                if (value->name[value->name_size] != 0 || value->value[value->size] != 0)
                        abort();
                if (strlen(value->name) == value->name_size &&
                                http_values_find(&values, value->name) &&
                                http_values_find(&values, value->name) != value)
                        abort();
        }
        http_values_done(&values);
        return 0;
}
