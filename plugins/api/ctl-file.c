/* vestibulectl: what is read from files and standard input, which is where what is shared comes
 * from: arguments can be read by others. */
#include <stdio.h>
#include <sysexits.h>

#include "ctl.h"
#include "json-raw.h"
#include "secret.h"

enum {
        ROOM = 128 * 1024, /* more than the API takes, with white space */
};

int ctl_json_read(const char *path, const char *what, const char *content, json_t **ret) {
        FILE *f = streq(path, "-") ? stdin : fopen(path, "re");
        _cleanup_(secret_done) Secret text = SECRET_NULL;
        JsonProblem problem;
        size_t n;
        int r;

        if (!f) {
                (void) fprintf(stderr, "vestibulectl: cannot read %s: %m\n", path);
                return EX_NOINPUT;
        }
        r = secret_new(&text, ROOM);
        if (r == 0) {
                (void) setvbuf(f, NULL, _IONBF, 0); /* no second copy */
                n = fread(text.data, 1, ROOM, f);
                r = json_raw_read_kept(text.data, n, CTL_CONTENT_DEPTH, content, ret, &problem);
        }
        if (f != stdin)
                (void) fclose(f);
        if (r != 0) {
                (void) fprintf(stderr,
                                "vestibulectl: %s must be JSON, at most %d levels deep: %s\n",
                                what,
                                CTL_CONTENT_DEPTH,
                                r > 0 ? problem.text : strerror(-r));
                return EX_DATAERR;
        }
        return 0;
}
