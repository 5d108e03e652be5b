#include "api-metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names come from the gateway's configuration and code, yet nothing but these symbols gets through.
 */
static void name_write(FILE *f, const char *name, size_t n) {
        for (size_t i = 0; i < n; i++) {
                char c = name[i];
                int good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9');

                (void) fputc(good ? c : '_', f);
        }
}

static void parts_write(FILE *f, const json_t *parts) {
        json_t *part;
        size_t i;

        (void) fputs("# TYPE vestibule_part_up gauge\n"
                     "# HELP vestibule_part_up Whether a part of the gateway works.\n",
                        f);
        json_array_foreach(parts, i, part) {
                const char *name = json_string_value(json_object_get(part, "name"));

                if (!name)
                        continue;
                (void) fputs("vestibule_part_up{part=\"", f);
                name_write(f, name, strlen(name));
                (void) fprintf(f, "\"} %d\n", json_is_true(json_object_get(part, "up")) ? 1 : 0);
        }
}

static void counter_write(FILE *f, const char *name, long long value) {
        size_t n = strlen(name);

        if (n > 6 && strcmp(name + n - 6, "_total") == 0)
                n -= 6;
        (void) fputs("# TYPE vestibule_", f);
        name_write(f, name, n);
        (void) fputs(" counter\nvestibule_", f);
        name_write(f, name, n);
        (void) fprintf(f, "_total %lld\n", value);
}

char *api_metrics_text(const json_t *health) {
        const json_t *counters = json_object_get(health, "counters");
        const char *name;
        char *text = NULL;
        json_t *value;
        size_t size;
        FILE *f;

        f = open_memstream(&text, &size);
        if (!f)
                return NULL;
        (void) fputs("# TYPE vestibule_build info\n"
                     "# HELP vestibule_build The version of the front.\n"
                     "vestibule_build_info{version=\"" VESTIBULE_VERSION "\"} 1\n",
                        f);
        parts_write(f, json_object_get(health, "parts"));
        json_object_foreach((json_t *) counters, name, value) {
                if (json_is_integer(value) && json_integer_value(value) >= 0)
                        counter_write(f, name, json_integer_value(value));
        }
        (void) fputs("# EOF\n", f);
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}
