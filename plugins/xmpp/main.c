/* vestibule-xmpp: the XMPP channel, as a component or as an account of a server. */
#include "xmpp-channel.h"

int main(int argc, char **argv) {
        return xmpp_channel_main(argc, argv);
}
