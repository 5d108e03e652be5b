/* vestibule-sms: the SMS channel, over the way to a carrier that `driver =` names. */
#include <stddef.h>

#include "sms-channel.h"

const SmsDriverOps *const sms_drivers[] = {
#ifdef HAVE_KANNEL
        &sms_driver_kannel,
#endif
#ifdef HAVE_MODEM
        &sms_driver_modem,
#endif
#ifdef HAVE_REST
        &sms_driver_rest,
#endif
#ifdef HAVE_SMPP
        &sms_driver_smpp,
#endif
        NULL,
};

int main(int argc, char **argv) {
        return sms_channel_main(argc, argv);
}
