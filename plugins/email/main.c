/* vestibule-email: mail as a channel, through the mail server that there is. */
#include "email-channel.h"

int main(int argc, char **argv) {
        return email_channel_main(argc, argv, &mail_submit_usual_patience);
}
