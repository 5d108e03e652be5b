/* The SMS channel: what the gateway asks on one side, a driver for a way to a carrier on the other,
 * and between them all that is the same for every carrier: which numbers may be written to, pace,
 * quiet hours, length, what was sent already, whose reports are whose, and how parts become
 * replies.
 *
 * The drivers come from a table that the program brings, so that tests bring one of their own. */
#pragma once

#include "plugin.h"
#include "sms-driver.h"

/* All drivers of this program, NULL-terminated. */
extern const SmsDriverOps *const sms_drivers[];

extern const PluginOps sms_channel_ops;

int sms_channel_main(int argc, char **argv);
