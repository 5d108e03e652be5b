/* `vestibule-sms --lint`: what a text will cost before anybody pays for it. */
#pragma once

/* For PluginOps.option. */
int sms_lint_option(int argc, char **argv);
