/* vestibule-sms: the SMS channel, over the way to a carrier that `driver =` names. */
#include <stddef.h>

#include "sms-channel.h"

const SmsDriverOps *const sms_drivers[] = {
        NULL,
};

int main(int argc, char **argv) {
        return sms_channel_main(argc, argv);
}
