/* vestibule-relay-client: the only program that opens payloads and speaks to the relay. It keeps no
 * state: claims, ids and boxes come with each request of the gateway, and the Secret of a mailbox
 * is derived from the private key, so that a repeated create always means the same Secret. */
#include "client.h"
#include "make-key.h"

static int on_start(Plugin *plugin, const json_t *settings, void **ret_state) {
        Client *client;
        int r;

        r = client_new(&client, plugin, settings);
        if (r < 0)
                return r;

        /* Not tried, and not to be tried before a share is confirmed: up until known to be down. */
        plugin_tell_status(plugin, true, "");
        *ret_state = client;
        return 0;
}

static int on_request(
                Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame) {
        (void) plugin;
        return client_request(state, type, id, frame);
}

static void on_stop(Plugin *plugin, void *state) {
        (void) plugin;
        (void) client_free(state);
}

static int option(int argc, char **argv) {
        static const MakeKey relay_key = {
                .program = "vestibule-relay-client",
                .sealer = "vestibule-api",
                .private_name = "relay-key",
                .public_name = "relay-key.pub",
                .private_installed = "vestibule.relay-NAME.key (NAME: the relay section's title, "
                                     "usually main)",
                .public_installed = "vestibule.relay-key.pub",
                .signer_use = "with it they check the keys that they seal\n"
                              "  to (SEALING.md), and who asks them for content (MINT.md)",
        };

        return make_key_option(&relay_key, argc, argv);
}

int main(int argc, char **argv) {
        static const char *const capabilities[] = { NULL };
        static const PluginOps ops = {
                .program = "vestibule-relay-client",
                .role = "relay",
                .name = "main",
                .summary = "Creates, reads, writes and deletes mailboxes at a relay for confirmed "
                           "shares.",
                .capabilities = capabilities,
                .start = on_start,
                .request = on_request,
                .stop = on_stop,
                .option = option,
                .option_help = MAKE_KEY_HELP("relay-key", "relay-key.pub"),
        };

        return plugin_main(argc, argv, &ops);
}
