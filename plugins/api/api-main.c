/* vestibule-api: the front. One process for each `front` section: tenants over TCP with tokens,
 * operators over a Unix socket with peer credentials. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "api-front.h"
#include "api-listen.h"
#include "credential.h"
#include "log.h"
#include "make-key.h"

typedef struct Program {
        ApiFront *front;
        ApiServer *server;
} Program;

/* A limit from the settings. -EINVAL, after logging, unless it is a number from 1 to max. */
static int limit_read(const json_t *settings,
                const char *name,
                unsigned fallback,
                unsigned max,
                unsigned *ret) {
        const char *text = plugin_setting(settings, name, NULL);
        char *end;
        unsigned long value;

        *ret = fallback;
        if (!text)
                return 0;
        value = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || value < 1 || value > max) {
                log_error("the setting %s must be 1 to %u", name, max);
                return -EINVAL;
        }
        *ret = (unsigned) value;
        return 0;
}

/* Descriptors are what bounds the number of connections. */
static void raise_descriptor_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
}

static int keys_load(RelayPublicKeys *ret) {
        _cleanup_(secret_done) Secret text = SECRET_NULL;
        int r;

        *ret = (RelayPublicKeys){ 0 };
        r = credential_read("relay-key.pub", &text);
        if (r == -ENOENT || r == -ENXIO) {
                log_info("there is no credential relay-key.pub: this front starts no shares");
                return 0;
        }
        if (r == 0)
                r = relay_public_keys_read(text.data, text.size, ret);
        if (r < 0)
                log_error("the credential relay-key.pub is unusable: %s; `vestibule-relay-client "
                          "--make-key` makes one",
                                strerror(-r));
        return r;
}

/* Without it, what recipients answer is listed and not shown. */
static int message_keys_load(RelayPrivateKeys **ret) {
        _cleanup_(secret_done) Secret text = SECRET_NULL;
        int r;

        r = credential_read("front-key", &text);
        if (r == -ENOENT || r == -ENXIO)
                return 0;
        if (r == 0)
                r = relay_private_keys_read(&text, ret);
        if (r < 0)
                log_error("the credential front-key is unusable: %s; `vestibule-api --make-key` "
                          "makes one",
                                strerror(-r));
        return r;
}

static int certificate_load(const json_t *settings, Secret *ret_certificate, Secret *ret_key) {
        const char *tls = plugin_setting(settings, "tls", "no");
        int r;

        if (streq(tls, "no") || streq(tls, "false"))
                return 0;
        if (!streq(tls, "yes") && !streq(tls, "true")) {
                log_error("the setting tls must be yes or no");
                return -EINVAL;
        }
        r = credential_read("api-certificate", ret_certificate);
        if (r < 0) {
                log_error("tls = yes needs the credential api-certificate (PEM): %s", strerror(-r));
                return r;
        }
        r = credential_read("api-key", ret_key);
        if (r < 0)
                log_error("tls = yes needs the credential api-key (PEM): %s", strerror(-r));
        return r;
}

static int program_listen(Program *program, const char *name, const json_t *settings) {
        _cleanup_(secret_done) Secret certificate = SECRET_NULL, key = SECRET_NULL;
        const char *port_file = plugin_setting(settings, "port_file", NULL);
        ApiSockets sockets;
        int r;

        r = certificate_load(settings, &certificate, &key);
        if (r < 0)
                return r;
        r = api_sockets_open(name, settings, &sockets);
        if (r < 0)
                return r;
        for (size_t i = 0; i < sockets.n && r >= 0; i++) {
                r = api_server_add(program->server,
                                sockets.fds[i],
                                certificate.data ? &certificate : NULL,
                                certificate.data ? &key : NULL);
                if (r < 0)
                        log_error("cannot serve a listener: %s%s",
                                        strerror(-r),
                                        certificate.data ? "; are certificate and key PEM and a "
                                                           "pair?"
                                                         : "");
        }
        if (r >= 0 && port_file) {
                r = api_sockets_write_ports(&sockets, port_file);
                if (r < 0)
                        log_error("cannot write %s: %s", port_file, strerror(-r));
        }
        return r;
}

static void program_stop(Plugin *plugin, void *state) {
        Program *program = state;

        (void) plugin;
        if (!program)
                return;
        program->server = api_server_free(program->server);
        program->front = api_front_free(program->front);
        free(program);
}

static int program_start(Plugin *plugin, const json_t *settings, void **ret_state) {
        _cleanup_(relay_private_keys_freep) RelayPrivateKeys *message_keys = NULL;
        ApiServerLimits limits;
        RelayPublicKeys keys;
        Program *program;
        int r;

        raise_descriptor_limit();
        r = limit_read(settings, "connections", 1024, 100000, &limits.connections);
        if (r < 0)
                return r;
        r = limit_read(settings,
                        "connections_per_address",
                        64,
                        100000,
                        &limits.connections_per_address);
        if (r < 0)
                return r;
        r = keys_load(&keys);
        if (r < 0)
                return r;
        r = message_keys_load(&message_keys);
        if (r < 0)
                return r;

        program = calloc(1, sizeof(*program));
        if (!program)
                return -ENOMEM;
        r = api_front_new(&program->front, plugin, &keys, message_keys);
        if (r >= 0) {
                message_keys = NULL;
                r = api_server_new(&program->server,
                                plugin_event(plugin),
                                &api_front_ops,
                                &limits,
                                program->front);
        }
        if (r >= 0)
                r = program_listen(program, plugin_name(plugin), settings);
        if (r < 0) {
                program_stop(plugin, program);
                return r;
        }
        *ret_state = program;
        return 0;
}

/* The gateway asks nothing of a front. */
static int program_request(
                Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame) {
        (void) plugin;
        (void) state;
        (void) type;
        (void) id;
        (void) frame;
        return PLUGIN_UNSUPPORTED;
}

static int option(int argc, char **argv) {
        static const MakeKey front_key = {
                .program = "vestibule-api",
                .sealer = "vestibule-relay-client",
                .private_name = "front-key",
                .public_name = "front-key.pub",
                .private_installed = "vestibule.front-NAME.key (NAME: the front section's title, "
                                     "usually tenants)",
                .public_installed = "vestibule.front-key.pub",
        };

        return make_key_option(&front_key, argc, argv);
}

int main(int argc, char **argv) {
        static const char *const capabilities[] = { NULL };
        static const PluginOps ops = {
                .program = "vestibule-api",
                .role = "front",
                .name = "tenants",
                .summary = "The front of the Vestibule gateway: the HTTP API.",
                .capabilities = capabilities,
                .start = program_start,
                .request = program_request,
                .stop = program_stop,
                .option = option,
                .option_help = MAKE_KEY_HELP("front-key", "front-key.pub"),
        };

        return plugin_main(argc, argv, &ops);
}
