/* vestibule-sms with its modem driver alone, for tests of what it does when something does not
 * come: it waits for seconds where the program waits for minutes. */
#include "driver-modem.h"
#include "sms-channel.h"

const SmsDriverOps *const sms_drivers[] = { &sms_driver_modem, NULL };

int main(int argc, char **argv) {
        modem_driver_set_patience(
                        (ModemPatience){ .found = 2, .incomplete = 3, .incomplete_next = 1 });
        return sms_channel_main(argc, argv);
}
