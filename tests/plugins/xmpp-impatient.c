/* vestibule-xmpp with less patience, for tests of what it does when a server is gone or mute. */
#include "xmpp-channel.h"
#include "xmpp-stream.h"

int main(int argc, char **argv) {
        xmpp_stream_set_patience((XmppStreamPatience){ .connect = 3, .answer = 3, .retry = 1 });
        return xmpp_channel_main(argc, argv);
}
