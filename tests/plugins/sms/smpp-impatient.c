/* vestibule-sms with its SMPP driver alone, for tests of what it does when a centre is mute or
 * gone: it waits for two seconds where the program waits for many, and tries again at once. */
#include "driver-smpp.h"
#include "sms-channel.h"

const SmsDriverOps *const sms_drivers[] = { &sms_driver_smpp, NULL };

int main(int argc, char **argv) {
        smpp_driver_set_patience((SmppPatience){
                        .answer = 2, .settle = 2, .retry = 1, .refused = 1, .refused_max = 2 });
        return sms_channel_main(argc, argv);
}
