/* vestibule-xmpp for tests of what it does when a server is gone or mute: it tries again at once,
 * and waits for a server as long as it was compiled to. A test whose server is slow wants it long.
 */
#include "xmpp-channel.h"
#include "xmpp-stream.h"

int main(int argc, char **argv) {
        xmpp_stream_set_patience((XmppStreamPatience){
                        .connect = WAIT_SECONDS, .answer = WAIT_SECONDS, .retry = 1 });
        return xmpp_channel_main(argc, argv);
}
