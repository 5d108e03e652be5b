/* vestibule-xmpp: the XMPP channel, as a component or as an account of a server. */
#include "xmpp-channel.h"

int main(int argc, char **argv) {
        static const char *const capabilities[] = { "reply", "receipt", "withdraw", NULL };
        static const PluginOps ops = {
                .program = "vestibule-xmpp",
                .role = "channel",
                .name = "xmpp",
                .summary = "Carries invitations and answers over XMPP.",
                .capabilities = capabilities,
                .start = xmpp_channel_start,
                .request = xmpp_channel_request,
                .stop = xmpp_channel_stop,
        };

        return plugin_main(argc, argv, &ops);
}
