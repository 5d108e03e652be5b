/* vestibule-email for tests of what it does when a server is gone or mute: it waits for seconds,
 * not for minutes. */
#include "email-channel.h"

int main(int argc, char **argv) {
        return email_channel_main(argc,
                        argv,
                        &(MailSubmitPatience){ .connect = 3,
                                        .answer = 3,
                                        .retry_first = 1,
                                        .retry_max = 1,
                                        .login_retry = 3 });
}
